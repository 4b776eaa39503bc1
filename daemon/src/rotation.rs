//! A log file that is bounded: once it is long enough it is renamed, and a new one begun.
//!
//! ```text
//!   server.log ─► server.log.1 ─► server.log.2 ─► … ─► gone
//! ```
//!
//! A server must outlive its log: whatever the system refuses is an error, and nothing here panics. A file that cannot
//! be renamed is emptied, so that it stays bounded. What is no regular file, such as `/dev/null`, is only written.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The file, and the renamed ones beside it.
#[derive(Debug)]
pub(crate) struct RotatedFile {
    path: PathBuf,
    file: File,
    len: u64,
    /// From this length on it is renamed; `None`: it cannot be.
    len_max: Option<u64>,
    kept: usize,
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
        let len_max = there.is_file().then_some(len_max);
        let new = Self { path: path.to_owned(), file, len: there.len(), len_max, kept };
        // More of them may have been kept before.
        (kept + 1..).find(|number| fs::remove_file(new.renamed(*number)).is_err());
        Ok(new)
    }

    fn renamed(&self, number: usize) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }

    /// A new file by the same name.
    fn renew(&self) -> io::Result<File> {
        if self.kept == 0 {
            return Err(ErrorKind::Unsupported.into());
        }
        for number in (1..self.kept).rev() {
            match fs::rename(self.renamed(number), self.renamed(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.renamed(1))?;
        open(&self.path).inspect_err(|_| {
            let _stays_renamed = fs::rename(self.renamed(1), &self.path);
        })
    }
}

impl Write for RotatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.len_max.is_some_and(|max| self.len >= max) {
            match self.renew() {
                Ok(file) => self.file = file,
                Err(_) => self.file.set_len(0)?,
            }
            self.len = 0;
        }
        let written = self.file.write(bytes)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
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
    fn what_cannot_be_renamed_is_emptied() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("a.log");
        fs::create_dir_all(directory.path().join("a.log.1/full")).expect("a directory");
        for kept in [0, 1] {
            let mut log = RotatedFile::open(&path, 30, kept).expect("writable");
            for _ in 0..10 {
                log.write_all(LINE).expect("room");
            }
            assert!(fs::metadata(&path).expect("there").len() <= 30);
        }
        assert_eq!(names(directory.path()), ["a.log", "a.log.1"]);
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
