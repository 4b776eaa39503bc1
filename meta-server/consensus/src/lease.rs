//! Leases: for how long a leader answers from its state alone, and what the others promise for it.
//!
//! ```text
//!   leader     asks ├──────── LEASE ────────┤             from the question on, once a majority has answered
//!                │  ▲
//!                ▼  │ answer
//!   follower       hears ├──────────────── PROMISE ────────────────┤   elects nobody else
//! ```
//!
//! Both count by their own clocks, each from a moment that was read when the message was at hand: the leader's is
//! before that of any follower, so a lease is over before the first promise is, as long as no clock runs
//! [`PROMISE`]` / `[`LEASE`] times as fast as another. A pause shortens what is left of both; ticks, which stand still
//! in a pause, decide nothing here.
//!
//! A member that was stopped has forgotten what it promised. So it promises the most, [`SILENCE`], to whom it may
//! concern when it starts, unless it is new: then it has no vote.
//!
//! What a leader was promised binds nobody once that leader hands over: it gives up its lease for the rest of its
//! term first. So the votes that the next one asks for in this way are given all the same, and no such word of an
//! old leader does harm: it elects for the term behind its own, which later leaders are past.

use crate::chance::ELECTION_TICKS;
use crate::ids::Millis;

/// Length of a tick: a heartbeat is sent with each, and the lease renewed.
pub const TICK: Millis = Millis(50);

/// For how long a member that has run before elects nobody after it was started: as long as a follower is
/// patient at least.
pub const SILENCE: Millis = Millis(TICK.0 * ELECTION_TICKS as u64);

/// For how long a leader leads for certain, from the moment that it asked and a majority still followed.
pub const LEASE: Millis = Millis(SILENCE.0 / 2);

/// For how long a follower elects nobody else after it heard its leader: as long as it is patient itself at least,
/// as the first tick may come at once.
pub(crate) const PROMISE: Millis = Millis(SILENCE.0 - TICK.0);
