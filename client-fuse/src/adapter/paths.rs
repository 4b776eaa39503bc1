//! Where inodes were last seen: the kernel opens a file by its number, people know it by its name.
//!
//! Each use of a path looks up all parts of it anew, so what is forgotten here is soon seen again. It is
//! told to people, and nothing goes by it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use emberfs_client::InodeId;

use crate::lock::lock;

/// Inodes remembered at most (a count): a few hundred KiB.
const SEEN_MAX: usize = 4096;
/// Parts of a path told at most: names may be old, and run in a circle.
const PARTS_MAX: usize = 64;

/// A directory, and a name in it.
type Entry = (InodeId, Vec<u8>);

/// The last name of each inode that was seen.
#[derive(Debug, Default)]
pub(super) struct Paths {
    seen: Mutex<HashMap<InodeId, Entry>>,
}

impl Paths {
    /// This name is this inode's.
    pub(super) fn saw(&self, parent: InodeId, name: &[u8], inode: InodeId) {
        let mut seen = self.seen();
        if seen.len() >= SEEN_MAX {
            seen.clear();
        }
        seen.insert(inode, (parent, name.to_vec()));
    }

    /// What had the one name has the other now; and, if they were exchanged, the reverse.
    pub(super) fn moved(&self, from: (InodeId, &[u8]), to: (InodeId, &[u8]), exchanged: bool) {
        let mut seen = self.seen();
        let has = |entry: &Entry, name| (entry.0, entry.1.as_slice()) == name;
        for entry in seen.values_mut() {
            if has(entry, from) {
                *entry = (to.0, to.1.to_vec());
            } else if exchanged && has(entry, to) {
                *entry = (from.0, from.1.to_vec());
            }
        }
    }

    /// Its path, from as far up as is known, and its number, by which `find -inum` has it.
    pub(super) fn of(&self, inode: InodeId) -> String {
        let (seen, mut parts, mut at) = (self.seen(), Vec::new(), inode);
        while let Some((parent, name)) = seen.get(&at).filter(|_| parts.len() < PARTS_MAX) {
            parts.push(name.escape_ascii().to_string());
            at = *parent;
        }
        parts.reverse();
        let path = parts.join("/");
        let blank = if path.is_empty() { "" } else { " " };
        format!("{path}{blank}[{}]", inode.0)
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<InodeId, Entry>> {
        lock(&self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_as_it_was_last_seen() {
        let paths = Paths::default();
        let [top, directory, file] = [1, 2, 3].map(InodeId);
        assert_eq!(paths.of(file), "[3]");
        paths.saw(directory, b"new\n", file);
        assert_eq!(paths.of(file), "new\\n [3]");
        paths.saw(top, b"d", directory);
        paths.moved((directory, b"new\n"), (directory, b"f"), false);
        assert_eq!(paths.of(file), "d/f [3]");
        paths.saw(top, b"g", InodeId(4));
        paths.moved((top, b"g"), (directory, b"f"), true);
        assert_eq!((paths.of(file), paths.of(InodeId(4))), ("g [3]".into(), "d/f [4]".into()));
        paths.moved((top, b"g"), (directory, b"f"), true);
        paths.saw(file, b"circle", directory);
        assert!(paths.of(file).ends_with("circle/f [3]"));
    }

    #[test]
    fn it_remembers_no_more_than_it_may() {
        let paths = Paths::default();
        for number in 0..2 * SEEN_MAX as u64 + 1 {
            paths.saw(InodeId(0), b"f", InodeId(1 + number));
        }
        assert!(paths.seen().len() <= SEEN_MAX);
        assert_eq!(paths.of(InodeId(2 * SEEN_MAX as u64 + 1)), "f [8193]");
    }
}
