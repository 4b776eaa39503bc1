//! The storage server: shards that each own their disks and carry the replicas of their targets.
//!
//! It knows the protocol between replicas only as inputs and effects of [`emberfs_chain_replication`], and a
//! disk only as an engine. It must not know how files, names or clients' sessions work.
//!
//! ```text
//!   server.rs     threads, started and stopped in order
//!   heartbeat/    one thread: registration, lease, routing        ── news.rs ──► all others
//!   service/      one thread: listener and handshakes; handlers, which run on the shards
//!   shard/        a thread each: connections, targets, links to other servers, engines
//! ```
//!
//! * Nothing in a shard is shared or locked. A connection lives on one shard; a request for another shard
//!   goes there by that one's bounded inbox, and its answer comes back.
//! * A payload is checked once, when it has come in, and neither copied nor summed again on its way to the
//!   disk and to the successor. Only what goes out as one payload of several parts is copied, once.
//! * Without a lease nothing is served; a target is told of the lease after its chain, never before.
//! * A request whose asker gave up is not undone.
#![forbid(unsafe_code)]

mod clock;
pub mod config;
mod disks;
pub mod error;
mod heartbeat;
mod joining;
mod news;
pub mod server;
mod service;
mod shard;

pub use config::Config;
pub use disks::{ensure_disk, format_disk};
pub use error::{Fault, StartError};
pub use server::Server;
