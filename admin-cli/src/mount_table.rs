//! The kernel's list of mounts, `/proc/self/mountinfo`: a line each, the topmost of a path last.
//!
//! ```text
//!   36 21 0:40 / /mnt/a\040b rw,nosuid - fuse.emberfs HOST:7000/ rw
//!         device  path                   type
//! ```
//! A path stands there byte for byte, but for blank, tab, newline and backslash, which would part words and lines
//! or mean this: they are octal. Here, and in what mounts' daemons say (`client-fuse/src/presence.rs`), all that
//! is no text or would move a terminal is octal too.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the kernel calls our mounts.
const TYPE: &str = "fuse.emberfs";

/// All mounts, as they were when it was read.
#[derive(Clone, Debug)]
pub(crate) struct MountTable(Vec<Mount>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The file system's device: `0:57`.
    pub(crate) device: String,
    /// Where it is, [`escaped`].
    pub(crate) path: String,
    /// The type of the file system.
    pub(crate) kind: String,
}

impl Mount {
    /// Whether it is EmberFS.
    pub(crate) fn is_ours(&self) -> bool {
        self.kind == TYPE
    }
}

impl MountTable {
    /// Reads it.
    pub(crate) fn read() -> Self {
        Self::new(&std::fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    /// Of its text.
    pub(crate) fn new(table: &[u8]) -> Self {
        let lines = table.split(|byte| *byte == b'\n').map(text);
        let mounts = lines.filter_map(|line| {
            let (mount, system) = line.split_once(" - ")?;
            let mut fields = mount.split(' ').skip(2).map(str::to_owned);
            let (device, path) = (fields.next()?, fields.nth(1)?);
            Some(Mount { device, path, kind: system.split(' ').next()?.to_owned() })
        });
        Self(mounts.collect())
    }

    /// The topmost mount at a path.
    pub(crate) fn topmost(&self, path: &Path) -> Option<&Mount> {
        let path = escaped(path);
        self.0.iter().rfind(|mount| mount.path == path)
    }

    /// Where EmberFS is mounted.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|mount| mount.is_ours()).map(|mount| &*mount.path)
    }
}

/// A path as it stands there.
pub(crate) fn escaped(path: &Path) -> String {
    let mut listed = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => listed.extend(format!("\\{byte:03o}").into_bytes()),
            other => listed.push(*other),
        }
    }
    text(&listed)
}

/// Bytes as one line of text: all that is none is octal.
fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    let octal = |text: &mut String, bytes: &[u8]| {
        bytes.iter().for_each(|byte| write!(text, "\\{byte:03o}").expect("memory"));
    };
    for part in bytes.utf8_chunks() {
        for letter in part.valid().chars() {
            match letter.is_control() {
                true => octal(&mut text, letter.encode_utf8(&mut [0; 4]).as_bytes()),
                false => text.push(letter),
            }
        }
        octal(&mut text, part.invalid());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    const TABLE: &[u8] = b"21 1 8:1 / / rw - ext4 /dev/sda rw\n\
        36 21 0:40 / /a\\040b rw,noatime master:1 - fuse.emberfs 127.0.0.1:7/ rw\n\
        37 21 0:44 / /other rw - fuse.emberfs x rw\n\
        38 37 0:45 / /other rw - tmpfs tmpfs rw\n\
        39 21 0:43 / /\xc3\xbc\\134\x1b\xff# rw - fuse.emberfs x rw\n";

    #[test]
    fn the_topmost_mount_of_a_path_is_found_and_whose_it_is() {
        let table = MountTable::new(TABLE);
        let is_ours = |path| table.topmost(Path::new(path)).map(Mount::is_ours);
        assert_eq!(
            [is_ours("/a b"), is_ours("/other"), is_ours("/a")],
            [Some(true), Some(false), None]
        );
        let ours: Vec<_> = table.ours().collect();
        assert_eq!(ours, ["/a\\040b", "/other", "/ü\\134\\033\\377#"]);
    }

    #[test]
    fn bytes_that_the_kernel_leaves_alone_are_compared_as_they_are() {
        let table = MountTable::new(TABLE);
        let device = |path| {
            let found = table.topmost(Path::new(OsStr::from_bytes(path)));
            found.map(|mount| &*mount.device)
        };
        assert_eq!(device(b"/\xc3\xbc\\\x1b\xff#"), Some("0:43"));
        assert_eq!(device(b"/\xc3\xbc\\\x1b\xfe#"), None);
        assert_eq!(escaped(Path::new("/ü\\\u{1b}\n")), "/ü\\134\\033\\012");
    }
}
