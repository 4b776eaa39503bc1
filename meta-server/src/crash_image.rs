//! For tests: what a crash at some moment would leave of a directory that a running member writes.
//!
//! A copy takes time, and RocksDB drops old files in the background. What was copied while files came and
//! went is no moment's picture; so a copy counts only if the directory stood still meanwhile.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Every file with its length and time of change, in order.
type Picture = Vec<(PathBuf, u64, SystemTime)>;

/// Makes `to` a copy of `from` as it was at one moment.
pub(crate) fn take(from: &Path, to: &Path) {
    loop {
        fs::create_dir_all(to).unwrap();
        if copied_at_rest(from, to).unwrap_or_else(|error| gone(&error)) {
            return;
        }
        fs::remove_dir_all(to).unwrap();
    }
}

fn copied_at_rest(from: &Path, to: &Path) -> io::Result<bool> {
    let before = picture(from)?;
    for (file, ..) in &before {
        let copy = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(copy.parent().unwrap())?;
        fs::copy(file, copy)?;
    }
    Ok(picture(from)? == before)
}

/// A file that is gone shows that the directory did not stand still; all else is a failure.
fn gone(error: &io::Error) -> bool {
    assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    false
}

fn picture(directory: &Path) -> io::Result<Picture> {
    let mut files = Picture::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let (path, meta) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
            match meta.is_dir() {
                true => open.push(path),
                false => files.push((path, meta.len(), meta.modified()?)),
            }
        }
    }
    files.sort();
    Ok(files)
}
