//! What came of a load: how much in which time, and how long calls took.

use std::time::Duration;

use serde_json::{Value, json};

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slice {
    pub(crate) size: usize,
    pub(crate) time: Duration,
    /// Of each call that ended, in microseconds.
    pub(crate) took_us: Vec<u32>,
}

impl Slice {
    /// Counts a call.
    pub(crate) fn count(&mut self, took: Duration) {
        self.took_us.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// Calls a second.
    pub(crate) fn rate(&self) -> f64 {
        self.took_us.len() as f64 / self.time.as_secs_f64()
    }

    /// As it is printed.
    pub(crate) fn json(&mut self) -> Value {
        self.took_us.sort_unstable();
        json!({
            "ops": self.took_us.len(),
            "bytes": self.took_us.len() * self.size,
            "seconds": self.time.as_secs_f64(),
            "p50_us": percentile(&self.took_us, 50),
            "p99_us": percentile(&self.took_us, 99),
        })
    }
}

/// The smallest of these sorted numbers that so many in a hundred do not exceed; none: zero.
fn percentile(sorted: &[u32], hundredths: usize) -> u32 {
    let place = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 99)), (50, 99));
        assert_eq!((percentile(&[7], 99), percentile(&[], 50)), (7, 0));
    }

    #[test]
    fn a_rate_is_calls_by_time() {
        let mut slice = Slice { size: 10, time: Duration::from_secs(2), took_us: Vec::new() };
        (0..6).for_each(|_| slice.count(Duration::from_micros(5)));
        assert!((slice.rate() - 3.0).abs() < 1e-9);
        assert_eq!(slice.json()["bytes"], 60);
    }
}
