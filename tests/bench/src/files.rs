//! Reading and writing files of a mounted file system, as any program does: `read`, `write` and `fsync`, by threads.
//!
//! Each stream has a file of its own, and goes through it in order, again and again. For each round it opens it anew,
//! upon which the kernel drops what it has in its page cache: reads are cold. What was written counts when an fsync
//! behind it has returned, after every few writes.

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use rustix::fs::{Advice, fadvise};

use crate::block::Block;
use crate::drive;
use crate::load::Load;
use crate::message::Kind;
use crate::slice::Slice;

/// How many files there are.
pub(crate) const FILES: usize = 4;
/// Size of each.
pub(crate) const FILE_BYTES: u64 = 128 << 20;
/// After how many bytes an fsync follows.
const SYNC_BYTES: u64 = 16 << 20;
/// How much is written ahead at once.
const AHEAD_BYTES: usize = 1 << 20;

#[derive(Args)]
pub(crate) struct Files {
    /// In which directory; files that are missing are made
    #[arg(long)]
    directory: PathBuf,
}

/// The name of a file.
pub(crate) fn name(number: usize) -> String {
    format!("file-{number}")
}

/// Does what standard input says.
pub(crate) fn run(args: &Files) -> Result<()> {
    for number in 0..FILES {
        prepare(&args.directory.join(name(number)))?;
    }
    drive::say(&serde_json::json!({}))?;
    for line in io::stdin().lock().lines() {
        let load: Load = line?.parse()?;
        drive::say(&carry_out(&load, &args.directory)?.json())?;
    }
    Ok(())
}

fn prepare(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|there| there.len() == FILE_BYTES) {
        return Ok(());
    }
    let (mut file, mut block) = (File::create(path)?, Block::new(AHEAD_BYTES));
    block.fill(1);
    for _ in 0..FILE_BYTES / AHEAD_BYTES as u64 {
        file.write_all(block.payload())?;
    }
    file.sync_all()
}

fn carry_out(load: &Load, directory: &Path) -> Result<Slice> {
    let begin = Instant::now();
    let stream = |number: usize| {
        let path = directory.join(name(number % FILES));
        match load.kind {
            Kind::Read => Ok(read(load, &path, begin)?),
            Kind::Write => Ok(write(load, &path, begin)?),
            other => bail!("files are read or written: {other:?}"),
        }
    };
    let slices: Vec<Result<Slice>> = thread::scope(|scope| {
        let stream = &stream;
        let spawn = |number| scope.spawn(move || stream(number));
        let threads: Vec<_> = (0..load.streams).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("a stream ends")).collect()
    });
    let mut whole = Slice { size: load.size, ..Slice::default() };
    for slice in slices {
        let slice = slice?;
        whole.time = whole.time.max(slice.time);
        whole.took_us.extend(slice.took_us);
    }
    Ok(whole)
}

fn read(load: &Load, path: &Path, begin: Instant) -> io::Result<Slice> {
    let (mut slice, mut buffer) = (Slice::default(), vec![0; load.size]);
    while begin.elapsed() < load.time {
        let file = File::open(path)?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        for at in (0..FILE_BYTES).step_by(load.size) {
            let from = Instant::now();
            file.read_exact_at(&mut buffer, at)?;
            if begin.elapsed() >= load.time {
                break;
            }
            slice.count(from.elapsed());
            slice.time = begin.elapsed();
        }
    }
    Ok(slice)
}

fn write(load: &Load, path: &Path, begin: Instant) -> io::Result<Slice> {
    let (mut slice, mut block) = (Slice::default(), Block::new(load.size));
    block.fill(2);
    while begin.elapsed() < load.time {
        let file = File::options().write(true).open(path)?;
        let mut unsynced = Vec::new();
        for at in (0..FILE_BYTES).step_by(load.size) {
            let from = Instant::now();
            file.write_all_at(block.payload(), at)?;
            unsynced.push(from.elapsed());
            if (at + load.size as u64).is_multiple_of(SYNC_BYTES) {
                file.sync_all()?;
                unsynced.drain(..).for_each(|took| slice.count(took));
                slice.time = begin.elapsed();
                if begin.elapsed() >= load.time {
                    break;
                }
            }
        }
    }
    Ok(slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_read_and_write_their_files() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for number in 0..2 {
            prepare(&directory.path().join(name(number))).expect("written");
        }
        for line in ["read 1048576 2 1 seq 0.05", "write 1048576 2 1 seq 0.05"] {
            let load = line.parse().expect("a load");
            let slice = carry_out(&load, directory.path()).expect("done");
            assert!(!slice.took_us.is_empty() && slice.rate() > 0.0, "{line}");
        }
        let append = "append 1 1 1 seq 0.05".parse().expect("a load");
        assert!(carry_out(&append, directory.path()).is_err());
    }
}
