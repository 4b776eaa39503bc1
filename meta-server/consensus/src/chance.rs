//! The chance in elections.

/// Without a word from the leader for this many ticks, and up to as many again by chance, a member asks
/// for votes. A leader that heard of no majority for as long steps down.
pub(crate) const ELECTION_TICKS: usize = 12;

/// Where it comes from (SplitMix64): `raft` would draw from a source of its own, and no run would repeat.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// For how many ticks a member is patient this time.
    pub(crate) fn election_ticks(&mut self) -> usize {
        let drawn = self.draw() % ELECTION_TICKS as u64;
        ELECTION_TICKS + usize::try_from(drawn).expect("less than a handful of ticks")
    }

    /// Any number.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
