//! `emberfs down`: stops a local cluster; nothing is lost.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::plan::Plan;
use crate::mountpoint;

/// How long a server may take to write down what it has in memory: a busy disk's queue.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stops the servers of the cluster in `directory`.
///
/// Its mount goes first, if `up` made one: one that is in use stops all of this. Then the metadata members:
/// while none is there nobody is declared dead, so that a cluster that
/// was whole comes back whole.
pub(crate) fn run(directory: &Path) -> Result<()> {
    let Some(plan) = Plan::load(directory)? else {
        bail!("no local cluster in {}: see `emberfs up --help`", directory.display());
    };
    if let Some(path) = plan.mount.as_ref().filter(|path| mountpoint::is_mounted(path)) {
        mountpoint::unmount(path, !mountpoint::answers(path))?;
        eprintln!("unmounted {}", path.display());
    }
    let servers = plan.meta_servers().into_iter().chain(plan.storage_servers());
    let mut stopped = 0;
    for server in servers {
        if server.stop(PATIENCE)? {
            eprintln!("stopped {}", server.name);
            stopped += 1;
        }
    }
    match stopped {
        0 => println!("cluster {}: nothing was running", plan.name),
        _ => println!("cluster {}: stopped; `emberfs up` brings it back", plan.name),
    }
    Ok(())
}
