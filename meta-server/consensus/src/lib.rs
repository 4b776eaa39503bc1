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
//! * **Reads.** A question is confirmed when a majority still followed after it was asked, on any member. Until
//!   [`Member::lease_until`] a leader needs no question: a follower that has heard it elects nobody else for longer
//!   than that, by its own clock.
//! * **Restart.** A member of several that ran before elects nobody for [`SILENCE`], so that it cannot elect
//!   against a leader whose lease it helped to confirm. Being alone, it leads at once.
//! * **Loss.** A member whose log has lost what it held elects nobody before it has that again, and a new one, whose
//!   directory may have been made anew, nobody before a leader has brought it up to date. So either counts as one that is
//!   away; with two of three the third leads nobody: what the two acknowledged before, it need not have
//!   ([`Member::abstains`]). The first leader of a group is elected by all its members, each of which says that it holds
//!   nothing. A member that finds what is committed here differ from what its leader has, must end ([`Divergence`]).
//! * **Handing over.** A leader that lets another lead gives its lease up first, for the rest of its term.
//! * **Snapshots.** The log is cut where the state is durable and no other member needs it. One that lags further
//!   behind gets the state of another member as it was at some place, which takes the place of its own. What comes
//!   behind that place stays in the log for it meanwhile, up to [`TRANSFER_BYTES`], unless it refuses them.
//!
//! What is not here: changes of the members.
#![forbid(unsafe_code)]

mod chance;
mod effect;
mod entry;
mod ids;
mod lease;
mod member;
mod message;
mod questions;
mod start;
mod tail;
#[cfg(test)]
mod tests;

pub use effect::{
    Append, Committed, Divergence, Durable, Effect, Input, Leadership, Refusal, Transfer,
};
pub use emberfs_wire::group::{
    Abstention, Index, MemberId, Position, SnapshotId, SnapshotName, Term,
};
pub use entry::{Entry, Vote};
pub use ids::{ConfirmId, Millis, ProposalId};
pub use lease::{LEASE, SILENCE, TICK};
pub use member::{Member, MemberStanding, Standing};
pub use message::{Malformed, PeerMessage};
pub use start::{Config, ConfigError, KEEP_BYTES, LOG_BYTES_MAX, Limits, Restored, TRANSFER_BYTES};
