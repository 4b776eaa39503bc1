//! `emberfs down`: stops a local cluster; nothing is lost.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::configs;
use super::place::{Asked, Places};
use super::plan::Plan;
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
/// that is in use, or has bytes left, stops all of this. Then the metadata members: while none is there
/// nobody is declared dead, so that a cluster that was whole comes back whole.
pub(crate) async fn run(asked: Asked<'_>, how: How) -> Result<()> {
    let places = Places::of_user()?;
    let directory = places.of_down(asked)?;
    let Some(plan) = Plan::load(&directory)? else {
        bail!(
            "no local cluster in {}: say by --dir where it is kept; `emberfs cluster list` shows which are known",
            directory.display()
        );
    };
    let again = &places.down(&plan)?;
    unmount(&plan, how, again).await.context("nothing is stopped")?;
    let servers = plan.meta_servers().into_iter().chain(plan.storage_servers());
    let mut stopped = 0;
    for server in servers {
        if server.stop(PATIENCE)? {
            eprintln!("stopped {}", server.name);
            stopped += 1;
        }
    }
    let up = plan.command("emberfs up");
    match stopped {
        0 => println!("cluster {}: nothing was running", plan.name),
        _ => println!("cluster {}: stopped; `{up}` brings it back", plan.name),
    }
    Ok(())
}

/// Every mount has the same time to write what it has. `command` is what waits.
async fn unmount(plan: &Plan, how: How, command: &str) -> Result<()> {
    let waiting = Waiting { time: how.time, gives_up: how.force, command };
    let cluster = configs::cluster(plan)?.map(|cluster| cluster.to_string());
    let (mut all, mut left) = (Daemons::find().await, Vec::new());
    for path in &plan.mounts {
        match mountpoint::found(path, &mut all)?.of_cluster(cluster.as_deref()) {
            Found::Nothing => {}
            other @ Found::Other => eprintln!("{}; it stays as it is", other.words(path)),
            ours => {
                left.extend(mountpoint::leave(ours, path, how.force)?);
                eprintln!("unmounted {}", path.display());
            }
        }
    }
    let is_ours = |daemon: &Daemon| Some(&daemon.cluster) == cluster.as_ref();
    let ours = all.into_rest().filter(is_ours);
    let (serving, ending): (Vec<_>, Vec<_>) = ours.partition(Daemon::serves);
    for daemon in serving {
        eprintln!("{} stays mounted, and waits until the cluster is up again", daemon.path);
    }
    left.extend(ending);
    mount_daemon::until_gone(left, waiting).await
}
