//! What the process reads of its own counts: sums over labels, and how values of a time range were distributed.

use prometheus::core::{Collector, Metric as _};

use crate::metric::{Counter, Histogram, Metric};

/// The sum of a counter over all of its labels that `counts` takes, each by its values in the order of their names.
#[must_use]
pub fn total<const N: usize>(
    of: &Metric<Counter, N>,
    mut counts: impl FnMut(&[&str]) -> bool,
) -> u64 {
    let mut sum = 0.0;
    for family in of.family().collect() {
        for one in family.get_metric() {
            let values: Vec<&str> = one.get_label().iter().map(|label| label.value()).collect();
            if counts(&values) {
                sum += one.get_counter().get_value();
            }
        }
    }
    whole(sum)
}

/// A count comes as a fraction, without one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn whole(count: f64) -> u64 {
    count as u64
}

/// How many values were at most so large: what a histogram has seen up to a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Upper bounds, ascending, each with the values up to it.
    buckets: Vec<(f64, u64)>,
    count: u64,
}

impl Distribution {
    /// What it has seen until now.
    #[must_use]
    pub fn of(histogram: &Histogram) -> Self {
        let metric = histogram.metric();
        let found = metric.get_histogram();
        let buckets = found.get_bucket().iter();
        let buckets = buckets.map(|one| (one.upper_bound(), one.cumulative_count())).collect();
        Self { buckets, count: found.get_sample_count() }
    }

    /// What was seen after `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let earlier = before.buckets.iter().map(|(_, count)| *count).chain(std::iter::repeat(0));
        let buckets = self.buckets.iter().zip(earlier);
        let buckets = buckets.map(|((bound, now), then)| (*bound, now.saturating_sub(then)));
        Self { buckets: buckets.collect(), count: self.count.saturating_sub(before.count) }
    }

    /// How many values were seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The bound below which this share of the values lies: within its bucket as if they were spread evenly, as
    /// Prometheus' `histogram_quantile` has it; the largest bound for what lies beyond all. `None` without values.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let wanted = share * self.count as f64;
        let (mut below, mut before) = (0.0, 0);
        for (bound, count) in &self.buckets {
            if *count as f64 >= wanted {
                let within = (*count - before).max(1) as f64;
                return Some(below + (bound - below) * (wanted - before as f64) / within);
            }
            (below, before) = (*bound, *count);
        }
        Some(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{DISK_SYNC_SECONDS, RPC_REQUESTS};

    #[test]
    fn a_quantile_is_of_the_time_range_alone() {
        let seconds = DISK_SYNC_SECONDS.with(["quantile"]);
        (0..100).for_each(|_| seconds.observe(3.0));
        let before = Distribution::of(&seconds);
        assert_eq!(before.since(&before).quantile(0.99), None);
        (0..98).for_each(|_| seconds.observe(0.0015));
        (0..2).for_each(|_| seconds.observe(0.3));
        let range = Distribution::of(&seconds).since(&before);
        assert_eq!(range.count(), 100);
        let (median, slow) = (range.quantile(0.5), range.quantile(0.99));
        assert!(median.is_some_and(|seconds| (0.001..0.002).contains(&seconds)), "{median:?}");
        assert!(slow.is_some_and(|seconds| (0.2..0.5).contains(&seconds)), "{slow:?}");
        let beyond = DISK_SYNC_SECONDS.with(["beyond"]);
        beyond.observe(60.0);
        assert_eq!(Distribution::of(&beyond).quantile(0.99), Some(10.0));
    }

    #[test]
    fn a_total_is_over_the_labels_that_count() {
        RPC_REQUESTS.with(["total-a", "x"]).inc_by(2);
        RPC_REQUESTS.with(["total-b", "x"]).inc_by(3);
        RPC_REQUESTS.with(["total-b", "y"]).inc_by(4);
        let ours = |values: &[&str]| values[0].starts_with("total-");
        assert_eq!(total(&RPC_REQUESTS, ours), 9);
        assert_eq!(total(&RPC_REQUESTS, |values| ours(values) && values[1] == "x"), 5);
    }
}
