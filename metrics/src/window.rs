//! The last seconds of something that is looked at now and then.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back is looked: long enough that a burst is no rate, short enough that it is now.
pub const WINDOW: Duration = Duration::from_secs(5);
/// Samples are no closer than this, so that there are few.
const STEP: Duration = Duration::from_millis(500);

/// Samples of the last [`WINDOW`], oldest first.
#[derive(Clone, Debug)]
pub struct Window<T> {
    samples: VecDeque<(Instant, T)>,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self { samples: VecDeque::new() }
    }
}

impl<T> Window<T> {
    /// Notes how it is now; how it was before, as long ago as the window is if that is known, and how long ago that was.
    /// `None` while too little time has passed.
    pub fn note(&mut self, now: Instant, sample: T) -> Option<(Duration, &T)> {
        let age = |(then, _): &(Instant, T)| now.saturating_duration_since(*then);
        if self.samples.back().is_none_or(|last| age(last) >= STEP) {
            self.samples.push_back((now, sample));
        }
        while self.samples.get(1).is_some_and(|second| age(second) >= WINDOW) {
            self.samples.pop_front();
        }
        let first = self.samples.front().filter(|first| age(first) >= STEP)?;
        Some((age(first), &first.1))
    }
}

/// How many a second, of so many in a time.
#[must_use]
pub fn rate(count: u64, time: Duration) -> u64 {
    let ms = time.as_millis().max(1);
    u64::try_from(u128::from(count) * 1000 / ms).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_back_so_far_and_no_farther() {
        let (begin, mut window) = (Instant::now(), Window::default());
        let mut look = |ms, sample| {
            let seen = window.note(begin + Duration::from_millis(ms), sample);
            (seen.map(|(age, then)| (age.as_millis(), *then)), window.samples.len())
        };
        assert_eq!(look(0, 0), (None, 1));
        assert_eq!(look(100, 1), (None, 1), "too soon");
        assert_eq!(look(1000, 2), (Some((1000, 0)), 2));
        assert_eq!(look(5500, 3), (Some((5500, 0)), 3), "the next is younger than the window");
        assert_eq!(look(6000, 4), (Some((5000, 2)), 3));
        assert_eq!(look(60_000, 5), (Some((54_000, 4)), 2), "who looks seldom sees more");
        assert_eq!((rate(10, Duration::from_secs(5)), rate(10, Duration::ZERO)), (2, 10_000));
    }
}
