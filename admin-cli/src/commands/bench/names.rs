//! Loads of names: what the metadata group does alone.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use emberfs_client::{Listing, OpenOptions};

use super::clock::Clock;
use super::drive::repeat;
use super::files::{Files, NAMES};
use super::places::Places;
use super::slice::Slice;

/// How many entries a directory has that is listed; in a slice below [`SHORT`] a tenth.
pub(super) const LISTED: u64 = 100_000;
/// How many files a tree has that is removed, and how many each of its directories.
pub(super) const TREE: u64 = 10_000;
const TREE_DIRECTORY: u64 = 100;
/// How many names are removed in a slice, at most.
pub(super) const REMOVED: u64 = 2000;
/// A slice that is only to show that it works, and prepares less.
pub(super) const SHORT: Duration = Duration::from_secs(1);

/// What is done with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// An empty file is made and closed, in a directory for all.
    Create,
    /// The same, each caller in a directory of its own.
    CreateApart,
    /// Attributes are asked for by path.
    Stat,
    /// A file is opened for reading and closed.
    Open,
    /// A directory of [`LISTED`] files is listed with their attributes, page by page.
    List,
    /// Files are removed that were made before.
    Unlink,
    /// A file is given another name in its directory.
    Rename,
    /// A tree of [`TREE`] files is removed.
    RemoveTree,
}

/// Carries it out for so long.
pub(super) async fn carry_out(
    what: What,
    files: &Files,
    callers: usize,
    time: Duration,
) -> Result<Slice> {
    match what {
        What::Create => create(files, callers, time, false).await,
        What::CreateApart => create(files, callers, time, true).await,
        What::Stat => stat(files, callers, time).await,
        What::Open => open(files, callers, time).await,
        What::List => list(files, callers, time).await,
        What::Unlink => unlink(files, callers, time).await,
        What::Rename => rename(files, callers, time).await,
        What::RemoveTree => remove_tree(files).await,
    }
}

/// So much, or in a short slice a tenth of it, which is then to be said.
fn scaled(count: u64, time: Duration) -> (u64, Option<String>) {
    match time > SHORT {
        true => (count, None),
        false => (count / 10, Some(format!("scaled down: {} names", count / 10))),
    }
}

/// Names of files that were created, in this process.
static CREATED: AtomicU64 = AtomicU64::new(0);

async fn create(files: &Files, callers: usize, time: Duration, apart: bool) -> Result<Slice> {
    let new = OpenOptions::new().write(true).create_new(true);
    let directory = |caller: usize| if apart { format!("new-{caller}") } else { "new".to_owned() };
    for caller in 0..if apart { callers } else { 1 } {
        files.names(&directory(caller), 0).await?;
    }
    let (clock, state) = (Clock::start(time, &files.stop), |caller| files.path(&directory(caller)));
    repeat(callers, &clock, state, async |directory, _| {
        let path = format!("{directory}/new-{}", CREATED.fetch_add(1, Ordering::Relaxed));
        files.fs.open(path, &new).await?.close().await?;
        Ok((1, 0))
    })
    .await
}

async fn stat(files: &Files, callers: usize, time: Duration) -> Result<Slice> {
    let directory = files.names("names", NAMES).await?;
    let clock = Clock::start(time, &files.stop);
    repeat(callers, &clock, Places::of, async |places, _| {
        files.fs.stat(format!("{directory}/{}", places.below(NAMES))).await?;
        Ok((1, 0))
    })
    .await
}

async fn open(files: &Files, callers: usize, time: Duration) -> Result<Slice> {
    let (directory, options) = (files.names("names", NAMES).await?, OpenOptions::new().read(true));
    let (clock, before) = (Clock::start(time, &files.stop), files.client.metadata_requests());
    let mut slice = repeat(callers, &clock, Places::of, async |places, _| {
        let path = format!("{directory}/{}", places.below(NAMES));
        files.fs.open(path, &options).await?.close().await?;
        Ok((1, 0))
    })
    .await?;
    let asked = files.client.metadata_requests().saturating_sub(before);
    // Those that ended too late have asked as well.
    let calls = (slice.calls() + callers) as f64;
    slice.note = Some(format!("{:.2} RPCs per open", asked as f64 / calls));
    Ok(slice)
}

async fn list(files: &Files, callers: usize, time: Duration) -> Result<Slice> {
    let (count, note) = scaled(LISTED, time);
    let directory = files.names("many", count).await?;
    let clock = Clock::start(time, &files.stop);
    let state = |_: usize| None::<Listing>;
    let slice = repeat(callers, &clock, state, async |listing, _| {
        let mut listed = 0;
        // A turn is as much as one page has, so that a slow listing counts as well.
        while listed < PAGE {
            let entries = match listing {
                Some(entries) => entries,
                None => listing.insert(files.fs.list(&directory)?),
            };
            match entries.next().await? {
                Some(_) => listed += 1,
                None => *listing = None,
            }
        }
        Ok((listed, 0))
    })
    .await?;
    Ok(Slice { note, ..slice })
}

/// As many entries as the library asks for at once.
pub(super) const PAGE: usize = 1024;

async fn unlink(files: &Files, callers: usize, time: Duration) -> Result<Slice> {
    let directory = files.fresh("unlinked").await?;
    files.make_names(&directory, REMOVED).await?;
    let (clock, next) = (Clock::start(time, &files.stop), Cell::new(0));
    repeat(
        callers,
        &clock,
        |_| (),
        async |(), _| {
            let number = next.replace(next.get() + 1);
            if number >= REMOVED {
                return Ok((0, 0));
            }
            files.fs.remove(format!("{directory}/{number}")).await?;
            Ok((1, 0))
        },
    )
    .await
}

async fn rename(files: &Files, callers: usize, time: Duration) -> Result<Slice> {
    let directory = files.fresh("renamed").await?;
    files.make_names(&directory, callers as u64).await?;
    let (clock, state) = (Clock::start(time, &files.stop), |caller: usize| caller);
    repeat(callers, &clock, state, async |caller, turn| {
        let name = |turn: u64| match turn % 2 {
            0 => format!("{directory}/{caller}"),
            _ => format!("{directory}/{caller}-again"),
        };
        files.fs.rename(name(turn), name(turn + 1)).await?;
        Ok((1, 0))
    })
    .await
}

async fn remove_tree(files: &Files) -> Result<Slice> {
    let root = files.fresh("tree").await?;
    for number in 0..TREE / TREE_DIRECTORY {
        let directory = format!("{root}/{number}");
        files.fs.mkdir(&directory).await?;
        files.make_names(&directory, TREE_DIRECTORY).await?;
    }
    let (begin, mut slice) = (Instant::now(), Slice::default());
    files.fs.remove_all(&root).await?;
    slice.count(begin, begin, usize::try_from(TREE)?, 0);
    Ok(slice)
}
