//! What is to be copied: found by walking a source, before anything of it is made.
//!
//! So a copy into itself, also by a way that is not seen, has an end. What cannot be read is said and passed over.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tokio::task::yield_now;

use super::ends_all;
use super::side::{Id, Kind, Meta, Side};
use crate::commands::files::failures::Failures;

/// A file that is to be copied.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) from: PathBuf,
    pub(super) to: PathBuf,
    /// How much: it may grow or shrink meanwhile. `None`: as much as comes, of what has no length.
    pub(super) len: Option<u64>,
    pub(super) mode: u16,
}

/// What walking a source found.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) files: Vec<Job>,
    /// Directories that are to be made, and their permission bits, parents first.
    pub(super) directories: Vec<(PathBuf, u16)>,
    /// Symbolic links: where each leads, and its own path.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
}

/// A source, and where it goes.
#[derive(Debug)]
pub(super) struct Errand<'a> {
    pub(super) origin: &'a Side,
    pub(super) source: &'a Path,
    pub(super) target: &'a Side,
    pub(super) top: PathBuf,
    /// Whether `top` is the destination itself, which is there: links to directories are followed only there.
    pub(super) is_there: bool,
    pub(super) recursive: bool,
}

/// An entry that a walk has found and not yet looked at.
struct Found {
    from: PathBuf,
    to: PathBuf,
    /// Whether something may have its name: not where its directory is still to be made.
    may_be_there: bool,
}

impl Plan {
    /// Finds all of a source. Paths of files and links go into `taken`, and what is there already is refused: two
    /// sources of one command do not take each other's place.
    pub(super) async fn of(
        errand: &Errand<'_>,
        taken: &mut HashSet<PathBuf>,
        failures: &Failures,
    ) -> Result<Self> {
        let mut plan = Self::default();
        let Errand { target, top, source, .. } = errand;
        let ground = target.ground(top).await.with_context(|| target.shown(top))?;
        let (from, to) = ((*source).to_owned(), top.clone());
        let mut named = true;
        let mut open = vec![Found { from, to, may_be_there: true }];
        while let Some(found) = open.pop() {
            match plan.add(errand, found, named, ground, taken).await {
                Ok(entries) => {
                    for entry in entries {
                        match entry {
                            Ok(entry) => open.push(entry),
                            Err(error) if ends_all(&error) => return Err(error),
                            Err(error) => failures.add(&error),
                        }
                    }
                }
                Err(error) if error.is::<IntoItself>() || ends_all(&error) => return Err(error),
                Err(error) => failures.add(&error),
            }
            named = false;
            // A walk of this machine waits for nothing else, and is to end where somebody wants that.
            yield_now().await;
        }
        Ok(plan)
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> u64 {
        (self.files.len() + self.directories.len() + self.links.len()) as u64
    }

    /// Adds an entry; those in it, if it is a directory.
    async fn add(
        &mut self,
        errand: &Errand<'_>,
        found: Found,
        named: bool,
        ground: Option<Id>,
        taken: &mut HashSet<PathBuf>,
    ) -> Result<Vec<Result<Found>>> {
        let Errand { origin, target, recursive, .. } = errand;
        let from = origin.shown(&found.from);
        // A link that is named is followed, one that is found is copied.
        let meta = origin.meta(&found.from, named && !recursive).await;
        let meta = meta.with_context(|| from.clone())?;
        let meta = meta.with_context(|| format!("{from}: no such file or directory"))?;
        let follow = match meta.kind {
            Kind::Directory => named && errand.is_there,
            kind => kind != Kind::Symlink,
        };
        let there = match found.may_be_there {
            true => target.meta(&found.to, follow).await,
            false => Ok(None),
        };
        let there = there.with_context(|| target.shown(&found.to))?;
        if meta.kind == Kind::Directory {
            ensure!(*recursive, "{from} is a directory: `cp -r` copies it");
            if ground.is_some_and(|ground| ground.is_same(meta.id)) {
                let source = origin.shown(errand.source);
                return Err(IntoItself(target.shown(&errand.top), source).into());
            }
            if there.is_some_and(|there| there.kind != Kind::Directory) {
                let to = target.shown(&found.to);
                bail!("{to} is no directory, and {from} is one: it cannot be copied there");
            }
            if there.is_none() {
                self.directories.push((found.to.clone(), meta.mode));
            }
            return Ok(entries(origin, &found.from, &found.to, there.is_some()).await);
        }
        self.add_leaf(errand, found, named, (meta, there), taken).await?;
        Ok(Vec::new())
    }

    /// Adds what is no directory, and may take the place of what is there.
    async fn add_leaf(
        &mut self,
        errand: &Errand<'_>,
        found: Found,
        named: bool,
        (meta, there): (Meta, Option<Meta>),
        taken: &mut HashSet<PathBuf>,
    ) -> Result<()> {
        let Errand { origin, target, recursive, .. } = errand;
        let (from, to) = (origin.shown(&found.from), target.shown(&found.to));
        if found.to.as_os_str().as_bytes().ends_with(b"/") {
            bail!("{to}: no such directory");
        }
        if let Some(there) = there {
            // It would be emptied before it is read; a link would lead to itself.
            let is_same = there.id.is_same(meta.id)
                || meta.kind == Kind::Symlink && leads_to(origin, &found.from, there).await?;
            ensure!(!is_same, "{from} and {to} are the same file");
            if there.kind == Kind::Directory {
                bail!("{to} is a directory, and {from} is none: it cannot be copied there");
            }
        }
        let len = match meta.kind {
            Kind::File { len } => len,
            // Of this machine, and named: a pipe or a device, which is read to its end.
            Kind::Other if named && !recursive && matches!(origin, Side::Local) => None,
            Kind::Symlink => {
                let link = origin.read_link(&found.from).await.with_context(|| from.clone())?;
                take(taken, &found.to).with_context(|| format!("{from} to {to}"))?;
                self.links.push((link, found.to));
                return Ok(());
            }
            _ => bail!("{from}: neither file, directory nor link: skipped"),
        };
        take(taken, &found.to).with_context(|| format!("{from} to {to}"))?;
        self.files.push(Job { from: found.from, to: found.to, len, mode: meta.mode });
        Ok(())
    }
}

/// Whether a link leads to what is there; one that leads nowhere does not.
async fn leads_to(origin: &Side, link: &Path, there: Meta) -> Result<bool> {
    match origin.meta(link, true).await {
        Ok(end) => Ok(end.is_some_and(|end| end.id.is_same(there.id))),
        Err(error) if ends_all(&error) => Err(error.context(origin.shown(link))),
        Err(_) => Ok(false),
    }
}

/// Takes a path, once.
fn take(taken: &mut HashSet<PathBuf>, path: &Path) -> Result<()> {
    let is_new = taken.insert(path.to_owned());
    ensure!(is_new, "another source of this command was copied there: it stays");
    Ok(())
}

/// What is in a directory; last why it could not be listed to its end.
async fn entries(origin: &Side, from: &Path, to: &Path, is_there: bool) -> Vec<Result<Found>> {
    let (mut paths, end) = origin.list(from).await;
    // They are taken from the end.
    paths.sort_by(|one, other| other.cmp(one));
    let found = paths.into_iter().map(|path| {
        let name = path.file_name().context("an entry has a name")?;
        let to = to.join(name);
        Ok(Found { from: path, to, may_be_there: is_there })
    });
    let end = end.err().map(|error| Err(error.context(origin.shown(from))));
    found.chain(end).collect()
}

/// A directory cannot be copied into itself: where it should have gone, and what.
#[derive(Debug)]
struct IntoItself(String, String);

impl std::fmt::Display for IntoItself {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} lies within {}, which cannot be copied into itself", self.0, self.1)
    }
}

impl std::error::Error for IntoItself {}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_walk_of_this_machine_lets_others_go_on() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (source, top) = (folder.path(), folder.path().with_extension("copy"));
        let (origin, target) = (&Side::Local, &Side::Local);
        let errand = Errand { origin, source, target, top, is_there: false, recursive: true };
        let (mut taken, failures) = (HashSet::new(), Failures::new());
        assert!(Plan::of(&errand, &mut taken, &failures).now_or_never().is_none());
    }
}
