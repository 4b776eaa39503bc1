//! The kernel's list of mounts, `/proc/self/mountinfo`: a line each, the topmost of a path last.
//!
//! ```text
//!   36 21 0:40 / /mnt/a\040b rw,nosuid - fuse.emberfs HOST:7000/ rw
//!   id    device  path                   type
//! ```
//! A path stands there byte for byte, but for blank, tab, newline and backslash, which would part words and lines
//! or mean this: they are octal. As text it has one form more: in it all that is no text, or would move a
//! terminal, is octal too.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// The mount's number.
    pub(super) id: u64,
    /// The file system's: `0:57`.
    pub(super) device: String,
    /// The path, as it is written there, as text.
    pub(super) path: String,
    /// The type of the file system.
    pub(super) kind: String,
}

/// The topmost mount at a path.
pub(super) fn topmost(path: &Path) -> Option<Listed> {
    found(&std::fs::read("/proc/self/mountinfo").unwrap_or_default(), path)
}

fn found(table: &[u8], path: &Path) -> Option<Listed> {
    let path = escaped(path);
    table.split(|byte| *byte == b'\n').rev().find_map(|line| {
        let line = text(line);
        let (mount, system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let (id, device, at) = (fields.next()?, fields.nth(1)?, fields.nth(1)?);
        let (id, kind) = (id.parse().ok()?, system.split(' ').next()?.to_owned());
        (at == path).then(|| Listed { id, device: device.to_owned(), path: path.clone(), kind })
    })
}

/// A path as it stands there, as text.
fn escaped(path: &Path) -> String {
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
        36 21 0:40 / /a\\040b rw - fuse.emberfs x rw\n\
        37 36 0:41 / /a\\040b rw shared:1 - fuse.emberfs x rw\n\
        38 21 0:42 / /a rw - tmpfs x rw\n\
        39 21 0:43 / /\xc3\xbc\\134\x1b\xff# rw - fuse.emberfs x rw\n";

    fn device(path: &[u8]) -> Option<String> {
        found(TABLE, Path::new(OsStr::from_bytes(path))).map(|found| found.device)
    }

    #[test]
    fn the_topmost_mount_of_a_path_is_found() {
        let found = found(TABLE, Path::new("/a b"));
        let [device, path, kind] = ["0:41", "/a\\040b", "fuse.emberfs"].map(str::to_owned);
        assert_eq!(found, Some(Listed { id: 37, device, path, kind }));
        assert_eq!(self::device(b"/a"), Some("0:42".to_owned()));
        assert_eq!(self::device(b"/b"), None);
    }

    #[test]
    fn bytes_that_the_kernel_leaves_alone_are_compared_as_they_are() {
        assert_eq!(device(b"/\xc3\xbc\\\x1b\xff#"), Some("0:43".to_owned()));
        assert_eq!(device(b"/\xc3\xbc\\\x1b\xfe#"), None);
        let path = Path::new(OsStr::from_bytes(b"/\xc3\xbc\\\x1b\xff#\n"));
        assert_eq!(escaped(path), "/ü\\134\\033\\377#\\012");
    }
}
