//! Real servers on loopback, with real disks in temporary directories, against a metadata endpoint of the
//! tests' own: chains of one to three, restarts, wrong peers and wrong disks.

mod chains;
mod client;
mod host;
mod identities;
mod leases;
mod meta;
mod process;
mod shards;
