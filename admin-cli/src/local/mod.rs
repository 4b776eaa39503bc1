//! A whole cluster on this machine, made of the processes and configuration files of a real one.
//!
//! ```text
//!   DIR/local.toml                        what was decided once: name, numbers, ports, mounts; its id
//!   DIR/meta-1/meta.toml                  one folder a server: its configuration, its data, its logs
//!   DIR/meta-1/data/  meta.log  stderr.log
//!   DIR/storage-1/storage.toml
//!   DIR/storage-1/data/  disk-1/  disk-2/  storage.log  stderr.log
//! ```
//!
//! Nothing here does what an operator of a real cluster could not: [`up`] writes configuration files,
//! calls the servers' own format commands, starts the servers, and orders the rest from the metadata
//! leader. Servers are found again by their command lines, which name the configuration file.

mod arrival;
mod configs;
mod disks;
pub(crate) mod down;
mod durable;
mod launch;
pub(crate) mod place;
mod plan;
mod ports;
pub(crate) mod process;
pub(crate) mod up;
