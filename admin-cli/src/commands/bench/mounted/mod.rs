//! The same through a mounted file system, as any program uses it: by system calls of threads.
//!
//! Which file system it is does not matter: `cargo xtask bench` also has it measure one that does nothing, and the page
//! cache of one on a disk.
//!
//! | file | noun |
//! | --- | --- |
//! | `data.rs` | large files, read and written in order and anywhere |
//! | `names.rs` | names, small files and archives |

mod data;
mod names;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::clock::{Clock, Stop};
use super::names::What;
use super::row::{KIB, Load};
use super::slice::Slice;
use super::small;

pub(super) use self::names::{ARCHIVED, ARCHIVED_BYTES};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Through {
    /// Each thread reads a file of its own in order; opening it drops what the kernel has of it.
    SequentialRead { threads: usize },
    /// Each thread writes over a file of its own in order, with an fsync after every few writes.
    SequentialWrite { threads: usize },
    /// Each reads anywhere in the files.
    RandomRead { threads: usize },
    /// One reads a file in order that the kernel has whole.
    CachedRead,
    /// One writes anywhere in the files, with an fsync after each.
    Overwrite,
    /// Each asks for attributes by path.
    Stat { threads: usize },
    /// Each creates and closes empty files.
    Create { threads: usize },
    /// `tar` unpacks an archive of small files.
    Untar,
    /// Each writes new small files, whole, and syncs them.
    SmallWrite { threads: usize },
    /// Each reads small files, whole.
    SmallRead { threads: usize },
}

impl Through {
    /// What does the same by the client library; nothing does what the page cache does.
    pub(super) fn native(self) -> Option<Load> {
        Some(match self {
            Self::SequentialRead { threads } => Load::SequentialRead { streams: threads },
            Self::SequentialWrite { threads } => Load::SequentialWrite { streams: threads },
            Self::RandomRead { threads } => Load::RandomRead { size: 4 * KIB, depth: threads },
            Self::CachedRead => return None,
            Self::Overwrite => Load::Overwrite { depth: 1 },
            Self::Stat { threads } => Load::Names { what: What::Stat, callers: threads },
            Self::Create { threads } => Load::Names { what: What::Create, callers: threads },
            Self::Untar => Load::SmallWrite { size: ARCHIVED_BYTES, callers: 1 },
            Self::SmallWrite { threads } => {
                Load::SmallWrite { size: small::BYTES, callers: threads }
            }
            Self::SmallRead { threads } => Load::SmallRead { callers: threads },
        })
    }
}

/// A directory of its own in a mounted file system.
#[derive(Debug)]
pub(super) struct Mounted {
    stop: Stop,
    directory: PathBuf,
    is_made: bool,
    /// How many of the small files there are.
    small: u64,
}

impl Mounted {
    /// In this directory; nothing is made yet.
    pub(super) fn at(parent: &Path, stop: &Stop) -> Self {
        let directory = parent.join(format!(".emberfs-bench-{}", std::process::id()));
        Self { stop: stop.clone(), directory, is_made: false, small: 0 }
    }

    /// Carries a load out for so long.
    pub(super) fn carry_out(&mut self, load: Through, time: Duration) -> Result<Slice> {
        if !self.is_made {
            let made = fs::create_dir(&self.directory);
            made.with_context(|| format!("making {}", self.directory.display()))?;
            self.is_made = true;
        }
        match load {
            Through::SequentialRead { threads } => self.sequential_read(threads, time),
            Through::SequentialWrite { threads } => self.sequential_write(threads, time),
            Through::RandomRead { threads } => self.random_read(threads, time),
            Through::CachedRead => self.cached_read(time),
            Through::Overwrite => self.overwrite(time),
            Through::Stat { threads } => self.stat(threads, time),
            Through::Create { threads } => self.create(threads, time),
            Through::Untar => self.untar(time),
            Through::SmallWrite { threads } => self.small_write(threads, time),
            Through::SmallRead { threads } => self.small_read(threads, time),
        }
    }

    /// Removes what was made.
    pub(super) fn remove(self) -> Result<()> {
        if !self.is_made {
            return Ok(());
        }
        let removed = fs::remove_dir_all(&self.directory);
        removed
            .with_context(|| format!("what was made is left: rm -r {}", self.directory.display()))
    }

    fn clock(&self, time: Duration) -> Clock {
        Clock::start(time, &self.stop)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// An empty directory of this name, in place of what was there.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir(&path)?,
        }
        Ok(path)
    }
}

/// So many threads that do something; what came of all together.
fn threads(count: usize, run: impl Fn(usize) -> io::Result<Slice> + Sync) -> Result<Slice> {
    let slices: Vec<io::Result<Slice>> = thread::scope(|scope| {
        let run = &run;
        let started: Vec<_> = (0..count).map(|number| scope.spawn(move || run(number))).collect();
        started.into_iter().map(|thread| thread.join().expect("a thread ends")).collect()
    });
    Ok(Slice::joined(slices.into_iter().collect::<io::Result<_>>()?))
}

/// One thread that does `act` until the clock has run out; it says how many bytes that was, or that nothing is left.
fn repeat(
    clock: &Clock,
    mut act: impl FnMut(u64) -> io::Result<Option<usize>>,
) -> io::Result<Slice> {
    let mut slice = Slice::default();
    for turn in 0.. {
        let from = Instant::now();
        let Some(bytes) = act(turn)? else { break };
        if clock.is_over() {
            break;
        }
        slice.count(clock.begin, from, 1, bytes);
    }
    Ok(slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_works_in_any_directory_and_leaves_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (_sender, stop) = Stop::new();
        let mut mounted = Mounted::at(directory.path(), &stop);
        for load in [
            Through::SequentialRead { threads: 2 },
            Through::SequentialWrite { threads: 2 },
            Through::RandomRead { threads: 2 },
            Through::CachedRead,
            Through::Overwrite,
            Through::Stat { threads: 2 },
            Through::Create { threads: 2 },
            Through::Untar,
            Through::SmallWrite { threads: 2 },
            Through::SmallRead { threads: 2 },
        ] {
            let slice = mounted.carry_out(load, Duration::from_millis(100)).expect("done");
            assert!(
                slice.calls() > 0 || matches!(load, Through::SequentialWrite { .. }),
                "{load:?}"
            );
        }
        mounted.remove().expect("removed");
        assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 0);
    }
}
