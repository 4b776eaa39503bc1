//! Bytes that say what they are: each word of eight names its version, and fits its file and its place only.

use std::ops::{Range, RangeInclusive};

use emberfs_client::Bytes;

/// Bytes of one word.
pub const WORD: u64 = 8;

/// What a file has in `range` at this version; versions begin with 1.
pub fn bytes(file: u32, version: u32, range: Range<u64>) -> Bytes {
    let (first, last) = (range.start / WORD, range.end.div_ceil(WORD));
    let words = (first..last).flat_map(|place| word(file, version, place).to_le_bytes());
    let whole: Vec<u8> = words.collect();
    let skipped = (range.start - first * WORD) as usize;
    Bytes::from(whole).slice(skipped..skipped + (range.end - range.start) as usize)
}

/// The versions of which `bytes` of a file, from `start` on, are made.
///
/// # Errors
/// Which word is of another file, of another place, or of nothing that was ever written.
pub fn versions(file: u32, start: u64, bytes: &[u8]) -> Result<RangeInclusive<u32>, String> {
    let (mut lowest, mut highest) = (u32::MAX, 0);
    let (words, rest) = bytes.as_chunks::<{ WORD as usize }>();
    assert!(rest.is_empty() && start.is_multiple_of(WORD), "whole words");
    for (place, found) in (start / WORD..).zip(words) {
        let found = u64::from_le_bytes(*found);
        let version = (found >> 32) as u32;
        if version == 0 || found != word(file, version, place) {
            return Err(format!("file {file}: {found:#018x} at {}", place * WORD));
        }
        (lowest, highest) = (lowest.min(version), highest.max(version));
    }
    Ok(lowest..=highest)
}

fn word(file: u32, version: u32, place: u64) -> u64 {
    let mixed = (u64::from(file) << 40 ^ place).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u64::from(version) << 32 | (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
}
