//! Mounting and unmounting: by `emberfs-fuse` and `fusermount3`, as any user would.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use emberfs_client::ClusterAddress;
use emberfs_client_fuse_mounts::{Mount, MountTable, Taken, Unheard, Way, escaped, unheard};
use rustix::process::getuid;

use crate::exit::{USAGE, Usage, say};
use crate::local::process;
use crate::mount_daemon::{self, Daemon, Daemons, Waiting};

/// Whether these options are for a mount that is there.
pub(crate) fn is_remount(options: &[String]) -> bool {
    options.iter().flat_map(|words| words.split(',')).any(|word| word == "remount")
}

/// Mounts a cluster at `path`, or changes its mount there; returns when it is mounted. With `foreground`, when it is
/// unmounted. The cluster may take `time` to answer.
pub(crate) fn mount(
    cluster: &ClusterAddress,
    path: &Path,
    options: &[String],
    foreground: bool,
    time: Option<Duration>,
) -> Result<()> {
    let addresses: Vec<String> = cluster.meta.iter().map(ToString::to_string).collect();
    let mut command = process::program("emberfs-fuse")?;
    command.arg(format!("{}:/", addresses.join(",")));
    options.iter().for_each(|option| {
        command.args(["-o", option]);
    });
    if let Some(time) = time {
        command.args(["--connect-timeout", &time.as_secs_f64().to_string()]);
    }
    // Killed, this one wants no mount any more.
    let us = std::process::id().to_string();
    match foreground {
        true => command.arg("--foreground"),
        false => command.args(["--with-parent", &us]),
    };
    let status = command.arg(path).status().context("cannot start emberfs-fuse")?;
    if status.success() {
        return Ok(());
    }
    let state = if is_remount(options) { "stays as it is" } else { "is not mounted" };
    let said = format!("{} {state}: emberfs-fuse ended with {status}", path.display());
    match status.code() == Some(USAGE.into()) {
        true => Err(Usage(said).into()),
        false => bail!(said),
    }
}

/// What is mounted at a path, as far as can be told without asking the file system there, which may hang.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing of ours.
    Nothing,
    /// One of ours, by this daemon; and others of which it is not known whether they are its.
    Served(Box<Daemon>, Vec<Daemon>),
    /// One of ours, of another cluster than is meant.
    Other,
    /// One of ours whose daemon is dead, or another user's.
    Dead,
    /// One of ours. No daemon says that it serves it; this process may, from another network namespace.
    Unheard(Unheard),
}

/// Who may still write what was written to a mount that is unmounted.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Those that are heard.
    pub(crate) daemons: Vec<Daemon>,
    /// One that is not.
    pub(crate) unheard: Option<Unheard>,
}

impl Found {
    /// The same for one cluster; `None` if that is still to be made.
    pub(crate) fn of_cluster(self, cluster: Option<&str>) -> Self {
        match self {
            Self::Served(daemon, _) if daemon.is_of_other(cluster) => Self::Other,
            other => other,
        }
    }

    /// What it is, and what to do where nothing serves it, or nobody knows.
    pub(crate) fn words(&self, path: &Path) -> String {
        let at = path.to_owned();
        match self {
            Self::Nothing => format!("no EmberFS is mounted at {}", path.display()),
            Self::Other => format!("another cluster is mounted at {}", path.display()),
            Self::Served(..) => Taken::Served { path: at }.to_string(),
            Self::Dead => Taken::Dead { path: at }.to_string(),
            Self::Unheard(one) => Taken::Unheard { path: at, process: one.number }.to_string(),
        }
    }
}

/// What is mounted at `path`; its daemon is taken out of `all`.
pub(crate) fn found(path: &Path, all: &mut Daemons) -> Result<Found> {
    Ok(found_in(&table()?, path, all))
}

fn found_in(table: &MountTable, path: &Path, all: &mut Daemons) -> Found {
    let ours = table.topmost(path).filter(|mount| mount.is_ours());
    let Some(Mount { device, path: here, .. }) = ours else { return Found::Nothing };
    let mut its = all.take(device, here);
    // One that hangs has not said it.
    its.iter_mut().for_each(|daemon| daemon.path = path.display().to_string());
    let mut its = its.into_iter();
    match its.next() {
        Some(daemon) => Found::Served(Box::new(daemon), its.collect()),
        None => unheard(device, all.processes()).map_or(Found::Dead, Found::Unheard),
    }
}

fn table() -> Result<MountTable> {
    MountTable::read().context("cannot read /proc/self/mountinfo, the kernel's list of mounts")
}

/// A directory to mount at, made if it is not there; refused where one of ours is mounted already.
pub(crate) async fn vacant(path: &Path) -> Result<PathBuf> {
    let path = prepared(path)?;
    match found(&path, &mut Daemons::find().await)? {
        Found::Nothing => Ok(path),
        found => bail!(found.words(&path)),
    }
}

/// Unmounts `path`, and waits until its daemon is gone: then all that was written is safe. If that is done
/// already and its daemon still writes, only that is waited for.
///
/// With [`Waiting::gives_up`] also a mount that is in use; what is not written in time is lost then.
pub(crate) async fn unmount(path: &Path, how: Waiting<'_>) -> Result<()> {
    let table = table()?;
    let path = &resolved(&table, path)?;
    let mut all = Daemons::find().await;
    let found = found_in(&table, path, &mut all);
    let (here, shown) = (escaped(path), path.display().to_string());
    let its = |daemon: &Daemon| daemon.path == here && !daemon.serves();
    let mut daemons: Vec<_> = all.into_rest().filter(its).collect();
    daemons.iter_mut().for_each(|daemon| daemon.path.clone_from(&shown));
    match found {
        Found::Nothing if daemons.is_empty() => {
            bail!("{shown}: {}", nothing_at(path, table.topmost(path), &table));
        }
        Found::Nothing => {}
        found => daemons.extend(leave(found, path, how.gives_up)?.daemons),
    }
    mount_daemon::until_gone(daemons, how).await.safely()
}

/// Unmounts what was found, `lazily` also what is in use; who goes on until all is written.
pub(crate) fn leave(found: Found, path: &Path, lazily: bool) -> Result<Left> {
    let_go(path, lazily)?;
    let mut left = Left::default();
    let why = match found {
        Found::Served(daemon, others) => {
            // Whoever does not answer may have been another's, which nobody gave up: it is not ended.
            if !(lazily && daemon.serves()) {
                left.daemons = others;
            }
            left.daemons.push(*daemon);
            return Ok(left);
        }
        Found::Unheard(one) => {
            let process = one.number.as_raw_nonzero();
            left.unheard = Some(one);
            format!("process {process} may be it, in another network namespace")
        }
        _ => "it is dead, or another user's".to_owned(),
    };
    let at = path.display();
    say(&format!(
        "{at}: unmounted. No daemon of it is found: {why}. Its log says whether all was written"
    ));
    Ok(left)
}

/// Why nothing is unmounted at a path where none of ours is, and what could be.
fn nothing_at(path: &Path, there: Option<&Mount>, table: &MountTable) -> String {
    let what = match there {
        Some(Mount { kind, .. }) => format!("what is mounted there is {kind}, and not EmberFS"),
        // Nobody asks a mount of ours: its servers may be dead.
        None if path.ancestors().any(|above| is_ours(table, above)) => {
            "nothing is mounted there, in an EmberFS".to_owned()
        }
        None if path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) => {
            "no such directory".to_owned()
        }
        None => "nothing is mounted there".to_owned(),
    };
    let ours = table.mounts().iter().filter(|mount| mount.is_ours());
    let ours: Vec<&str> = ours.map(|mount| &*mount.path).collect();
    match &ours[..] {
        [] => format!("{what}; EmberFS is mounted nowhere"),
        ours => format!("{what}; EmberFS is mounted at {}", ours.join(", ")),
    }
}

/// Unmounts, and no more; `lazily` also what is in use.
pub(crate) fn let_go(path: &Path, lazily: bool) -> Result<()> {
    let flags = if lazily { "-uz" } else { "-u" };
    let mut command = Command::new("fusermount3");
    let output = command.arg(flags).arg("--").arg(path).stdin(Stdio::null()).output();
    let output = output.context("cannot start fusermount3: install the package fuse3")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let owner = table()?.topmost(path).and_then(|mount| mount.owner);
        bail!(
            "{}: {}",
            path.display(),
            not_unmounted(said.trim(), owner, getuid().as_raw(), lazily)
        );
    }
    Ok(())
}

/// Why it was not, by what `fusermount3` says, which for a mount of another user's than `us` is about its own lists.
fn not_unmounted(said: &str, owner: Option<u32>, us: u32, lazily: bool) -> String {
    match owner {
        Some(owner) if us != 0 && owner != us => {
            let whose = if owner == 0 { "root".to_owned() } else { format!("user {owner}") };
            format!("{whose} has mounted it: only they can unmount it, and root")
        }
        _ if !lazily && said.contains("busy") => format!(
            "{said}: a process waits for the cluster, or works there; --force unmounts also what is in use"
        ),
        _ => said.to_owned(),
    }
}

fn is_ours(table: &MountTable, path: &Path) -> bool {
    table.topmost(path).is_some_and(Mount::is_ours)
}

/// A path without links, asked of no mount of ours: its servers may be dead, and who waits for them then cannot even be
/// killed.
fn resolved(table: &MountTable, path: &Path) -> Result<PathBuf> {
    match table.way(path).with_context(|| path.display().to_string())? {
        Way::Free(path) | Way::Mount(path) | Way::Below { path, .. } => Ok(path),
    }
}

/// A path that stays the same wherever the process is; the directory is made if it is not there.
pub(crate) fn prepared(path: &Path) -> Result<PathBuf> {
    let path = match table()?.way(path).with_context(|| path.display().to_string())? {
        Way::Mount(path) => return Ok(path),
        Way::Below { mount, path } => bail!(Taken::Below { path, mount }),
        Way::Free(path) => path,
    };
    let at = path.display();
    if path.exists() && !path.is_dir() {
        bail!("{at} is no directory: only at one something can be mounted");
    }
    std::fs::create_dir_all(&path).with_context(|| at.to_string())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_a_mount_is_and_who_holds_it_is_said_in_place_of_the_helper_s_lists() {
        let us = 1000;
        let words = |said, owner, us, lazily| not_unmounted(said, owner, us, lazily);
        let not_found = "fusermount3: entry for /a not found in /etc/mtab";
        assert!(words(not_found, Some(1001), us, true).starts_with("user 1001 has mounted it"));
        assert!(words(not_found, Some(0), us, false).starts_with("root has mounted it"));
        assert_eq!(words(not_found, Some(1001), 0, false), not_found);
        let busy = "fusermount3: failed to unmount /a: Device or resource busy";
        let said = words(busy, Some(1000), us, false);
        assert!(said.starts_with(busy) && said.contains("waits for the cluster"), "{said}");
        assert!(said.contains("--force") && !words(busy, None, us, true).contains("--force"));
    }
}
