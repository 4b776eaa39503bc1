//! Where random calls go: anywhere, and in every run the same.

/// Numbers by xorshift: no call waits for them.
#[derive(Debug)]
pub(super) struct Places(u64);

impl Places {
    /// Those of one caller.
    pub(super) fn of(caller: usize) -> Self {
        Self((caller as u64 + 1) << 32 | 0x9E37_79B9)
    }

    /// The next, below `count`.
    pub(super) fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_go_different_ways_that_repeat() {
        let first = |caller| {
            let mut places = Places::of(caller);
            (0..8).map(|_| places.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
        assert!(first(3).iter().all(|place| *place < 1000));
    }
}
