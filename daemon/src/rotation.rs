//! A log file that is bounded: once it is long enough it is renamed, and a new one begun.
//!
//! ```text
//!   server.log.new ─► server.log ─► server.log.1 ─► server.log.2 ─► … ─► gone
//! ```
//!
//! A server must outlive its log: whatever the system refuses is an error at most, and nothing here panics. It is ours
//! because of that: crates that rotate panic or print where the system refuses.
//!
//! The new file is opened before any other is touched. Where that or a renaming fails the old one grows on, up to twice
//! its length, and is emptied then, if the system lets it be, so that it stays bounded. A file that somebody else took
//! away is begun anew. What is no regular file, such as `/dev/null`, is only written.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Renamed files (a count): each new one renames them all, and nobody reads so many.
pub(crate) const FILES_KEPT_MAX: usize = 1000;
/// How often a file that could not be renamed is tried again before it has twice its length (a count): what passes,
/// such as descriptors that are used up, is soon over, and not every line should try.
const TRIES: u64 = 8;

/// The file, and the renamed ones beside it.
#[derive(Debug)]
pub(crate) struct RotatedFile {
    path: PathBuf,
    file: File,
    len: u64,
    /// Its length and what goes by it; `None`: it is only written.
    bound: Option<Bound>,
    kept: usize,
}

/// How long a file may become.
#[derive(Clone, Copy, Debug)]
struct Bound {
    /// From this length on it is renamed.
    len_max: u64,
    /// The same, or the length at which it is tried again.
    next: u64,
}

impl RotatedFile {
    /// Opens or makes it, with its directory. It is renamed when it has `len_max` bytes, and so many renamed ones
    /// are `kept`.
    pub(crate) fn open(path: &Path, len_max: u64, kept: usize) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let file = open(path)?;
        let there = file.metadata()?;
        let bound = there.is_file().then_some(Bound { len_max, next: len_max });
        let new = Self { path: path.to_owned(), file, len: there.len(), bound, kept };
        new.remove_older();
        Ok(new)
    }

    /// Removes those that were kept when more were, if the system lets them be removed. A number that none of ours
    /// ever has, such as a date, is somebody else's.
    fn remove_older(&self) {
        let Some(name) = self.path.file_name() else { return };
        let above = self.path.parent().filter(|above| !above.as_os_str().is_empty());
        let Ok(there) = fs::read_dir(above.unwrap_or(Path::new("."))) else { return };
        for entry in there.filter_map(Result::ok) {
            let number = number_of(name, &entry.file_name());
            if number.is_some_and(|number| (self.kept + 1..=FILES_KEPT_MAX).contains(&number)) {
                let _stays = fs::remove_file(entry.path());
            }
        }
    }

    fn renamed(&self, number: usize) -> PathBuf {
        self.beside(&number.to_string())
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{ending}"));
        name.into()
    }

    /// Begins a new file, if this one is long enough, or does what can be done instead.
    fn bound(&mut self) {
        let Some(Bound { len_max, next }) = self.bound else { return };
        if self.len < next {
            return;
        }
        if self.kept == 0 {
            self.empty();
        } else if let Ok(file) = self.renew() {
            (self.file, self.len) = (file, 0);
        } else if self.len >= len_max.saturating_mul(2) {
            self.empty();
        }
        let again = self.len + (len_max / TRIES).max(1);
        let next = if self.len < len_max { len_max } else { again };
        self.bound = Some(Bound { len_max, next });
    }

    fn empty(&mut self) {
        // Where that is refused too, lines are worth more than the bound.
        if self.file.set_len(0).is_ok() {
            self.len = 0;
        }
    }

    /// A new file by the same name. After an error the old one has the name, if anything can have it.
    fn renew(&self) -> io::Result<File> {
        let begun = self.beside("new");
        let file = open(&begun)?;
        let named = self.keep().and_then(|kept| {
            fs::rename(&begun, &self.path).inspect_err(|_| {
                if kept {
                    let _stays_renamed = fs::rename(self.renamed(1), &self.path);
                }
            })
        });
        let named = named.inspect_err(|_| {
            let _used_by_the_next = fs::remove_file(&begun);
        });
        named.map(|()| file)
    }

    /// Renames the file, and those that are kept; `false`, and all is as it was, if somebody took the file away.
    fn keep(&self) -> io::Result<bool> {
        if !self.path.try_exists()? {
            return Ok(false);
        }
        for number in (1..self.kept).rev() {
            rename(&self.renamed(number), &self.renamed(number + 1))?;
        }
        rename(&self.path, &self.renamed(1))
    }
}

impl Write for RotatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bound();
        let written = self.file.write(bytes)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Which renamed one of the file called `name` is called `renamed`, if any: written as we write it.
fn number_of(name: &OsStr, renamed: &OsStr) -> Option<usize> {
    let ending = renamed.as_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b".")?;
    let number: usize = str::from_utf8(ending).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == ending).then_some(number)
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// `false`: there is none by this name.
fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"123456789\n";

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).expect("there").map(|entry| entry.expect("readable"));
        let mut names: Vec<_> =
            names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_bounded_in_length_and_number() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("deep/a.log");
        let mut log = RotatedFile::open(&path, 30, 2).expect("writable");
        for number in 0..10_u8 {
            log.write_all(&[b'0' + number; 10]).expect("room");
        }
        let deep = directory.path().join("deep");
        assert_eq!(names(&deep), ["a.log", "a.log.1", "a.log.2"]);
        let read = |name: &str| fs::read_to_string(deep.join(name)).expect("there");
        assert_eq!(read("a.log"), "9".repeat(10));
        assert!(read("a.log.1").starts_with('6') && read("a.log.2").starts_with('3'));
        drop(log);
        let mut again = RotatedFile::open(&path, 30, 1).expect("writable");
        assert_eq!(names(&deep), ["a.log", "a.log.1"]);
        again.write_all(LINE).expect("room");
        assert_eq!(read("a.log").len(), 20, "it goes on where it was");
    }

    #[test]
    fn older_ones_are_removed_whichever_are_missing_and_none_of_others() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let others = ["a.log.007", "a.log.1001", "a.log.20261130", "a.log.gz", "b.log.7"];
        let ours = ["a.log.1", "a.log.4", "a.log.7", "a.log.1000"];
        for name in others.iter().chain(&ours) {
            fs::write(directory.path().join(name), name).expect("written");
        }
        RotatedFile::open(&directory.path().join("a.log"), 30, 2).expect("writable");
        let mut left: Vec<&str> = others.into_iter().chain(["a.log", "a.log.1"]).collect();
        left.sort_unstable();
        assert_eq!(names(directory.path()), left);
    }

    #[test]
    fn what_cannot_be_renamed_is_emptied() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("a.log");
        fs::create_dir_all(directory.path().join("a.log.1/full")).expect("a directory");
        for (kept, longest) in [(0, 30), (1, 60)] {
            let mut log = RotatedFile::open(&path, 30, kept).expect("writable");
            let mut lens = Vec::new();
            for _ in 0..20 {
                log.write_all(LINE).expect("room");
                lens.push(fs::metadata(&path).expect("there").len());
            }
            assert_eq!(lens.iter().max(), Some(&longest), "{lens:?}");
        }
        assert_eq!(names(directory.path()), ["a.log", "a.log.1"]);
    }

    #[test]
    fn a_file_that_somebody_took_away_is_begun_anew() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("a.log");
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).ok();
        let mut log = RotatedFile::open(&path, 30, 2).expect("writable");
        let mut write = |bytes: &[u8]| (0..3).for_each(|_| log.write_all(bytes).expect("room"));
        write(b"kept 4567\n");
        write(b"removed 7\n");
        fs::remove_file(&path).expect("ours");
        write(b"after it\n\n");
        assert_eq!(read("a.log"), Some("after it\n\n".repeat(3)));
        assert_eq!(read("a.log.1"), Some("kept 4567\n".repeat(3)), "as it was");
        assert_eq!(names(directory.path()), ["a.log", "a.log.1"]);
    }

    #[test]
    fn where_no_new_file_can_be_opened_none_is_touched() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("a.log");
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).expect("there");
        let mut log = RotatedFile::open(&path, 80, 2).expect("writable");
        let mut write = |lines| (0..lines).for_each(|_| log.write_all(LINE).expect("room"));
        write(9);
        assert_eq!(names(directory.path()), ["a.log", "a.log.1"]);
        let first = read("a.log.1");
        fs::create_dir(directory.path().join("a.log.new")).expect("ours");
        write(15);
        assert_eq!((read("a.log").len(), read("a.log.1")), (160, first.clone()));
        assert_eq!(names(directory.path()), ["a.log", "a.log.1", "a.log.new"]);
        fs::remove_dir(directory.path().join("a.log.new")).expect("ours");
        write(1);
        assert_eq!((read("a.log").len(), read("a.log.1").len()), (10, 160), "nothing was lost");
        assert_eq!(read("a.log.2"), first);
    }

    #[test]
    fn where_a_kept_one_cannot_be_renamed_none_moves() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("a.log");
        let mut log = RotatedFile::open(&path, 30, 3).expect("writable");
        fs::create_dir_all(directory.path().join("a.log.3/full")).expect("ours");
        for _ in 0..13 {
            log.write_all(LINE).expect("room");
        }
        // Two were kept; a third cannot be.
        assert_eq!(names(directory.path()), ["a.log", "a.log.1", "a.log.2", "a.log.3"]);
        assert_eq!(fs::metadata(&path).expect("there").len(), 10, "emptied once");
    }

    #[test]
    fn a_file_that_is_gone_or_full_is_an_error_at_most() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("deep/a.log");
        let mut log = RotatedFile::open(&path, 30, 1).expect("writable");
        fs::remove_dir_all(directory.path().join("deep")).expect("ours");
        for _ in 0..10 {
            log.write_all(LINE).expect("the file lives on without its name");
        }
        let mut full = RotatedFile::open(Path::new("/dev/full"), 1, 1).expect("Linux has it");
        assert!(full.write_all(LINE).is_err() && full.write_all(LINE).is_err());
        let mut null = RotatedFile::open(Path::new("/dev/null"), 1, 1).expect("Linux has it");
        assert!(null.write_all(LINE).and_then(|()| null.write_all(LINE)).is_ok());
        assert!(Path::new("/dev/null").exists() && !Path::new("/dev/null.1").exists());
        assert!(RotatedFile::open(directory.path(), 1, 1).is_err());
    }
}
