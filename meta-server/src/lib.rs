//! The metadata server: the namespace and the cluster's state behind Raft, in RocksDB.
//!
//! It knows no rule of the namespace or of chains: those are in pure crates, which it feeds. It speaks to
//! storage servers by messages alone, never through the client library.
//!
//! ```text
//!   connection ──► service ──► Leader ──► group ──► store
//!                  translates    │ background: chains, expiry, files, garbage
//!                                └────────► chunks ──► storage servers
//! ```
//!
//! * [`group`]: orders in, outcomes out, by way of a replicated log. [`store`]: what is on the disk.
//! * `service`: the requests that are served. `background`: what a leader does beside, and remembers.
//! * `chunks`: the leader as a client of the storage servers.
//! * [`Server`]: one member, put together by its [`Config`].
#![forbid(unsafe_code)]

mod background;
mod chunks;
pub mod config;
#[cfg(test)]
mod crash_image;
pub mod group;
mod node;
mod service;
pub mod store;

pub use config::Config;
pub use node::{Server, ServerError, accept_loss, ensure_formatted, format};
