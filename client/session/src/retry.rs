//! What to do after a failure: a table, the same for every caller.
//!
//! [`decide`] says what comes next and after how long. It never says that a request with a tag gets a new
//! one: whatever is sent again is the same request.

use std::time::Duration;

use emberfs_wire::{FsError, WireError};

/// What is being tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Reading chunks: any serving replica can answer.
    Read,
    /// Changing a chunk: only the head takes it.
    Write,
    /// Asking the metadata group: any member knows or passes it on.
    Meta,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<'a> {
    /// The peer answered with this.
    Answered(&'a WireError),
    /// The connection ended: it may or may not have been done.
    Closed,
    /// There is no connection.
    Unreachable,
    /// No answer came within the time that one try has.
    Slow,
    /// What came back cannot be what was asked for: damaged or not understood.
    Damaged,
    /// The routing does not say where to go.
    NoRoute,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same to the same peer.
    Again,
    /// Newer routing, then the same to whoever it names.
    Refresh,
    /// The same to another replica or member.
    Elsewhere,
    /// Nothing: the answer is no.
    Refused(FsError),
    /// Nothing: a fault in the software.
    Fault,
}

/// What comes next, and after which pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What.
    pub next: Next,
    /// After how long.
    pub pause: Duration,
}

/// The first pause: a chain changes, a leader follows, within some of these.
pub const PAUSE_MIN: Duration = Duration::from_millis(4);
/// The longest: how long after its end an outage may still be felt.
pub const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The longest while the metadata group has no leader: an election takes some hundred milliseconds.
pub const ELECTION_PAUSE_MAX: Duration = Duration::from_millis(50);

/// After so many answers that no member leads, the group is not electing but lacks a majority, and the pauses grow as
/// ever (a count): some seconds.
const ELECTION_TRIES: u32 = 64;

/// What to do after `failure` of `work`, which was tried `tries` times before in vain. `draw` is a random
/// number: it spreads the pauses of clients that failed together.
#[must_use]
pub fn decide(work: Work, failure: Failure<'_>, tries: u32, draw: u64) -> Decision {
    let next = next(work, failure);
    let pause = match failure {
        _ if matches!(next, Next::Refused(_) | Next::Fault) => Duration::ZERO,
        Failure::Answered(WireError::Retry { after_ms, .. }) => {
            // Its own wish, but never so long that a wrong number stops a client.
            let wish = Duration::from_millis(u64::from(*after_ms)).min(PAUSE_MAX);
            wish.max(pause(tries, draw))
        }
        Failure::Answered(WireError::NotLeader { .. }) if (1..ELECTION_TRIES).contains(&tries) => {
            pause(tries, draw).min(ELECTION_PAUSE_MAX)
        }
        // The first change of peer or picture is free: mostly it is all that was needed.
        _ if tries == 0 && next != Next::Again => Duration::ZERO,
        _ => pause(tries, draw),
    };
    Decision { next, pause }
}

fn next(work: Work, failure: Failure<'_>) -> Next {
    let elsewhere = match work {
        Work::Read | Work::Meta => Next::Elsewhere,
        Work::Write => Next::Refresh,
    };
    match failure {
        Failure::Answered(WireError::Refuse { why }) => Next::Refused(*why),
        Failure::Answered(WireError::Bug { .. }) => Next::Fault,
        Failure::Answered(WireError::Retry { .. }) => Next::Again,
        Failure::Answered(WireError::RefreshRouting { .. }) | Failure::NoRoute => Next::Refresh,
        // It leads: whoever does not says so. Nobody else could do it sooner.
        Failure::Answered(WireError::Wait { .. }) if work == Work::Meta => Next::Again,
        // What is waited for may come as another chain.
        Failure::Answered(WireError::Wait { .. }) => Next::Refresh,
        // Of a write: what was sent arrived damaged.
        Failure::Answered(WireError::Corrupt { .. }) if work == Work::Write => Next::Again,
        Failure::Damaged if work == Work::Write => Next::Again,
        Failure::Answered(WireError::Corrupt { .. } | WireError::NotLeader { .. })
        | Failure::Closed
        | Failure::Unreachable
        | Failure::Slow
        | Failure::Damaged => elsewhere,
    }
}

/// Doubles with each try, then somewhere in its upper half.
fn pause(tries: u32, draw: u64) -> Duration {
    let full = PAUSE_MIN.saturating_mul(1 << tries.min(16)).min(PAUSE_MAX);
    let half = full / 2;
    let step = u32::try_from(draw % 1024).expect("below 1024");
    half + half * step / 1024
}

#[cfg(test)]
mod tests {
    use emberfs_layout::{ChainId, ChainVersion, ChunkId, TargetId};
    use proptest::prelude::*;

    use super::*;

    fn text() -> String {
        "the tail".to_owned()
    }

    /// The whole table: what each failure asks of a read, a write and a question to the metadata group.
    #[test]
    fn each_failure_has_its_row() {
        use Next::{Again, Elsewhere, Fault, Refresh, Refused};
        let (chain, asked, known) = (ChainId(1), ChainVersion(2), ChainVersion(3));
        let (target, chunk) = (TargetId(4), ChunkId::default());
        let no = Refused(FsError::NoSpace);
        let answers = [
            (WireError::Retry { after_ms: 1, text: text() }, [Again, Again, Again]),
            (WireError::RefreshRouting { chain, asked, known }, [Refresh, Refresh, Refresh]),
            (WireError::Wait { text: text() }, [Refresh, Refresh, Again]),
            (FsError::NoSpace.into(), [no, no, no]),
            (WireError::Corrupt { target, chunk }, [Elsewhere, Again, Elsewhere]),
            (WireError::bug("x"), [Fault, Fault, Fault]),
            (WireError::NotLeader { leader: None }, [Elsewhere, Refresh, Elsewhere]),
        ];
        let mut rows: Vec<_> =
            answers.iter().map(|(error, row)| (Failure::Answered(error), *row)).collect();
        rows.extend([
            (Failure::Closed, [Elsewhere, Refresh, Elsewhere]),
            (Failure::Unreachable, [Elsewhere, Refresh, Elsewhere]),
            (Failure::Slow, [Elsewhere, Refresh, Elsewhere]),
            (Failure::Damaged, [Elsewhere, Again, Elsewhere]),
            (Failure::NoRoute, [Refresh, Refresh, Refresh]),
        ]);
        for (failure, row) in rows {
            let said =
                [Work::Read, Work::Write, Work::Meta].map(|work| decide(work, failure, 3, 0).next);
            assert_eq!(said, row, "{failure:?}");
        }
    }

    #[test]
    fn the_first_change_is_free_and_a_wish_is_kept() {
        let after = |failure: Failure<'_>, tries| decide(Work::Write, failure, tries, 0).pause;
        assert_eq!(after(Failure::Closed, 0), Duration::ZERO);
        assert!(after(Failure::Closed, 1) >= PAUSE_MIN / 2);
        let wish = |after_ms| WireError::Retry { after_ms, text: text() };
        assert_eq!(after(Failure::Answered(&wish(100)), 0), Duration::from_millis(100));
        assert_eq!(after(Failure::Answered(&wish(u32::MAX)), 0), PAUSE_MAX);
        assert!(after(Failure::Answered(&wish(0)), 0) > Duration::ZERO, "never at once, for ever");
    }

    #[test]
    fn an_election_is_waited_for_in_short_pauses() {
        let nobody = WireError::NotLeader { leader: None };
        let after = |tries| decide(Work::Meta, Failure::Answered(&nobody), tries, 1023).pause;
        assert_eq!([after(0), after(63)], [Duration::ZERO, ELECTION_PAUSE_MAX]);
        assert!(after(64) > PAUSE_MAX / 2, "nobody is electing any more");
        assert!(after(1) >= PAUSE_MIN && after(1) < ELECTION_PAUSE_MAX);
    }

    proptest! {
        #[test]
        fn pauses_grow_and_end(tries in 1_u32..100, draw: u64) {
            let pause = decide(Work::Meta, Failure::Closed, tries, draw).pause;
            prop_assert!(pause >= PAUSE_MIN / 2 && pause <= PAUSE_MAX);
            prop_assert!(tries < 8 || pause >= PAUSE_MAX / 2);
        }
    }
}
