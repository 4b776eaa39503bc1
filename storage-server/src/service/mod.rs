//! The requests of clients and other servers: how they come in, and how they are answered.
//!
//! ```text
//!   listener thread: accept ─► Hello ─► judged ─► moved to a shard, with the Welcome to answer
//!   shard thread:    connection ─► handler ─► the target's driver, here or on another shard
//! ```

pub(crate) mod front;
pub(crate) mod handler;
mod reads;
