//! What came of a load: how much in which time, and how long calls took.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What was counted: calls that ended in the time.
#[derive(Clone, Debug, Default)]
pub(super) struct Slice {
    pub(super) bytes: usize,
    pub(super) time: Duration,
    /// Of each call, in microseconds; in order once it is a whole slice.
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
        let mut whole = parts.into_iter().fold(Self::default(), |mut whole, part| {
            whole.bytes += part.bytes;
            whole.time = whole.time.max(part.time);
            whole.took_us.extend(part.took_us);
            whole
        });
        whole.took_us.sort_unstable();
        whole
    }

    /// How many calls.
    pub(super) fn calls(&self) -> usize {
        self.took_us.len()
    }

    /// The shortest time that so many in a hundred calls do not exceed, in microseconds; without calls, zero.
    pub(super) fn percentile(&self, hundredths: usize) -> u32 {
        let place = (self.calls() * hundredths).div_ceil(100).saturating_sub(1);
        self.took_us.get(place).copied().unwrap_or(0)
    }

    /// As programs read it.
    pub(super) fn json(&self) -> Value {
        json!({
            "ops": self.calls(),
            "bytes": self.bytes,
            "seconds": self.time.as_secs_f64(),
            "p50_us": self.percentile(50),
            "p99_us": self.percentile(99),
            "note": self.note,
        })
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
        assert_eq!((whole.percentile(50), whole.percentile(99)), (50, 99));
        assert_eq!(Slice::default().percentile(50), 0);
    }
}
