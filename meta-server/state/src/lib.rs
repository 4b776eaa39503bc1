//! Metadata operations as pure functions over a key-value transaction.
//!
//! Raft replicates a [`Command`]; every member applies it with [`apply`], and all get the same result: time
//! and fresh randomness were chosen by the leader and stand in the command. Questions are answered from
//! a [`View`] by the read functions of each part. Nothing here knows Raft, RocksDB, a
//! socket or a clock; the operations could run on any ordered transactional store.
//!
//! Two state machines share the store: `namespace` (inodes, entries, what is to be removed) and
//! `cluster` (nodes, disks, targets, chains, tables); `sessions` serves both.
//!
//! [`keys`] is the one table of what stands where.
#![forbid(unsafe_code)]

mod apply;
pub mod cluster;
pub mod command;
#[cfg(test)]
mod golden;
pub mod keys;
pub mod namespace;
pub mod sessions;
pub mod transaction;

pub use apply::{apply, cluster_id};
pub use command::{Body, Command, Outcome, PendingTruncation, Schema, Unfinished};
pub use transaction::{Changes, MemoryStore, Overlay, StoreError, Transaction, View};
