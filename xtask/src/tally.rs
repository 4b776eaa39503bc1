//! Counts the tests that ran, from what the test harness prints.
//!
//! libtest ends each binary with `test result: ok. 3 passed; 0 failed; 0 ignored; …`. A test that
//! cannot run where it is (no `/dev/fuse`, say) prints a line `skipped: NAME: WHY` and returns; test
//! runs pass `--show-output`, so that such lines are seen also of tests that pass. Skipped tests are
//! taken off the passed ones: nothing is skipped in silence, nor counted as shown to work.

use std::fmt;
use std::ops::AddAssign;

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Takes in one line of a test run.
    pub(crate) fn read_line(&mut self, line: &str) {
        if line.trim_start().starts_with("skipped: ") {
            self.skipped += 1;
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            let count = |word| count_before(counts, word);
            self.passed += count("passed");
            self.failed += count("failed");
        }
    }

    /// The tests that were executed and passed: a skipped one returns early, which the harness counts
    /// as passed.
    pub(crate) fn really_passed(self) -> u64 {
        self.passed.saturating_sub(self.skipped)
    }
}

/// The number before `word` in `3 passed; 0 failed; …`; 0 if there is none.
fn count_before(counts: &str, word: &str) -> u64 {
    counts
        .split([';', '.'])
        .filter_map(|part| part.trim().split_once(' '))
        .find(|(_, name)| *name == word)
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or(0)
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failed, skipped, .. } = self;
        write!(f, "{} passed, {failed} failed, {skipped} skipped", self.really_passed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_add_up_and_skipped_ones_do_not_count_as_passed() {
        let mut tally = Tally::default();
        for line in [
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "skipped: a_mount: /dev/fuse is missing",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            "test something ... ok",
        ] {
            tally.read_line(line);
        }
        assert_eq!(tally, Tally { passed: 5, failed: 1, skipped: 1 });
        assert_eq!(tally.to_string(), "4 passed, 1 failed, 1 skipped");
    }
}
