//! Medians and quartiles of a few numbers, and what makes a measurement noisy or a limit weak.

/// By how much the two limits of a pair may differ, as a part of the larger.
pub(super) const NOISE: f64 = 0.15;
/// A limit that gives less than this part of what its parts allow is weak.
pub(super) const WEAK: f64 = 0.9;

/// The number in the middle; of an even count the mean of the two; of none zero.
pub(super) fn median(numbers: &[f64]) -> f64 {
    quantile(numbers, 0.5)
}

/// The first and the third quartile.
pub(super) fn quartiles(numbers: &[f64]) -> (f64, f64) {
    (quantile(numbers, 0.25), quantile(numbers, 0.75))
}

/// The number at this part of the way from the smallest to the largest, interpolated (type 7 of Hyndman and Fan).
#[expect(clippy::cast_possible_truncation, reason = "places among a few numbers")]
fn quantile(numbers: &[f64], part: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = part * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// Whether two measurements of the same differ by more than noise may be.
pub(super) fn differ(one: f64, other: f64) -> bool {
    (one - other).abs() > NOISE * one.max(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
    }

    #[test]
    fn the_middle_is_found_in_any_order() {
        is(median(&[3.0, 1.0, 2.0]), 2.0);
        is(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        is(median(&[7.0]), 7.0);
        is(median(&[]), 0.0);
    }

    #[test]
    fn quartiles_are_interpolated() {
        let (first, third) = quartiles(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        is(first, 2.0);
        is(third, 4.0);
        let (first, third) = quartiles(&[1.0, 2.0]);
        is(first, 1.25);
        is(third, 1.75);
    }

    #[test]
    fn noise_is_a_part_of_the_larger() {
        assert!(!differ(100.0, 85.0) && !differ(85.0, 100.0));
        assert!(differ(100.0, 84.9) && differ(84.9, 100.0));
        assert!(!differ(0.0, 0.0));
    }
}
