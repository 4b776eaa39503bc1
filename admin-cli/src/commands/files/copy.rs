//! `emberfs cp`: into, out of, or within the cluster.
//!
//! The tree is walked first, before anything is made: so a copy into itself, also by a way that is not seen,
//! has an end. Then directories and links are made, and several files move at a time, each in several pieces at
//! a time. Directories get their own permission bits last, so that one without write permission can be filled.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use emberfs_client::Fs;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};

use super::PIECE_BYTES;
use super::side::{Kind, Meta, Side};
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
    let into = target.meta(to, true).await?.is_some_and(|meta| meta.kind == Kind::Directory);
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
    let copied = stream::iter(&plan.files)
        .map(|job| copy(origin, target, job, &bar))
        .buffer_unordered(FILES_AT_ONCE)
        .try_collect::<()>()
        .await;
    bar.finish_and_clear();
    copied?;
    for (directory, mode) in plan.directories.iter().rev() {
        let set = target.set_mode(directory, *mode).await;
        set.with_context(|| target.shown(directory))?;
    }
    Ok(())
}

/// Copies one file, as long as it is found to be: it may grow or shrink meanwhile.
async fn copy(origin: &Side, target: &Side, job: &Job, bar: &ProgressBar) -> Result<()> {
    let copied = async {
        let from = origin.open(&job.from).await?;
        let to = target.create(&job.to, job.mode).await?;
        let starts = (0..job.len).step_by(PIECE_BYTES);
        stream::iter(starts)
            .map(|at| {
                let (from, to) = (&from, &to);
                async move {
                    let left = usize::try_from(job.len - at).unwrap_or(usize::MAX);
                    let bytes = from.read(at, left.min(PIECE_BYTES)).await?;
                    let len = bytes.len() as u64;
                    to.write(at, bytes).await?;
                    bar.inc(len);
                    anyhow::Ok(())
                }
            })
            .buffer_unordered(PIECES_AT_ONCE)
            .try_collect::<()>()
            .await?;
        to.finish().await
    };
    let copied = copied.await;
    copied.with_context(|| format!("{} to {}", origin.shown(&job.from), target.shown(&job.to)))
}
