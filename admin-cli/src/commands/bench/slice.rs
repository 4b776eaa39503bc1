//! What came of a load: how much in which time, and how long calls took.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What was counted: calls that ended in the time.
#[derive(Clone, Debug, Default)]
pub(super) struct Slice {
    pub(super) bytes: usize,
    pub(super) time: Duration,
    /// Of each call, in microseconds, in any order.
    pub(super) took_us: Vec<u32>,
    /// What else is to be known of it.
    pub(super) note: Option<String>,
}

impl Slice {
    /// Counts calls that began at `from` and end now, in a slice that began at `begin`.
    pub(super) fn count(&mut self, begin: Instant, from: Instant, calls: usize, bytes: usize) {
        let took = u32::try_from(from.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.took_us.extend(std::iter::repeat_n(took, calls));
        self.bytes += bytes;
        self.time = begin.elapsed();
    }

    /// Counts a call that took so long, in a slice that began at `begin`.
    pub(super) fn count_took(&mut self, begin: Instant, took: Duration, bytes: usize) {
        self.took_us.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        self.bytes += bytes;
        self.time = begin.elapsed();
    }

    /// Those of several callers as one.
    pub(super) fn joined(parts: Vec<Self>) -> Self {
        parts.into_iter().fold(Self::default(), |mut whole, part| {
            whole.bytes += part.bytes;
            whole.time = whole.time.max(part.time);
            whole.took_us.extend(part.took_us);
            whole
        })
    }

    /// How many calls.
    pub(super) fn calls(&self) -> usize {
        self.took_us.len()
    }

    /// What came of it.
    pub(super) fn outcome(mut self) -> Outcome {
        self.took_us.sort_unstable();
        Outcome {
            ops: self.calls() as u64,
            bytes: self.bytes as u64,
            seconds: self.time.as_secs_f64(),
            p50_us: percentile(&self.took_us, 50).into(),
            p99_us: percentile(&self.took_us, 99).into(),
            note: self.note,
        }
    }
}

/// The smallest of these sorted numbers that so many in a hundred do not exceed; of none, zero.
fn percentile(sorted: &[u32], hundredths: usize) -> u32 {
    let place = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(0)
}

/// What came of a slice, here or in another program: as programs say it to each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) ops: u64,
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) note: Option<String>,
}

impl Outcome {
    /// Calls a second; in no time, none.
    pub(super) fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.ops as f64 / self.seconds } else { 0.0 }
    }

    /// What two that come one after the other for each call would do: `1 / (1/one + 1/other)`, with the bytes of the
    /// first.
    pub(super) fn in_a_row(self, other: &Self) -> Self {
        let seconds = self.ops as f64 * (1.0 / self.rate() + 1.0 / other.rate());
        let (p50_us, p99_us) = (self.p50_us + other.p50_us, self.p99_us + other.p99_us);
        Self { seconds, p50_us, p99_us, ..self }
    }

    /// Each call counted as so many.
    pub(super) fn times(self, each: u64) -> Self {
        Self { ops: self.ops * each, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_joined_and_percentiles_of_the_nearest_rank() {
        let part = |from: u32, to: u32| Slice {
            bytes: 10,
            time: Duration::from_secs(to.into()),
            took_us: (from..=to).rev().collect(),
            note: None,
        };
        let whole = Slice::joined(vec![part(51, 100), part(1, 50)]);
        assert_eq!((whole.bytes, whole.time.as_secs(), whole.calls()), (20, 100, 100));
        let outcome = whole.outcome();
        assert_eq!((outcome.p50_us, outcome.p99_us), (50, 99));
        assert_eq!(Slice::default().outcome().p50_us, 0);
    }

    #[test]
    fn rates_in_a_row_add_their_times() {
        let of = |ops, seconds| Outcome { ops, bytes: ops, seconds, ..Outcome::default() };
        let both = of(30, 1.0).in_a_row(&of(120, 2.0));
        assert!((both.rate() - 20.0).abs() < 1e-9 && both.bytes == 30, "{both:?}");
        assert!((both.times(1024).rate() - 20_480.0).abs() < 1e-6);
    }

    #[test]
    fn what_another_program_says_is_read() {
        let said = r#"{"ops":2,"bytes":8,"seconds":0.5,"p50_us":7,"p99_us":9}"#;
        let outcome: Outcome = serde_json::from_str(said).expect("whole");
        assert_eq!((outcome.ops, outcome.note.as_deref()), (2, None));
        assert!((outcome.rate() - 4.0).abs() < 1e-9);
    }
}
