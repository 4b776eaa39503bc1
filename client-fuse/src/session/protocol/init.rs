//! The first request: the kernel says what it can, the answer what of that is used.
//!
//! The kernel's write-back cache is not asked for: bytes would be acknowledged that no server and no daemon has,
//! and lengths would be the kernel's own.

use thiserror::Error;

use super::fields::{Add, Fields, Malformed};

/// The protocol's number. A later one has not come yet.
const MAJOR: u32 = 7;
/// What we speak at most: `FUSE_DIRECT_IO_ALLOW_MMAP` is the last that we use.
const MINOR: u32 = 40;
/// What we need at least: Linux 5.4.
const MINOR_MIN: u32 = 31;
/// Requests that the kernel has under way of its own accord (a count): read-ahead, and pages that it writes back.
const BACKGROUND_MAX: u16 = 256;
/// What they have together, in bytes: the same with requests of the usual largest size, of 1 MiB.
const BACKGROUND_BYTES_MAX: u32 = 256 << 20;
/// However large they are: fewer would wait for each other (a count).
const BACKGROUND_MIN: u16 = 4;
/// In nanoseconds.
const TIME_UNIT: u32 = 1;
/// Pages of a request where nothing else was agreed on (a count).
const PAGES_OF_OLD: u16 = 32;

/// Behind the flags are those above 32 bits.
const INIT_EXT: u64 = 1 << 30;
/// A request may have as many pages as the answer says.
const MAX_PAGES: u64 = 1 << 22;

/// What the kernel is asked for, where it can.
const CAPABILITIES: &[(&str, u64)] = &[
    ("read-ahead beside each other", 1 << 0),
    ("O_TRUNC comes with the open", 1 << 3),
    ("writes beyond 4 KiB", 1 << 5),
    ("listings with attributes", 1 << 13),
    ("those only where they are used", 1 << 14),
    ("asynchronous direct I/O", 1 << 15),
    ("calls beside each other in a directory", 1 << 18),
    ("the server takes set-user-id and set-group-id off", 1 << 19),
    ("an aborted connection is told from one that was unmounted", 1 << 21),
    ("requests of many pages", MAX_PAGES),
    ("more than 32 capabilities", INIT_EXT),
    ("shared maps of files without the page cache", 1 << 36),
    ("file handles are not valid across mounts", 1 << 38),
];

/// `fuse_init_in`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct Init {
    major: u32,
    minor: u32,
    readahead: u32,
    flags: u64,
}

/// The kernel speaks nothing that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "protocol {major}.{minor}, and we speak {MAJOR}.{MINOR_MIN} and later: Linux 5.4 or a newer one is needed"
)]
pub(in crate::session) struct Outdated {
    major: u32,
    minor: u32,
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct Agreement {
    minor: u32,
    readahead: u32,
    flags: u64,
    pages: u16,
    page: u32,
}

impl Init {
    /// Its opcode.
    pub(in crate::session) const OPCODE: u32 = 26;

    pub(in crate::session) fn parse(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let (major, minor) = (fields.u32()?, fields.u32()?);
        if major != MAJOR {
            return Ok(Self { major, minor, readahead: 0, flags: 0 });
        }
        let (readahead, low) = (fields.u32()?, u64::from(fields.u32()?));
        let has_more = low & INIT_EXT != 0 && !fields.is_empty();
        let high = if has_more { u64::from(fields.u32()?) } else { 0 };
        Ok(Self { major, minor, readahead, flags: low | high << 32 })
    }

    /// What is used of it, where a request may have so many pages of so many bytes. `None` if the kernel is newer than
    /// us: it is told what we speak, and asks again.
    pub(in crate::session) fn agree(
        &self,
        pages: u16,
        page: u32,
    ) -> Result<Option<Agreement>, Outdated> {
        let Self { major, minor, readahead, flags } = *self;
        if major > MAJOR {
            return Ok(None);
        }
        if major < MAJOR || minor < MINOR_MIN {
            return Err(Outdated { major, minor });
        }
        let wanted = CAPABILITIES.iter().fold(0, |all, (_, flag)| all | flag);
        let flags = flags & wanted;
        let pages = if flags & MAX_PAGES == 0 { PAGES_OF_OLD } else { pages };
        Ok(Some(Agreement { minor: minor.min(MINOR), readahead, flags, pages, page }))
    }
}

impl Agreement {
    /// What is answered to a kernel with a newer protocol.
    pub(in crate::session) fn ours_only() -> Vec<u8> {
        let mut body = Vec::new();
        body.u32(MAJOR).u32(MINOR).zeros(56);
        body
    }

    /// Bytes that a write has at most.
    pub(in crate::session) fn write_max(&self) -> u32 {
        u32::from(self.pages) * self.page
    }

    /// How many requests the kernel has under way of its own accord; and from how many on it begins no more read-ahead.
    fn background(&self) -> [u16; 2] {
        let fit = BACKGROUND_BYTES_MAX / self.write_max().max(1);
        let fit = u16::try_from(fit).unwrap_or(u16::MAX);
        let most = fit.clamp(BACKGROUND_MIN, BACKGROUND_MAX);
        [most, most / 4 * 3]
    }

    /// What is not used because the kernel cannot.
    pub(in crate::session) fn lacking(&self) -> impl Iterator<Item = &'static str> {
        let flags = self.flags;
        let lacks = CAPABILITIES.iter().filter(move |(_, flag)| flags & flag == 0);
        lacks.map(|(name, _)| *name)
    }

    /// `fuse_init_out`.
    pub(in crate::session) fn body(&self) -> Vec<u8> {
        let halves = self.flags.to_le_bytes();
        let (low, high) = halves.split_at(4);
        let half = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("half of eight"));
        let mut body = Vec::with_capacity(64);
        body.u32(MAJOR).u32(self.minor).u32(self.readahead).u32(half(low));
        let [most, congested] = self.background();
        body.u16(most).u16(congested).u32(self.write_max()).u32(TIME_UNIT);
        // Nothing is mapped.
        body.u16(self.pages).u16(0).u32(half(high)).zeros(28);
        body
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn init(words: &[u32]) -> Init {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Init::parse(&mut Fields::new(&bytes)).expect("long enough")
    }

    #[test]
    fn a_kernel_of_today_gets_all_that_we_want_and_nothing_else() {
        let all = [7, 44, 128 << 10, u32::MAX, u32::MAX];
        let agreed = init(&all).agree(256, 4096).expect("new enough").expect("one we know");
        assert_eq!((agreed.write_max(), agreed.minor), (1 << 20, MINOR));
        assert_eq!(agreed.lacking().count(), 0);
        let body = agreed.body();
        assert_eq!(body.len(), 64);
        let flags = u32::from_ne_bytes(body[12..16].try_into().expect("four"));
        assert_eq!(flags & 1 << 16, 0, "no write-back cache");
        assert_eq!(body[16..18], 256_u16.to_ne_bytes());
        assert_eq!(body[18..20], 192_u16.to_ne_bytes());
        assert_eq!(body[20..24], (1_u32 << 20).to_ne_bytes());
        assert_eq!(body[28..30], 256_u16.to_ne_bytes());
        assert_eq!(body[32..36], (1_u32 << 4 | 1 << 6).to_ne_bytes());
    }

    #[test]
    fn an_older_kernel_does_without_and_one_that_is_too_old_is_named() {
        let agreed =
            init(&[7, 31, 0, 1]).agree(256, 4096).expect("just new enough").expect("known");
        assert_eq!((agreed.minor, agreed.flags, agreed.write_max()), (31, 1, 128 << 10));
        assert_eq!(agreed.lacking().count(), CAPABILITIES.len() - 1);
        let old = init(&[7, 30, 0, 1]).agree(256, 4096).expect_err("too old");
        assert!(old.to_string().starts_with("protocol 7.30, and we speak 7.31"), "{old}");
        assert_eq!(init(&[8, 1]).agree(256, 4096), Ok(None));
        assert_eq!(Agreement::ours_only().len(), 64);
    }

    #[test]
    fn the_kernel_has_no_more_bytes_under_way_by_itself_however_large_its_requests_are() {
        let background = |pages| {
            let agreed = init(&[7, 44, 0, u32::MAX, u32::MAX]).agree(pages, 4096);
            agreed.expect("new enough").expect("one we know").background()
        };
        assert_eq!(background(256), [256, 192]);
        assert_eq!(background(4096), [16, 12], "of 16 MiB");
        assert_eq!(background(1), [256, 192], "of one page");
        assert_eq!(background(u16::MAX), [4, 3]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(init) = Init::parse(&mut Fields::new(&bytes)) {
                prop_assert!(bytes.len() >= 8);
                if let Ok(Some(agreed)) = init.agree(u16::MAX, 65_536) {
                    prop_assert_eq!(agreed.body().len(), 64);
                }
            }
        }
    }
}
