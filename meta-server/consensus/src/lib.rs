//! The lease, read and storage rules around Raft, as a pure core.
//!
//! A [`Member`] is one member of the metadata group. It takes an [`Input`] and answers by [`Effect`]s;
//! it knows no disk, socket, clock or command: entries are bytes. `raft` decides elections and commits;
//! the rules around it are ours:
//!
//! * **Order.** Nothing that depends on an entry or a vote leaves before its [`Durable`] came back; a
//!   leader sends its entries while it syncs them.
//! * **Time.** `raft` counts ticks. A tick passes when the caller's clock has moved on by [`TICK`]; a
//!   pause of the process counts as one, so no rule of safety rests on ticks.
//! * **Leading.** A member says that it leads only when its state has taken in all that was committed
//!   before its term: from then on, what the state says last is what the group agreed on last.
//! * **Reads.** A question is confirmed when a majority still followed after it was asked.
//! * **Restart.** A member of several that did not stop cleanly is silent for [`SILENCE`], so that it
//!   cannot elect against a leader whose lease it helped to confirm. Being alone, it leads at once.
//!
//! What groups of several need beyond this and is not here: snapshots for a member that is further
//! behind than the log reaches, and changes of the members.
#![forbid(unsafe_code)]

mod chance;
mod effect;
mod entry;
mod ids;
mod member;
mod questions;
mod start;
mod tail;
#[cfg(test)]
mod tests;

pub use effect::{Append, Committed, Durable, Effect, Input, Leadership, PeerMessage, Refusal};
pub use entry::{Entry, Vote};
pub use ids::{ConfirmId, Index, MemberId, Millis, Position, ProposalId, Term};
pub use member::{LOG_BYTES_MAX, Member, SILENCE, TICK};
pub use start::{Config, ConfigError, Restored};
