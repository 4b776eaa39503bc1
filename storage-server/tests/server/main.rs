//! Real servers on loopback, with real disks in temporary directories, against a metadata endpoint of the
//! tests' own: chains of one to three, restarts, wrong peers and wrong disks.

mod chain;
mod chains;
mod client;
mod host;
mod identities;
mod leases;
mod load;
mod meta;
mod process;
mod returns;
mod shards;
