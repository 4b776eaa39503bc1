//! Large files through a mount.
//!
//! Opening a file drops what the kernel has of it, so that a slice begins cold. What was written counts when an fsync
//! behind it has returned.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::fs::{Advice, fadvise};

use super::{Mounted, repeat, threads};
use crate::commands::bench::clock::Clock;
use crate::commands::bench::files::{FILE_BYTES, FILES, noise};
use crate::commands::bench::places::Places;
use crate::commands::bench::row::{OVERWRITE_BYTES, SEQUENTIAL_BYTES};
use crate::commands::bench::slice::Slice;

/// After how many bytes an fsync follows.
const SYNC_BYTES: u64 = 16 << 20;
/// How much one random call reads.
const RANDOM_BYTES: usize = 4 << 10;

impl Mounted {
    pub(super) fn sequential_read(&self, count: usize, time: Duration) -> Result<Slice> {
        let (files, clock) = (self.files()?, self.clock(time));
        threads(count, |number| read(&files[number % FILES], &clock))
    }

    pub(super) fn sequential_write(&self, count: usize, time: Duration) -> Result<Slice> {
        let (files, clock) = (self.files()?, self.clock(time));
        threads(count, |number| write(&files[number % FILES], &clock))
    }

    pub(super) fn random_read(&self, count: usize, time: Duration) -> Result<Slice> {
        let files = opened(&self.files()?, false)?;
        let clock = self.clock(time);
        threads(count, |number| {
            let (mut places, mut buffer) = (Places::of(number), vec![0; RANDOM_BYTES]);
            repeat(&clock, |_| {
                let (file, at) = anywhere(&files, &mut places, RANDOM_BYTES);
                file.read_exact_at(&mut buffer, at)?;
                Ok(Some(RANDOM_BYTES))
            })
        })
    }

    pub(super) fn cached_read(&self, time: Duration) -> Result<Slice> {
        let file = File::open(&self.files()?[0])?;
        let mut buffer = vec![0; SEQUENTIAL_BYTES];
        for at in (0..FILE_BYTES).step_by(SEQUENTIAL_BYTES) {
            file.read_exact_at(&mut buffer, at)?;
        }
        let clock = self.clock(time);
        Ok(repeat(&clock, |turn| {
            file.read_exact_at(&mut buffer, turn * SEQUENTIAL_BYTES as u64 % FILE_BYTES)?;
            Ok(Some(SEQUENTIAL_BYTES))
        })?)
    }

    pub(super) fn overwrite(&self, time: Duration) -> Result<Slice> {
        let (files, bytes) = (opened(&self.files()?, true)?, noise(OVERWRITE_BYTES));
        let (clock, mut places) = (self.clock(time), Places::of(0));
        Ok(repeat(&clock, |_| {
            let (file, at) = anywhere(&files, &mut places, OVERWRITE_BYTES);
            file.write_all_at(&bytes, at)?;
            file.sync_all()?;
            Ok(Some(OVERWRITE_BYTES))
        })?)
    }

    /// The paths of the files, which are made when they are missing.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let paths: Vec<_> = (0..FILES).map(|number| self.path(&format!("file-{number}"))).collect();
        for path in &paths {
            if std::fs::metadata(path).is_ok_and(|there| there.len() == FILE_BYTES) {
                continue;
            }
            let (mut file, bytes) = (File::create(path)?, noise(SEQUENTIAL_BYTES));
            for _ in 0..FILE_BYTES / SEQUENTIAL_BYTES as u64 {
                self.stop.check()?;
                file.write_all(&bytes)?;
            }
            file.sync_all()?;
        }
        Ok(paths)
    }
}

/// Opens all, with nothing of them in the page cache, to be read or written here and there.
fn opened(paths: &[PathBuf], writes: bool) -> io::Result<Vec<File>> {
    let open = |path: &PathBuf| {
        let file = File::options().read(true).write(writes).open(path)?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        fadvise(&file, 0, None, Advice::Random)?;
        Ok(file)
    };
    paths.iter().map(open).collect()
}

/// One of the files, and a place in it.
fn anywhere<'f>(files: &'f [File], places: &mut Places, len: usize) -> (&'f File, u64) {
    let file = usize::try_from(places.below(files.len() as u64)).expect("few files");
    (&files[file], places.below(FILE_BYTES / len as u64) * len as u64)
}

fn read(path: &Path, clock: &Clock) -> io::Result<Slice> {
    let (mut slice, mut buffer) = (Slice::default(), vec![0; SEQUENTIAL_BYTES]);
    while !clock.is_over() {
        let file = File::open(path)?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        for at in (0..FILE_BYTES).step_by(SEQUENTIAL_BYTES) {
            let from = Instant::now();
            file.read_exact_at(&mut buffer, at)?;
            if clock.is_over() {
                break;
            }
            slice.count(clock.begin, from, 1, SEQUENTIAL_BYTES);
        }
    }
    Ok(slice)
}

fn write(path: &Path, clock: &Clock) -> io::Result<Slice> {
    let (mut slice, bytes) = (Slice::default(), noise(SEQUENTIAL_BYTES));
    while !clock.is_over() {
        let file = File::options().write(true).open(path)?;
        let mut unsynced = Vec::new();
        for at in (0..FILE_BYTES).step_by(SEQUENTIAL_BYTES) {
            let from = Instant::now();
            file.write_all_at(&bytes, at)?;
            unsynced.push(from.elapsed());
            if (at + SEQUENTIAL_BYTES as u64).is_multiple_of(SYNC_BYTES) {
                file.sync_all()?;
                // How long each took is how long its own call did; the fsync is in the time of the whole.
                for took in unsynced.drain(..) {
                    slice.count_took(clock.begin, took, SEQUENTIAL_BYTES);
                }
                if clock.is_over() {
                    break;
                }
            }
        }
    }
    Ok(slice)
}
