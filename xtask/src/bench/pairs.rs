//! Limit, value, value, limit: what drifts in those seconds drifts for both.
//!
//! Where the two limits of such a pair differ by more than noise may be, the pair is taken again, and after some tries
//! kept as noisy, as is where no time is left for it: what it says is said with that word.

use anyhow::Result;

use super::medium::Medium;
use super::rows::Pace;
use super::slice::Slice;
use super::statistics::{differ, median};

/// How often a noisy pair is taken again.
const AGAIN: usize = 3;
/// Slices of a pair.
const SLICES: f64 = 4.0;

/// How long and how often is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    pub(super) seconds: f64,
    pub(super) pairs: usize,
}

impl Effort {
    /// Of a load at this pace.
    pub(super) fn of(pace: Pace, medium: Medium, is_quick: bool) -> Self {
        match (is_quick, pace, medium) {
            (true, Pace::Long, _) => Self { seconds: 1.0, pairs: 1 },
            (true, ..) => Self { seconds: 1.0, pairs: 2 },
            (_, Pace::Floor, Medium::Ram) => Self { seconds: 3.0, pairs: 5 },
            // More than a second: in a shorter slice less is done.
            (_, Pace::Whole, _) => Self { seconds: 1.5, pairs: 3 },
            (_, Pace::Long, _) => Self { seconds: 1.5, pairs: 1 },
            (_, Pace::Floor | Pace::Usual, _) => Self { seconds: 0.75, pairs: 5 },
        }
    }

    /// How long it takes at least, in seconds.
    pub(super) fn takes(self) -> f64 {
        self.seconds * SLICES * self.pairs as f64
    }
}

/// For how many seconds noisy pairs may be taken again, all rows together: the table is to end in time.
#[derive(Debug)]
pub(super) struct Allowance(pub(super) f64);

impl Allowance {
    /// Takes what one more pair takes; false: that much is not left.
    fn take(&mut self, effort: Effort) -> bool {
        let needed = effort.seconds * SLICES;
        let is_left = self.0 >= needed;
        self.0 -= if is_left { needed } else { 0.0 };
        is_left
    }
}

/// Two slices of each.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) limits: [Slice; 2],
    pub(super) values: [Slice; 2],
    pub(super) is_noisy: bool,
}

impl Pair {
    /// What is to be known of both values together.
    pub(super) fn value(&self, of: impl Fn(&Slice) -> f64) -> f64 {
        median(&self.values.each_ref().map(of))
    }

    /// The same of both limits.
    pub(super) fn limit(&self, of: impl Fn(&Slice) -> f64) -> f64 {
        median(&self.limits.each_ref().map(of))
    }
}

/// Which side of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Limit,
    Value,
}

/// Takes pairs of slices of so many seconds.
pub(super) fn take(
    effort: Effort,
    allowance: &mut Allowance,
    mut slice: impl FnMut(Which, f64) -> Result<Slice>,
) -> Result<Vec<Pair>> {
    let mut one = || {
        let mut slice = |which| slice(which, effort.seconds);
        let (first, values) = (slice(Which::Limit)?, [slice(Which::Value)?, slice(Which::Value)?]);
        let limits = [first, slice(Which::Limit)?];
        let is_noisy = differ(limits[0].rate(), limits[1].rate());
        Ok::<_, anyhow::Error>(Pair { limits, values, is_noisy })
    };
    let mut pairs = Vec::new();
    for _ in 0..effort.pairs {
        let mut pair = one()?;
        for _ in 0..AGAIN {
            if !pair.is_noisy || !allowance.take(effort) {
                break;
            }
            pair = one()?;
        }
        pairs.push(pair);
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes pairs whose limits have these rates, one after the other; which slices were taken, and the pairs.
    fn taken(pairs: usize, limits: &[u64], seconds: f64) -> (String, Vec<Pair>) {
        let (mut order, mut next) = (String::new(), limits.iter());
        let effort = Effort { seconds: 1.0, pairs };
        let found = take(effort, &mut Allowance(seconds), |which, _| {
            order.push_str(&format!("{which:?}")[..1]);
            let ops = match which {
                Which::Limit => *next.next().expect("one was expected"),
                Which::Value => 50,
            };
            Ok(Slice { ops, seconds: 1.0, ..Slice::default() })
        });
        (order, found.expect("nothing failed"))
    }

    #[test]
    fn limit_and_value_alternate() {
        let (order, pairs) = taken(2, &[100, 90, 100, 100], 0.0);
        assert_eq!(order, "LVVLLVVL");
        assert!(pairs.iter().all(|pair| !pair.is_noisy));
        assert!((pairs[0].limit(Slice::rate) - 95.0).abs() < 1e-9);
        assert!((pairs[0].value(Slice::rate) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_noisy_pair_is_taken_again_and_at_last_kept() {
        let (order, pairs) = taken(1, &[100, 50, 100, 99], 99.0);
        assert_eq!((order.len(), pairs[0].is_noisy), (8, false));
        let (order, pairs) = taken(1, &[100, 50, 100, 50, 100, 50, 100, 50], 99.0);
        assert_eq!((order.len(), pairs[0].is_noisy), (16, true));
        let (order, pairs) = taken(1, &[100, 50, 100, 50], 7.0);
        assert_eq!((order.len(), pairs[0].is_noisy), (8, true), "no time is left for a third");
    }
}
