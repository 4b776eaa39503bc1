//! `emberfs cp`: into, out of, or within the cluster.
//!
//! The tree is walked first, before anything is made: so a copy into itself, also by a way that is not seen,
//! has an end. Then directories and links are made, and several files move at a time, each in several pieces at
//! a time. Directories get their own permission bits last, so that one without write permission can be filled.
//!
//! A file is made, or one that has its name emptied, once its first piece is in hand: what cannot be read costs
//! nothing. If its copy fails later it is removed again, or, where it was there before, said to be incomplete; and
//! all others that are under way end in the same way. Rejected: a name of its own for each until it is whole, as a
//! rename more doubles what a small file costs, and links and devices have to be written to in place.

use std::cell::Cell;
use std::future::ready;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail, ensure};
use emberfs_client::Fs;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};

use super::PIECE_BYTES;
use super::open_file::{OpenFile, Part};
use super::side::{Kind, Meta, Side};
use crate::exit::words;
use crate::location::Location;

/// Files that move at a time: small ones wait for round trips, not for bytes.
const FILES_AT_ONCE: usize = 16;
/// Pieces of one file that move at a time.
const PIECES_AT_ONCE: usize = 4;

/// A file that is to be copied.
#[derive(Debug)]
struct Job {
    from: PathBuf,
    to: PathBuf,
    len: u64,
    mode: u16,
}

/// What walking the sources found.
#[derive(Debug, Default)]
struct Plan {
    files: Vec<Job>,
    /// Directories and their permission bits, parents first.
    directories: Vec<(PathBuf, u16)>,
    /// Symbolic links: where each leads, and its own path.
    links: Vec<(PathBuf, PathBuf)>,
    /// What is neither file, directory nor link.
    skipped: Vec<PathBuf>,
}

pub(super) async fn run(fs: &Fs, paths: &[Location], recursive: bool) -> Result<()> {
    let (to, sources) = paths.split_last().context("at least a source and a destination")?;
    let (target, to) = side(fs, to);
    let there = target.meta(to, true).await.with_context(|| target.shown(to))?;
    let into = there.is_some_and(|meta| meta.kind == Kind::Directory);
    if !into && !recursive && to.as_os_str().as_encoded_bytes().ends_with(b"/") {
        bail!("{}: no such directory", target.shown(to));
    }
    if sources.len() > 1 && !into {
        let to = target.shown(to);
        bail!("{to}: several things can only be copied into a directory that is there");
    }
    for source in sources {
        let (origin, from) = side(fs, source);
        let to = match (into, from.file_name()) {
            (true, Some(name)) => to.join(name),
            _ => to.to_owned(),
        };
        let plan = walk(&origin, from, &target, &to, recursive).await?;
        carry_out(&origin, &target, &plan).await?;
        if let Some(first) = plan.skipped.first() {
            let (count, first) = (plan.skipped.len(), origin.shown(first));
            bail!("{count} skipped that are no file, directory or link: {first} first");
        }
    }
    Ok(())
}

fn side<'a>(fs: &Fs, location: &'a Location) -> (Side, &'a Path) {
    match location {
        Location::Cluster(path) => (Side::Cluster(fs.clone()), path),
        Location::Local(path) => (Side::Local, path),
    }
}

/// Finds all that is to be copied.
async fn walk(
    origin: &Side,
    source: &Path,
    target: &Side,
    top: &Path,
    recursive: bool,
) -> Result<Plan> {
    let mut plan = Plan::default();
    let ground = target.ground(top).await.with_context(|| target.shown(top))?;
    let mut open = vec![(source.to_owned(), top.to_owned())];
    while let Some((from, to)) = open.pop() {
        // A link that is named is followed, one that is found is copied.
        let named = plan.files.is_empty() && plan.directories.is_empty();
        let meta = origin.meta(&from, named && !recursive).await;
        let meta = meta.with_context(|| origin.shown(&from))?;
        let Some(Meta { kind, id, mode }) = meta else {
            bail!("{}: no such file or directory", origin.shown(&from));
        };
        match kind {
            Kind::File { len } => {
                // It would be emptied before it is read.
                let there = target.meta(&to, true).await.with_context(|| target.shown(&to))?;
                ensure!(
                    !there.is_some_and(|there| there.id.is_same(id)),
                    "{} and {} are the same file",
                    origin.shown(&from),
                    target.shown(&to)
                );
                plan.files.push(Job { from, to, len, mode });
            }
            Kind::Directory if !recursive => {
                bail!("{} is a directory: `cp -r` copies it", origin.shown(&from))
            }
            Kind::Directory => {
                ensure!(
                    !ground.is_some_and(|ground| ground.is_same(id)),
                    "{} lies within {}, which cannot be copied into itself",
                    target.shown(top),
                    origin.shown(source)
                );
                let listed = origin.list(&from).await;
                for path in listed.with_context(|| origin.shown(&from))? {
                    let name = path.file_name().context("an entry has a name")?;
                    open.push((path.clone(), to.join(name)));
                }
                plan.directories.push((to, mode));
            }
            Kind::Symlink => {
                let link = origin.read_link(&from).await;
                plan.links.push((link.with_context(|| origin.shown(&from))?, to));
            }
            Kind::Other => plan.skipped.push(from),
        }
    }
    Ok(plan)
}

async fn carry_out(origin: &Side, target: &Side, plan: &Plan) -> Result<()> {
    for (directory, _) in &plan.directories {
        let made = target.make_directory(directory).await;
        made.with_context(|| target.shown(directory))?;
    }
    for (link, path) in &plan.links {
        let made = target.make_link(link, path).await;
        made.with_context(|| target.shown(path))?;
    }
    let bar = ProgressBar::new(plan.files.iter().map(|job| job.len).sum());
    let style = ProgressStyle::with_template(
        "{bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left {msg}",
    );
    bar.set_style(style.expect("a fixed template"));
    let failed = Cell::new(false);
    let copies = stream::iter(&plan.files).take_while(|_| ready(!failed.get()));
    let copies = copies.map(|job| async {
        let copied = copy(origin, target, job, &bar, &failed).await;
        failed.set(failed.get() || copied.is_err());
        copied
    });
    let copied: Vec<Result<()>> = copies.buffer_unordered(FILES_AT_ONCE).collect().await;
    bar.finish_and_clear();
    let mut failures = copied.into_iter().filter_map(Result::err);
    if let Some(first) = failures.next() {
        failures.for_each(|other| eprintln!("error: {}", words(&other)));
        return Err(first);
    }
    for (directory, mode) in plan.directories.iter().rev() {
        let set = target.set_mode(directory, *mode).await;
        set.with_context(|| target.shown(directory))?;
    }
    Ok(())
}

/// Copies one file, as long as it is found to be: it may grow or shrink meanwhile. Nothing is left of it if that
/// fails, or another has `failed`, which is no error of this one; what is left all the same is one.
async fn copy(
    origin: &Side,
    target: &Side,
    job: &Job,
    bar: &ProgressBar,
    failed: &Cell<bool>,
) -> Result<()> {
    let said = || format!("{} to {}", origin.shown(&job.from), target.shown(&job.to));
    let opened = async {
        let from = origin.open(&job.from).await?;
        let first = from.read(0, piece(job.len, 0)).await?;
        let (to, created) = target.create(&job.to, job.mode).await?;
        anyhow::Ok((from, first, to, created))
    };
    let (from, first, to, created) = opened.await.with_context(said)?;
    let why = match fill(&from, first, to, job.len, bar, failed).await {
        Ok(true) => return Ok(()),
        Ok(false) => None,
        Err(why) => Some(why),
    };
    let left = match created {
        true => match target.remove(&job.to).await {
            Ok(()) => None,
            Err(error) => Some(format!("it is left, incomplete ({})", words(&error))),
        },
        false => Some("it was there before, and is incomplete now".to_owned()),
    };
    match (why, left) {
        (None, None) => Ok(()),
        (Some(why), None) => Err(why).with_context(said),
        (why, Some(left)) => {
            let why = why.unwrap_or_else(|| Error::msg("given up, as another copy failed"));
            Err(why.context(left)).with_context(said)
        }
    }
}

/// Writes a file of `len` bytes that is open and empty, and closes it; `false` if that is given up, as another
/// has `failed`.
async fn fill(
    from: &OpenFile,
    first: Part,
    to: OpenFile,
    len: u64,
    bar: &ProgressBar,
    failed: &Cell<bool>,
) -> Result<bool> {
    // Where the last bytes end, and the last hole.
    let (bytes, holes) = (&Cell::new(0), &Cell::new(0));
    let put = |at: u64, part: Part| {
        let to = &to;
        async move {
            let (end, last) = match &part {
                Part::Bytes(_) => (at + part.len(), bytes),
                Part::Hole { .. } => (at + part.len(), holes),
            };
            to.write(at, part).await?;
            if end > at {
                last.set(end.max(last.get()));
            }
            bar.inc(end - at);
            anyhow::Ok(())
        }
    };
    put(0, first).await?;
    let starts = (0..len).step_by(PIECE_BYTES).skip(1).take_while(|_| !failed.get());
    stream::iter(starts)
        .map(|at| async move { put(at, from.read(at, piece(len, at)).await?).await })
        .buffer_unordered(PIECES_AT_ONCE)
        .try_collect::<()>()
        .await?;
    if failed.get() {
        return Ok(false);
    }
    to.finish((holes > bytes).then(|| holes.get())).await?;
    Ok(true)
}

/// How many bytes of a file of `len` move at once from `at`.
fn piece(len: u64, at: u64) -> usize {
    usize::try_from(len - at).unwrap_or(usize::MAX).min(PIECE_BYTES)
}
