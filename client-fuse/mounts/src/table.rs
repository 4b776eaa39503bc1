//! The kernel's list of mounts, `/proc/self/mountinfo`: a line each, the topmost of a path last.
//!
//! ```text
//!   36 21 0:40 / /mnt/a\040b rw,nosuid - fuse.emberfs HOST:7000/ rw,user_id=1000
//!   id    device  path                   type                       owner
//! ```
//! A path stands there byte for byte, but for blank, tab, newline and backslash, which would part words and lines
//! or mean this: they are octal. As text, here and in what daemons say, it has one form more: in it all that is no
//! text, or would move a terminal, is octal too.

use std::ffi::OsString;
use std::fmt::Write;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What the kernel calls our mounts.
pub const TYPE: &str = "fuse.emberfs";

/// All mounts, as they were when it was read.
#[derive(Clone, Debug, Default)]
pub struct MountTable(Vec<Mount>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The mount's number.
    pub id: u64,
    /// The file system's: `0:57`.
    pub device: String,
    /// Where it is, [`escaped`].
    pub path: String,
    /// The type of the file system.
    pub kind: String,
    /// The user who mounted it, who alone may unmount it beside root; of FUSE only.
    pub owner: Option<u32>,
}

impl Mount {
    /// Of a line; `None` if it is none.
    fn new(line: &[u8]) -> Option<Self> {
        let line = text(line);
        let (mount, system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let (id, device, path) = (fields.next()?, fields.nth(1)?, fields.nth(1)?);
        let mut system = system.split(' ');
        let (id, kind) = (id.parse().ok()?, system.next()?.to_owned());
        let options = system.nth(1).into_iter().flat_map(|options| options.split(','));
        let owner =
            options.filter_map(|option| option.strip_prefix("user_id=")?.parse().ok()).next();
        Some(Self { id, device: device.to_owned(), path: path.to_owned(), kind, owner })
    }

    /// Whether it is EmberFS.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.kind == TYPE
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        OsString::from_vec(unescaped(self.path.as_bytes())).into()
    }
}

impl MountTable {
    /// Reads it.
    ///
    /// # Errors
    /// The system's.
    pub fn read() -> io::Result<Self> {
        Ok(Self::new(&std::fs::read("/proc/self/mountinfo")?))
    }

    /// Of its text.
    #[must_use]
    pub fn new(table: &[u8]) -> Self {
        Self(table.split(|byte| *byte == b'\n').filter_map(Mount::new).collect())
    }

    /// All of them, the topmost of a path last.
    #[must_use]
    pub fn mounts(&self) -> &[Mount] {
        &self.0
    }

    /// The topmost mount at a path.
    #[must_use]
    pub fn topmost(&self, path: &Path) -> Option<&Mount> {
        let path = escaped(path);
        self.0.iter().rfind(|mount| mount.path == path)
    }
}

/// A path as it stands there, as text.
#[must_use]
pub fn escaped(path: &Path) -> String {
    let mut listed = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => listed.extend(format!("\\{byte:03o}").into_bytes()),
            other => listed.push(*other),
        }
    }
    text(&listed)
}

/// The bytes of a path that stands there, as text or not.
fn unescaped(mut listed: &[u8]) -> Vec<u8> {
    let mut path = Vec::new();
    while let Some((first, rest)) = listed.split_first() {
        let digits = rest.get(..3).filter(|_| *first == b'\\');
        let octal = digits.and_then(|digits| str::from_utf8(digits).ok());
        let byte = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        path.push(byte.unwrap_or(*first));
        listed = if byte.is_some() { &rest[3..] } else { rest };
    }
    path
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
        37 36 0:41 / /a\\040b rw shared:1 - fuse.emberfs x rw,user_id=1000,group_id=7\n\
        38 21 0:44 / /other rw - fuse.emberfs x rw\n\
        39 38 0:45 / /other rw - tmpfs tmpfs rw\n\
        40 21 0:43 / /\xc3\xbc\\134\x1b\xff# rw - fuse.emberfs x rw\n";

    /// A path of the last line, and one that differs from it in a byte that is no text.
    const STRANGE: [&[u8]; 2] = [b"/\xc3\xbc\\\x1b\xff#", b"/\xc3\xbc\\\x1b\xfe#"];

    fn path(bytes: &[u8]) -> &Path {
        Path::new(OsStr::from_bytes(bytes))
    }

    #[test]
    fn the_topmost_mount_of_a_path_is_found_and_whose_it_is() {
        let table = MountTable::new(TABLE);
        let [device, path, kind] = ["0:41", "/a\\040b", "fuse.emberfs"].map(str::to_owned);
        let found = table.topmost(Path::new("/a b"));
        assert_eq!(found, Some(&Mount { id: 37, device, path, kind, owner: Some(1000) }));
        assert_eq!(table.mounts()[1].owner, None);
        let is_ours = |path| table.topmost(Path::new(path)).map(Mount::is_ours);
        let all = [is_ours("/a b"), is_ours("/other"), is_ours("/a")];
        assert_eq!(all, [Some(true), Some(false), None]);
        assert_eq!(table.mounts().len(), 6);
    }

    #[test]
    fn bytes_that_the_kernel_leaves_alone_are_compared_as_they_are() {
        let table = MountTable::new(TABLE);
        let found = STRANGE.map(|bytes| table.topmost(path(bytes)).map(|mount| mount.id));
        assert_eq!(found, [Some(40), None]);
        assert_eq!(escaped(Path::new("/ü\\\u{1b}\n")), "/ü\\134\\033\\012");
    }

    #[test]
    fn a_path_comes_back_as_it_was() {
        let table = MountTable::new(TABLE);
        let places: Vec<_> = table.mounts().iter().map(Mount::place).collect();
        let [blank, other] = [Path::new("/a b"), Path::new("/other")];
        assert_eq!(places, [Path::new("/"), blank, blank, other, other, path(STRANGE[0])]);
        for bytes in STRANGE.into_iter().chain([&b"/a\\040\t\n\\"[..]]) {
            assert_eq!(unescaped(escaped(path(bytes)).as_bytes()), bytes);
        }
    }
}
