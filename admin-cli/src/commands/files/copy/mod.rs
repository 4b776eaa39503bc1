//! `emberfs cp`: into, out of, or within the cluster.
//!
//! Each source is walked ([`plan`]) before anything of it is made. Then directories and links are made, and several
//! files move at a time ([`transfer`]). Directories that were made get their own permission bits last, so that one
//! without write permission can be filled.
//!
//! What fails is said, and all else is copied, as `cp` of this machine does. Nothing more is begun only where it would
//! fail in the same way: the destination has no room, or the cluster does not answer in the time that was set. What is
//! under way then goes on to its end.
//!
//! A file is made, or one that has its name emptied, once its first piece is in hand: what cannot be read costs
//! nothing. If its copy fails later, or is interrupted, it is removed again or, where it was there before, said to be
//! incomplete. Rejected: a name of its own for each until it is whole, as a rename more doubles what a small file
//! costs, and links and devices have to be written to in place.

mod open_file;
mod plan;
mod side;
mod transfer;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::future::ready;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail};
use emberfs_client::{ClientError, Fs, FsError};
use futures_util::stream::{self, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::OnceCell;

use self::plan::{Errand, Job, Plan};
use self::side::{Kind, Side};
use self::transfer::{fill, piece};
use super::failures::Failures;
use super::interrupt::Interrupt;
use crate::connection::Connection;
use crate::exit::{End, say, words};
use crate::location::{Location, own_name};

/// Files that move at a time: small ones wait for round trips, not for bytes.
const FILES_AT_ONCE: usize = 16;

/// Why a cluster that is not full has no room.
#[derive(Debug)]
struct NoTable;

impl fmt::Display for NoTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cluster has no chain table yet: `emberfs chain-table create` makes one")
    }
}

impl std::error::Error for NoTable {}

/// One command's copying.
struct Copying<'a> {
    connection: &'a Connection,
    target: Side,
    bar: ProgressBar,
    failures: Failures,
    interrupt: Interrupt,
    /// Why nothing more is begun.
    halted: RefCell<Option<String>>,
    /// Whether the cluster has no chain table, once that was asked.
    lacks_table: OnceCell<bool>,
    /// Entries that were copied, and that there are.
    done: Cell<u64>,
    known: Cell<u64>,
}

pub(super) async fn run(
    connection: &Connection,
    fs: &Fs,
    (paths, recursive): (&[Location], bool),
    interrupt: &Interrupt,
) -> Result<End> {
    let (to, sources) = paths.split_last().context("at least a source and a destination")?;
    let (target, to) = side(fs, to);
    let there = target.meta(to, true).await.with_context(|| target.shown(to))?;
    let into = there.is_some_and(|meta| meta.kind == Kind::Directory);
    if sources.len() > 1 && !into {
        let to = target.shown(to);
        bail!("{to}: several things can only be copied into a directory that is there");
    }
    // Before, there is nothing to take back: a signal ends the program.
    interrupt.listen().context("cannot listen for signals")?;
    let copying = Copying::new(connection, target, interrupt.clone());
    let mut taken = HashSet::new();
    for source in sources {
        let (origin, source) = side(fs, source);
        // One without goes there with all that is in it.
        let own = own_name(source).filter(|_| into);
        let top = own.map_or_else(|| to.to_owned(), |name| to.join(name));
        let is_there = into && own.is_none();
        let target = &copying.target;
        let errand = Errand { origin: &origin, source, target, top, is_there, recursive };
        copying.carry_out(&errand, &mut taken).await;
    }
    Ok(copying.end())
}

fn side<'a>(fs: &Fs, location: &'a Location) -> (Side, &'a Path) {
    match location {
        Location::Cluster(path) => (Side::Cluster(fs.clone()), path),
        Location::Local(path) => (Side::Local, path),
    }
}

impl<'a> Copying<'a> {
    fn new(connection: &'a Connection, target: Side, interrupt: Interrupt) -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template(
            "{bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left {msg}",
        );
        bar.set_style(style.expect("a fixed template"));
        Self {
            connection,
            target,
            failures: Failures::beside(bar.clone()),
            bar,
            interrupt,
            halted: RefCell::default(),
            lacks_table: OnceCell::new(),
            done: Cell::default(),
            known: Cell::default(),
        }
    }

    /// Copies a source, as far as it can be.
    async fn carry_out(&self, errand: &Errand<'_>, taken: &mut HashSet<PathBuf>) {
        if self.is_halted() {
            self.known.set(self.known.get() + 1);
            return;
        }
        let before = self.failures.count();
        let planned = tokio::select! {
            planned = Plan::of(errand, taken, &self.failures) => planned,
            // Nothing of it was made.
            () = self.interrupt.wanted() => Err(Error::msg("interrupted")),
        };
        let plan = planned.unwrap_or_else(|error| {
            self.fail(&error);
            Plan::default()
        });
        self.known.set(self.known.get() + plan.len() + self.failures.count() - before);
        self.bar.inc_length(plan.files.iter().filter_map(|job| job.len).sum());
        let (made, unmade) = self.make_directories(&plan).await;
        let can_be = |path: &Path| !path.parent().is_some_and(|above| unmade.contains(above));
        for (link, path) in plan.links.iter().filter(|(_, path)| can_be(path)) {
            if self.is_halted() {
                break;
            }
            let made = self.target.make_link(link, path).await;
            self.note(made.with_context(|| self.target.shown(path)));
        }
        stream::iter(plan.files.iter().filter(|job| can_be(&job.to)))
            .take_while(|_| ready(!self.is_halted()))
            .map(|job| self.copy(errand.origin, job))
            .buffer_unordered(FILES_AT_ONCE)
            .for_each(|()| ready(()))
            .await;
        for (directory, mode) in made.iter().rev() {
            let set = self.target.set_mode(directory, *mode).await;
            if let Err(error) = set.with_context(|| self.target.shown(directory)) {
                self.fail(&error);
            }
        }
    }

    /// Makes the directories of a plan; those that get other permission bits at the end, and those that could not be
    /// made: nothing in them can be.
    async fn make_directories(&self, plan: &Plan) -> (Vec<(PathBuf, u16)>, HashSet<PathBuf>) {
        let (mut later, mut unmade) = (Vec::new(), HashSet::new());
        for (directory, mode) in &plan.directories {
            let above = directory.parent();
            if self.is_halted() || above.is_some_and(|above| unmade.contains(above)) {
                unmade.insert(directory.clone());
                continue;
            }
            let made = self.target.make_directory(directory, *mode).await;
            match made.with_context(|| self.target.shown(directory)) {
                Ok(mode) => {
                    later.extend(mode.map(|mode| (directory.clone(), mode)));
                    self.done.set(self.done.get() + 1);
                }
                Err(error) => {
                    self.fail(&error);
                    unmade.insert(directory.clone());
                }
            }
        }
        (later, unmade)
    }

    /// Copies a file, or leaves nothing of it that is new and says what is left.
    async fn copy(&self, origin: &Side, job: &Job) {
        let said = || format!("{} to {}", origin.shown(&job.from), self.target.shown(&job.to));
        match self.copy_whole(origin, job).await {
            Ok(true) => self.note(Ok(())),
            Ok(false) => {}
            Err(error) => {
                let error = self.explained(error).await;
                self.note(Err(error.context(said())));
            }
        }
    }

    /// The same, if there is no better reason.
    async fn explained(&self, error: Error) -> Error {
        let is_full = error.downcast_ref() == Some(&ClientError::Fs(FsError::NoSpace));
        let asked = async || {
            let cluster = self.connection.cluster().await?;
            anyhow::Ok(cluster.routing().await?.tables().next().is_none())
        };
        let lacks_table = async || asked().await.unwrap_or(false);
        match is_full && *self.lacks_table.get_or_init(lacks_table).await {
            true => NoTable.into(),
            false => error,
        }
    }

    /// Copies a file; `false` if it was not begun, or taken back as somebody wants all this to end.
    async fn copy_whole(&self, origin: &Side, job: &Job) -> Result<bool> {
        let read = async {
            let from = origin.open(&job.from).await?;
            let first = from.read(0, piece(job.len, 0)).await?;
            anyhow::Ok((from, first))
        };
        let (from, first) = tokio::select! {
            read = read => read?,
            () = self.interrupt.wanted() => return Ok(false),
        };
        if self.is_halted() {
            return Ok(false);
        }
        let (to, made) = self.target.create(&job.to, job.mode).await?;
        let is_stream = to.is_stream();
        let why = tokio::select! {
            filled = fill(&from, first, to, job.len, &self.bar) => match filled {
                Ok(()) => return Ok(true),
                Err(why) => Some(why),
            },
            () = self.interrupt.wanted() => None,
        };
        let left = match made {
            Some(made) => self
                .target
                .take_back(&job.to, made)
                .await
                .err()
                .map(|error| format!("it is left, incomplete ({})", words(&error))),
            None if is_stream => None,
            None => Some("it was there before, and is incomplete now".to_owned()),
        };
        match (why, left) {
            (None, None) => Ok(false),
            (Some(why), None) => Err(why),
            (why, Some(left)) => {
                Err(why.unwrap_or_else(|| Error::msg("interrupted")).context(left))
            }
        }
    }

    /// Whether nothing more is begun.
    fn is_halted(&self) -> bool {
        self.interrupt.is_wanted() || self.halted.borrow().is_some()
    }

    /// Takes note of how an entry ended.
    fn note(&self, done: Result<()>) {
        match done {
            Ok(()) => self.done.set(self.done.get() + 1),
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&self, error: &Error) {
        match error.is::<NoTable>() && self.is_halted() {
            true => self.failures.add_unsaid(),
            false => self.failures.add(error),
        }
        if ends_all(error) {
            self.halted.borrow_mut().get_or_insert_with(|| error.root_cause().to_string());
        }
    }

    /// How it ends, which is said where it was about more than one thing.
    fn end(&self) -> End {
        self.bar.finish_and_clear();
        let (known, failed) = (self.known.get(), self.failures.count());
        let missing = known.saturating_sub(self.done.get());
        let interrupted = self.interrupt.is_wanted() && (missing > 0 || failed > 0);
        if known > 1 && missing > 0 {
            let were = if missing == 1 { "was" } else { "were" };
            let why = self.halted.borrow();
            let why = match &*why {
                _ if interrupted => ", as it was interrupted".to_owned(),
                Some(why) if missing > failed => format!(", as nothing was begun any more: {why}"),
                _ => String::new(),
            };
            say(&format!("error: {missing} of {known} {were} not copied{why}"));
        } else if interrupted && failed == 0 {
            say("error: interrupted: nothing was copied");
        }
        if interrupted { End::Interrupted } else { self.failures.end() }
    }
}

/// Whether whatever is copied next would fail so too.
fn ends_all(error: &Error) -> bool {
    if error.is::<NoTable>() {
        return true;
    }
    if let Some(error) = error.downcast_ref::<ClientError>() {
        let full = [FsError::NoSpace, FsError::QuotaExceeded, FsError::ReadOnly];
        return match error {
            ClientError::Fs(error) => full.contains(error),
            ClientError::Deadline { .. } | ClientError::Closed => true,
            _ => false,
        };
    }
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let full = [
        io::ErrorKind::StorageFull,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::ReadOnlyFilesystem,
    ];
    kind.is_some_and(|kind| full.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_fail_for_all_is_told_from_what_fails_for_one() {
        let of = |error: Error| ends_all(&error.context("where"));
        assert!(of(ClientError::Fs(FsError::NoSpace).into()) && of(NoTable.into()));
        assert!(of(io::Error::from(io::ErrorKind::StorageFull).into()));
        assert!(!of(ClientError::Fs(FsError::Io).into()));
        assert!(!of(ClientError::SessionLost.into()), "files that are opened after that work");
        assert!(!of(io::Error::from(io::ErrorKind::PermissionDenied).into()));
    }
}
