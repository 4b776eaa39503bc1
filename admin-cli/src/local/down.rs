//! `emberfs down`: stops a local cluster, once its mounts have written all.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use emberfs_client_fuse_mounts::Unheard;
use futures_util::future::join;

use super::configs;
use super::place::{Asked, Places};
use super::plan::Plan;
use super::process::Server;
use crate::exit::{End, print, say, words};
use crate::mount_daemon::{self, Daemon, Daemons, Waiting};
use crate::mountpoint::{self, Found};

/// How long a server may take to write down what it has in memory: a busy disk's queue.
const PATIENCE: Duration = Duration::from_secs(60);

/// How it is stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// Whether a mount in use is unmounted, and what it cannot write is given up.
    pub(crate) force: bool,
    /// How long mounts may take to write what they have.
    pub(crate) time: Duration,
}

/// Stops the servers of the cluster that is meant.
///
/// Its mounts go first, if `up` made any, and with them every other that is unmounted and still writes: one
/// that is in use, has bytes left, or may have a daemon that is not heard, stops all of this. What is lost does not,
/// as no server gets it any more. Then the metadata members: while none is there nobody is declared dead, so that a
/// cluster that was whole comes back whole.
pub(crate) async fn run(asked: Asked<'_>, how: How) -> Result<End> {
    let places = Places::of_user()?;
    let directory = places.of_down(asked)?;
    let Some(plan) = Plan::load(&directory)? else {
        bail!(
            "no local cluster in {}: say by --dir where it is kept; `emberfs cluster list` shows which are known",
            directory.display()
        );
    };
    let again = &places.down(&plan)?;
    let is_safe = unmount(&plan, how, again).await.context("nothing is stopped")?;
    let mut stopped = 0;
    for servers in [plan.meta_servers(), plan.storage_servers()] {
        // All at once: no member is to wait for another to lead.
        let asked: Vec<_> = servers.iter().map(Server::stop).collect::<Result<_>>()?;
        for stopping in asked.into_iter().flatten() {
            say(&format!("stopped {}", stopping.wait(PATIENCE)?));
            stopped += 1;
        }
    }
    let up = plan.command("emberfs up");
    let was = if stopped == 0 { "no server was running" } else { "stopped" };
    let without = if is_safe { "" } else { ", without what is lost" };
    print(&format!("cluster {}: {was}; `{up}` brings it back{without}", plan.name))?;
    Ok(if is_safe { End::Done } else { End::Failed })
}

/// Every mount has the same time to write what it has. `command` is what waits. Says what is lost; whether nothing is.
async fn unmount(plan: &Plan, how: How, command: &str) -> Result<bool> {
    let waiting = Waiting { time: how.time, gives_up: how.force, command };
    let cluster = configs::cluster(plan)?.map(|cluster| cluster.to_string());
    let (mut all, mut mounts) = (Daemons::find().await, Vec::new());
    for path in &plan.mounts {
        let found = mountpoint::found(path, &mut all)?.of_cluster(cluster.as_deref());
        // Nobody knows whose it is, and who would wait for the servers.
        let is_unheard = matches!(found, Found::Unheard(_));
        ensure!(how.force || !is_unheard, "{}", found.words(path));
        mounts.push((path, found));
    }
    let (Unmounted { mut left, unheard, paths }, busy) = Unmounted::of(mounts, how.force);
    let is_ours = |daemon: &Daemon| Some(&daemon.cluster) == cluster.as_ref();
    let ours = all.into_rest().filter(is_ours);
    let (serving, ending): (Vec<_>, Vec<_>) = ours.partition(Daemon::serves);
    for daemon in serving {
        say(&format!("{} stays mounted, and waits until the cluster is up again", daemon.path));
    }
    left.extend(ending);
    // What is unmounted is waited for, also where another is busy.
    let (gone, ended) =
        join(mount_daemon::until_gone(left, waiting), mount_daemon::until_ended(unheard, waiting))
            .await;
    for what in &gone.lost {
        say(&format!("error: {what}"));
    }
    let failed = [busy, ended].into_iter().filter_map(Result::err);
    let mut failed: Vec<_> = failed.map(|error| words(&error)).chain(gone.left).collect();
    if !failed.is_empty() && !paths.is_empty() {
        let (gone, up) = (paths.join(", "), plan.command("emberfs up"));
        failed.push(format!("no more mounted: {gone}; `{up}` mounts it again"));
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(gone.lost.is_empty())
}

/// What is unmounted of a cluster's own mounts.
#[derive(Default)]
struct Unmounted {
    paths: Vec<String>,
    /// Who still writes.
    left: Vec<Daemon>,
    /// Who may.
    unheard: Vec<Unheard>,
}

impl Unmounted {
    /// Unmounts them up to the first that cannot be; why it cannot.
    fn of(mounts: Vec<(&PathBuf, Found)>, lazily: bool) -> (Self, Result<()>) {
        let mut all = Self::default();
        for (path, found) in mounts {
            if matches!(found, Found::Other) {
                say(&format!("{}; it stays as it is", found.words(path)));
            }
            if matches!(found, Found::Nothing | Found::Other) {
                continue;
            }
            match mountpoint::leave(found, path, lazily) {
                Ok(left) => {
                    all.left.extend(left.daemons);
                    all.unheard.extend(left.unheard);
                    all.paths.push(path.display().to_string());
                    say(&format!("unmounted {}", path.display()));
                }
                Err(error) => return (all, Err(error)),
            }
        }
        (all, Ok(()))
    }
}
