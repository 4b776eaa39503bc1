//! What `/proc/self/status` says of this process, which is asked in no other way without a change to it.

use std::fs::read_to_string;

/// What new files and directories of this process do not get. Where `/proc` cannot be read: what they mostly do not.
pub(super) fn umask() -> u16 {
    const USUAL: u16 = 0o022;
    field("Umask:", |text| u16::from_str_radix(text, 8).ok()).unwrap_or(USUAL)
}

/// Whether a signal is ignored, as whoever started this program wants it.
pub(super) fn is_ignored(signal: i32) -> bool {
    let ignored = field("SigIgn:", |text| u64::from_str_radix(text, 16).ok());
    ignored.is_some_and(|ignored| has(ignored, signal))
}

fn field<T>(key: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
    let status = read_to_string("/proc/self/status").ok()?;
    parse(status.lines().find_map(|line| line.strip_prefix(key))?.trim())
}

/// Whether a set of signals, the first in its lowest bit, has this one.
fn has(signals: u64, signal: i32) -> bool {
    let bit = u32::try_from(signal - 1).ok().and_then(|place| 1_u64.checked_shl(place));
    bit.is_some_and(|bit| signals & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_counted_from_one() {
        assert!(has(0b1, 1) && !has(0b1, 2) && has(1 << 63, 64));
        assert!(!has(u64::MAX, 0) && !has(u64::MAX, 65));
    }

    #[test]
    fn the_kernel_says_it() {
        const SIGPIPE: i32 = 13; // Rust has it ignored before `main`
        assert!(is_ignored(SIGPIPE));
        assert!(field("Umask:", |text| u16::from_str_radix(text, 8).ok()).is_some());
    }
}
