//! Who may serve: the states of a chain's members, and when they change.
//!
//! ```text
//!                        all serving members are gone
//!          ┌────────────────────────────────────────────────────┐
//!          │               its turn: the tail first             ▼
//!       Serving ◄────────────────────────────────────────── LastServing
//!        │   ▲                                                  │
//!   gone,│   │ up to date                                       │ another one
//!  others│   │                                                  │ serves
//!  serve │  Syncing ────────── nobody serves, restarted ─┐      │
//!        │   ▲                                           ▼      │
//!        │   └───────── its turn ─────────────────── Waiting ◄──┤ is there
//!        │                                             ▲ │      │
//!        └───── restarted ──► Waiting         is there │ │ gone │
//!        └───── away ───────► Offline ◄────────────────┴─┴──────┘ is away
//! ```
//!
//! [`table`] has each arrow as a row. [`next`] looks at one chain as a whole, each time that something may
//! have changed, and says what it becomes; the change is compared and set by its version, so that a decision
//! on an old picture has no effect.
//!
//! * The last serving member never gives way to one that is not complete: only [`Syncing`] under the present
//!   version, reported as up to date, leads to [`Serving`], or having been among the last to serve.
//! * Serving members are taken out only while another one is known to be there. While none is, but some may
//!   be, nothing is decided; when all are gone the whole set becomes [`LastServing`]. So loss of power never takes
//!   them out one by one.
//! * Of the last serving set the tail serves first, if it is back within [`TAIL_FIRST_MS`], else
//!   the nearest to it. Each of them holds all that was acknowledged; as replicas forward before they are
//!   durable, only the tail also holds all that was ever read.
//! * One member syncs at a time, directly behind the last that serves. One that has no room for what it missed
//!   gives way to another that waits for its turn, and has its own again after that.
//! * A server that starts anew has lost what was not durable: its members come back through [`Syncing`].
//!
//! That a member was fenced before others go on without it is the affair of [`Leases`]; [`Heard`] puts them, the
//! table and what servers report together.
//!
//! [`Serving`]: emberfs_wire::cluster::PublicState::Serving
//! [`Syncing`]: emberfs_wire::cluster::PublicState::Syncing
//! [`LastServing`]: emberfs_wire::cluster::PublicState::LastServing

mod chain;
mod heard;
mod leases;
mod outages;
pub mod table;

pub use chain::{MemberFacts, next, served_before, well_formed};
pub use heard::{Answered, Change, Edition, Heard, Place};
pub use leases::{LeaseTerm, Leases, Life};
pub use outages::{Outages, TAIL_FIRST_MS};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
