//! Files that are there after a loss of power.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Under its name a file is whole or absent, whatever happens while it is written; afterwards it is there.
pub(crate) fn write_whole(file: &Path, text: &str) -> io::Result<()> {
    let new_path = file.with_extension("new");
    let mut new = File::create(&new_path)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    fs::rename(new_path, file)?;
    File::open(file.parent().expect("a file lies in a directory"))?.sync_all()
}
