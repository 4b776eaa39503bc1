//! Names, small files and archives through a mount.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Mounted, repeat, threads};
use crate::commands::bench::files::{NAMES, noise};
use crate::commands::bench::names::SHORT;
use crate::commands::bench::places::Places;
use crate::commands::bench::slice::Slice;
use crate::commands::bench::small::{self, BYTES, COUNT};

/// How many files an archive has, each of so many bytes, in so many directories; in a short slice a quarter.
pub(in super::super) const ARCHIVED: usize = 2400;
pub(in super::super) const ARCHIVED_BYTES: usize = 4 << 10;
const ARCHIVED_DIRECTORIES: usize = 24;
/// How many write the small files that are read.
const MAKERS: usize = 16;

/// Names of files that were created, in this process.
static CREATED: AtomicU64 = AtomicU64::new(0);

impl Mounted {
    pub(super) fn stat(&self, count: usize, time: Duration) -> Result<Slice> {
        let directory = self.path("names");
        if !directory.exists() {
            fs::create_dir(&directory)?;
            for number in 0..NAMES {
                File::create_new(directory.join(number.to_string()))?;
            }
        }
        let clock = self.clock(time);
        threads(count, |number| {
            let mut places = Places::of(number);
            repeat(&clock, |_| {
                fs::metadata(directory.join(places.below(NAMES).to_string()))?;
                Ok(Some(0))
            })
        })
    }

    pub(super) fn create(&self, count: usize, time: Duration) -> Result<Slice> {
        let directory = self.fresh("new")?;
        let clock = self.clock(time);
        threads(count, |_| {
            repeat(&clock, |_| {
                let number = CREATED.fetch_add(1, Ordering::Relaxed);
                File::create_new(directory.join(number.to_string()))?;
                Ok(Some(0))
            })
        })
    }

    pub(super) fn small_write(&mut self, count: usize, time: Duration) -> Result<Slice> {
        let directory = self.fresh("small")?;
        let (clock, next, bytes) = (self.clock(time), AtomicU64::new(0), noise(BYTES));
        let slice = threads(count, |_| {
            repeat(&clock, |_| {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                if turn >= COUNT {
                    return Ok(None);
                }
                write_small(&directory, turn, &bytes)?;
                Ok(Some(BYTES))
            })
        })?;
        self.small = next.into_inner().min(COUNT);
        Ok(slice)
    }

    pub(super) fn small_read(&mut self, count: usize, time: Duration) -> Result<Slice> {
        let directory = self.path("small");
        if self.small < COUNT {
            fs::create_dir_all(&directory)?;
            let (next, bytes) = (AtomicU64::new(self.small), noise(BYTES));
            threads(MAKERS, |_| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= COUNT || self.stop.is_wanted() {
                        return Ok(Slice::default());
                    }
                    write_small(&directory, turn, &bytes)?;
                }
            })?;
            self.stop.check()?;
            self.small = COUNT;
        }
        let (clock, next) = (self.clock(time), AtomicU64::new(0));
        threads(count, |_| {
            repeat(&clock, |_| {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                Ok(Some(fs::read(directory.join(small::name(turn)))?.len()))
            })
        })
    }

    pub(super) fn untar(&self, time: Duration) -> Result<Slice> {
        let count = if time > SHORT { ARCHIVED } else { ARCHIVED / 4 };
        let archive = Archive::make(count).context("making an archive")?;
        let target = self.fresh("unpacked")?;
        let note = (count < ARCHIVED).then(|| format!("scaled down: {count} files"));
        let (begin, mut slice) = (Instant::now(), Slice { note, ..Slice::default() });
        tar(&["-xf".as_ref(), &archive.file(), "-C".as_ref(), &target])?;
        slice.count(begin, begin, count, 0);
        Ok(slice)
    }
}

fn write_small(directory: &Path, turn: u64, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(directory.join(small::name(turn)))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// An archive in the directory for temporary files, removed when it is dropped.
struct Archive(PathBuf);

impl Archive {
    fn make(count: usize) -> Result<Self> {
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let name = format!("emberfs-bench-{}-{number}", std::process::id());
        let archive = Self(std::env::temp_dir().join(name));
        let (files, bytes) = (archive.0.join("files"), noise(ARCHIVED_BYTES));
        for number in 0..count {
            let directory = files.join((number % ARCHIVED_DIRECTORIES).to_string());
            fs::create_dir_all(&directory)?;
            fs::write(directory.join(number.to_string()), &bytes)?;
        }
        tar(&["-cf".as_ref(), &archive.file(), "-C".as_ref(), &archive.0, "files".as_ref()])?;
        Ok(archive)
    }

    fn file(&self) -> PathBuf {
        self.0.join("archive.tar")
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            crate::exit::say(&format!("{} is left: {error}", self.0.display()));
        }
    }
}

/// Runs `tar`.
fn tar(words: &[&Path]) -> Result<()> {
    let status = Command::new("tar").args(words).stdin(Stdio::null()).status();
    let status = status.context("cannot start `tar`; is it installed?")?;
    ensure!(status.success(), "`tar` ended with {status}");
    Ok(())
}
