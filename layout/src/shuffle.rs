//! The permutation that spreads a file's chunks over chains. It is part of the format: two builds
//! that computed it differently would look for the same bytes in different places.
//!
//! # Specification
//! Given a seed of 64 bits and a table of `n` chains, numbered 0 to n − 1:
//!
//! 1. Random words are drawn from SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom
//!    number generators", OOPSLA 2014), whose state starts at the seed.
//! 2. A number below `k` is drawn without bias by Lemire's method ("Fast random integer generation
//!    in an interval", 2019): with x a word, m = x · k in 128 bits; the draw is m >> 64, unless
//!    m mod 2^64 is below 2^64 mod k, when the next word is tried.
//! 3. Forward Fisher–Yates: for i from 0 to w − 1, position i swaps with position
//!    i + (a number below n − i). The stripe is positions 0 to w − 1.
//!
//! So a narrower stripe is a prefix of a wider one with the same seed.

/// SplitMix64, the generator of the specification.
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `k`, each with the same chance; `k` is at least 1.
    #[expect(clippy::cast_possible_truncation, reason = "the low half of a product of 128 bits")]
    fn below(&mut self, k: u64) -> u64 {
        let threshold = k.wrapping_neg() % k; // 2^64 mod k
        loop {
            let product = u128::from(self.next()) * u128::from(k);
            let (high, low) = ((product >> 64) as u64, product as u64);
            if low >= threshold {
                return high;
            }
        }
    }
}

/// The chains of a stripe, as positions in a table of `chains` chains: `width` of them (all, if the
/// table has fewer), each at most once. Chunk `i` lives on `stripe[i mod stripe.len()]`.
///
/// Costs a list of `chains` numbers: callers keep the result with the inode.
#[must_use]
pub fn stripe(seed: u64, width: u32, chains: u32) -> Vec<u32> {
    let mut random = SplitMix64 { state: seed };
    let mut order: Vec<u32> = (0..chains).collect();
    let width = width.min(chains) as usize;
    for i in 0..width {
        let rest = (order.len() - i) as u64;
        let step = usize::try_from(random.below(rest)).expect("below a list's length");
        order.swap(i, i + step);
    }
    order.truncate(width);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The first words for seed 1234567, as published with the generator's reference code.
    #[test]
    fn splitmix64_is_the_published_one() {
        let mut random = SplitMix64 { state: 1_234_567 };
        let words = [(); 3].map(|()| random.next());
        assert_eq!(
            words,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn every_chain_is_first_about_as_often() {
        let mut first = [0_u32; 7];
        for seed in 0..7_000 {
            first[stripe(seed, 1, 7)[0] as usize] += 1;
        }
        assert!(first.iter().all(|n| (850..1_150).contains(n)), "{first:?}");
    }

    proptest! {
        #[test]
        fn a_stripe_is_a_partial_permutation(seed: u64, width in 0_u32..200, chains in 0_u32..200) {
            let mut order = stripe(seed, width, chains);
            prop_assert_eq!(order.len(), width.min(chains) as usize);
            let wide = stripe(seed, chains, chains);
            prop_assert_eq!(&order[..], &wide[..order.len()]);
            order.sort_unstable();
            order.dedup();
            prop_assert_eq!(order.len(), width.min(chains) as usize);
            prop_assert!(order.iter().all(|c| *c < chains));
        }
    }
}
