//! What a mount still holds: of which files the servers have not heard all, and why.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use emberfs_client::ByteLen;
use emberfs_client_fuse_mounts::{Unwritten, bytes_in_words};

use super::Adapter;
use super::files::Unsettled;

/// Files named at most: a screen of them.
const NAMED_MAX: usize = 20;
/// Reasons given at most: the files of one mount mostly wait for the same.
const REASONS_MAX: usize = 3;

/// What is left. As text: how much, and why; empty if nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Those with the most bytes first.
    files: Vec<LeftFile>,
}

/// What is left of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LeftFile {
    /// As it was last seen.
    path: String,
    /// None, where only its length or its end is not reported.
    bytes: ByteLen,
    /// What it waits for; empty where that is not known.
    why: String,
    /// Whether the cluster had no space for it.
    is_full: bool,
    /// Whether its attributes are being changed.
    changes: bool,
}

impl Adapter {
    /// What the servers have not heard of now.
    #[must_use]
    pub fn left(&self) -> Left {
        let file = |left| {
            let Unsettled { inode, bytes, why, is_full, changes } = left;
            LeftFile { path: self.paths.of(inode), bytes, why, is_full, changes }
        };
        let mut files: Vec<_> = self.inodes.unsettled().into_iter().map(file).collect();
        files.sort_by(|one, other| other.bytes.cmp(&one.bytes).then(one.path.cmp(&other.path)));
        Left { files }
    }
}

impl Left {
    /// Bytes that only this mount has.
    #[must_use]
    pub fn bytes(&self) -> ByteLen {
        sum(self.files.iter())
    }

    /// The same for whoever listens, by a daemon that gives up after `deadline`.
    #[must_use]
    pub fn unwritten(&self, deadline: Option<Duration>) -> Unwritten {
        let full = sum(self.files.iter().filter(|file| file.is_full)).get();
        let (files, bytes) = (self.files.len() as u64, self.bytes().get());
        Unwritten { files, bytes, full, deadline, why: self.reasons() }
    }

    fn reasons(&self) -> String {
        let reasons = self.files.iter().map(|file| file.why.as_str());
        let reasons: BTreeSet<_> = reasons.filter(|why| !why.is_empty()).collect();
        let given: Vec<_> = reasons.iter().copied().take(REASONS_MAX).collect();
        match reasons.len().saturating_sub(REASONS_MAX) {
            0 => given.join("; "),
            more => format!("{}; and {more} more reasons", given.join("; ")),
        }
    }

    /// Whether some of it is done since.
    #[must_use]
    pub fn is_less_than(&self, before: &Self) -> bool {
        (self.bytes(), self.files.len()) < (before.bytes(), before.files.len())
    }

    /// The files that have bytes, by name.
    #[must_use]
    pub fn names(&self) -> String {
        let full = self.files.iter().filter(|file| file.bytes > ByteLen::ZERO);
        let named =
            full.map(|file| format!("{} ({})", file.path, bytes_in_words(file.bytes.get())));
        listed(&named.collect::<Vec<_>>())
    }

    /// The files whose attributes are being changed, by name; empty if none are.
    #[must_use]
    pub fn changing(&self) -> String {
        let changing = self.files.iter().filter(|file| file.changes);
        listed(&changing.map(|file| file.path.clone()).collect::<Vec<_>>())
    }
}

/// Not more than somebody reads.
fn listed(names: &[String]) -> String {
    let named = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn sum<'a>(files: impl Iterator<Item = &'a LeftFile>) -> ByteLen {
    ByteLen(files.map(|file| file.bytes.get()).sum())
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unwritten(None).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(files: usize) -> Left {
        let file = |number: usize| LeftFile {
            path: format!("d/f{number}"),
            bytes: ByteLen(number as u64),
            why: format!("chain-{}", number % 5),
            is_full: number == 2,
            changes: number == 1,
        };
        Left { files: (0..files).rev().map(file).collect() }
    }

    #[test]
    fn little_is_told_whole() {
        assert_eq!(left(1).to_string(), "1 file, no bytes: chain-0");
        assert_eq!(left(3).to_string(), "3 files, 3 bytes: chain-0; chain-1; chain-2");
        assert_eq!(left(3).names(), "d/f2 (2 bytes), d/f1 (1 byte)");
        assert_eq!(left(3).changing(), "d/f1");
        let deadline = Some(Duration::from_secs(5));
        let said = left(3).unwritten(deadline);
        assert_eq!((said.files, said.bytes, said.full, said.deadline), (3, 3, 2, deadline));
        assert_eq!((left(0).to_string(), left(0).changing()), (String::new(), String::new()));
    }

    #[test]
    fn much_is_told_in_part() {
        let much = left(NAMED_MAX + 3);
        assert!(much.to_string().ends_with("chain-2; and 2 more reasons"), "{much}");
        assert!(much.names().ends_with(" and 2 more"), "{}", much.names());
        assert!(left(2).is_less_than(&much) && !much.is_less_than(&much));
    }
}
