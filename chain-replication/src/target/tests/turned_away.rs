//! Sessions that want more places among a chunk's tags than there are.

use emberfs_wire::limits::{TAGS_MAX, TAGS_OPEN_MAX};

use super::*;
use crate::target::Limits;
use crate::target::limits::TURNED_AWAY_MS;

/// A client's longest pause before it asks again, in milliseconds.
const PAUSE_MS: u64 = 500;

impl Stand {
    fn limited(limits: Limits) -> Self {
        let mut head = Self::new(0, &[Serving]);
        head.target = Target::new(target(0), Loaded::default()).limited(limits);
        head.follow(&[Serving]);
        head.step(Input::Lease { until: Millis(u64::MAX) });
        head
    }

    /// Whether a session's change is let in, which has the replies to all that it asked for before; it is made then.
    fn lets_in(&mut self, client: u64, sequence: u64) -> bool {
        self.lets_in_above(sequence, client, sequence)
    }

    fn lets_in_above(&mut self, low_water: u64, client: u64, sequence: u64) -> bool {
        let tag = Tag { client: ClientId(client), sequence: Sequence(sequence) };
        let id = self.change_above(Sequence(low_water), CHUNK, tag, write());
        if self.waits(id) {
            self.stored();
            assert!(self.is_updated(id));
            return true;
        }
        let answer = self.answer(id);
        assert!(matches!(answer, Err(WireError::Retry { .. })), "{answer:?}");
        false
    }
}

#[test]
fn each_of_many_sessions_that_never_pause_gets_through() {
    struct Session {
        done: u64,
        asks: Millis,
    }
    let mut head = Stand::new(0, &[Serving]);
    let mut sessions: Vec<_> = (0..200).map(|_| Session { done: 0, asks: Millis(0) }).collect();
    assert!(sessions.len() > TAGS_MAX);
    for _ in 0..10 * PAUSE_MS {
        head.later(1);
        for (client, session) in (0..).zip(&mut sessions) {
            if head.now < session.asks {
                continue;
            }
            if head.lets_in(client, session.done + 1) {
                session.done += 1;
            } else {
                session.asks = head.now.after(PAUSE_MS);
            }
        }
    }
    let least = sessions.iter().map(|session| session.done).min();
    assert!(least >= Some(3), "in ten pauses one got through {least:?} times");
}

#[test]
fn whoever_was_turned_away_first_goes_first() {
    let mut head = Stand::limited(Limits { tags_open_max: 2, tags_max: 3, ..Limits::default() });
    assert!((1..=3).all(|client| head.lets_in(client, 1)));
    assert!(!head.lets_in(4, 5) && !head.lets_in(5, 1), "no place is left");
    assert!(!head.lets_in(1, 2), "it made a place, which is another's");
    assert!(!head.lets_in(5, 1) && !head.lets_in_above(5, 4, 6));
    assert!(head.lets_in(4, 5));
    assert!(!head.lets_in(2, 2) && !head.lets_in(1, 2) && head.lets_in(5, 1));
    assert!(
        !head.lets_in(3, 2) && head.lets_in(1, 2),
        "those that had places stand in line like others"
    );
}

#[test]
fn whoever_wants_no_place_any_more_has_none_kept() {
    let mut head = Stand::limited(Limits { tags_open_max: 2, tags_max: 3, ..Limits::default() });
    assert!((1..=3).all(|client| head.lets_in(client, 1)));
    assert!((4..=6).all(|client| !head.lets_in(client, 1)));
    head.step(Input::Ended(vec![ClientId(4)]));
    head.later(TURNED_AWAY_MS - 1);
    assert!(!head.lets_in(1, 2) && !head.lets_in(6, 1), "it may come yet");
    head.later(1);
    assert!(head.lets_in(6, 1), "it did not");
}

#[test]
fn half_of_the_places_are_kept_for_whoever_stands_in_line() {
    let mut head = Stand::new(0, &[Serving]);
    let most = TAGS_MAX as u64;
    assert!((0..most).all(|client| head.lets_in(client, 1)));
    assert!((most..2 * most).all(|client| !head.lets_in(client, 1)));
    let end = |clients: std::ops::Range<u64>| Input::Ended(clients.map(ClientId).collect());
    let half = TAGS_OPEN_MAX as u64;
    head.step(end(0..half));
    assert!(!head.lets_in(2 * most, 1));
    head.step(end(half..half + 1));
    assert!(head.lets_in(2 * most, 1) && !head.lets_in(2 * most + 1, 1));
}
