//! Pauses before a request is sent again.

use std::time::Duration;

/// The first pause: a head that changes is known within some of these.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest: how long after a chain's return its work may stand still.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The longest after a refusal: what was lacking, room or a block that can be read, seldom comes sooner.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(5);

/// The pauses of one request: each twice as long as the one before.
pub(super) struct Pauses {
    next: Duration,
    long: bool,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self { next: PAUSE_MIN, long: false }
    }

    /// How long to wait now, and whether that is long for the first time.
    pub(super) fn next(&mut self, was_refused: bool) -> (Duration, bool) {
        let pause = self.next.min(if was_refused { REFUSED_PAUSE_MAX } else { PAUSE_MAX });
        self.next = pause * 2;
        let long = pause >= PAUSE_MAX;
        (pause, long && !std::mem::replace(&mut self.long, long))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first pause of a second or more, how many pauses come before it, and the longest of so many.
    fn taken(was_refused: bool, count: usize) -> (usize, Duration, Duration) {
        let mut pauses = Pauses::new();
        let all: Vec<_> = (0..count).map(|_| pauses.next(was_refused)).collect();
        let said: Vec<_> = (0..count).filter(|at| all[*at].1).collect();
        assert_eq!(said.len(), 1, "said once");
        let longest = all.iter().map(|(pause, _)| *pause).max().expect("some");
        (said[0], all[said[0]].0, longest)
    }

    #[test]
    fn pauses_grow_to_a_second_and_after_refusals_to_some() {
        let first = Pauses::new().next(false);
        assert_eq!(first, (Duration::from_millis(20), false));
        assert_eq!(taken(false, 50), (6, PAUSE_MAX, PAUSE_MAX));
        assert_eq!(taken(true, 50), (6, Duration::from_millis(1280), REFUSED_PAUSE_MAX));
    }

    #[test]
    fn what_was_refused_for_long_is_asked_soon_where_a_chain_is_away() {
        let mut pauses = Pauses::new();
        for _ in 0..50 {
            pauses.next(true);
        }
        assert_eq!(pauses.next(false).0, PAUSE_MAX);
        assert_eq!(pauses.next(true).0, PAUSE_MAX * 2);
    }
}
