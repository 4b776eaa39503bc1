//! `disk format|add`.
//!
//! A server that was just started tells of its disks a moment later: `add` waits for that.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use emberfs_client::Cluster;
use emberfs_client::{AdminOrder, AdministerReply};
use emberfs_layout::DiskId;
use tokio::time::{Instant, sleep};

use crate::connection::Connection;
use crate::exit::{print, say};
use crate::local::process;
use crate::spinner::Spinner;

/// How often is asked whether a server has told of a disk.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Formats a directory of this machine, by the storage server's own command.
pub(super) async fn format(connection: &Connection, directory: &Path) -> Result<()> {
    if directory.exists() && !directory.is_dir() {
        bail!("{} is no directory: give an empty or a new one", directory.display());
    }
    let address = connection.address()?;
    let cluster = match address.cluster {
        Some(cluster) => cluster,
        None => connection.cluster().await?.id(),
    };
    print(&process::format_disk(directory, cluster)?.to_string())?;
    Ok(())
}

/// Waits until servers have told of all these disks, or `time` is over: who started a moment ago is about to.
pub(super) async fn until_found(cluster: &Cluster, disks: &[DiskId], time: Duration) -> Result<()> {
    let (spinner, deadline) = (Spinner::new(), Instant::now() + time);
    loop {
        let (status, routing) = (cluster.status().await?, cluster.routing().await?);
        let told = status.nodes.iter().flat_map(|node| &node.disks).map(|report| report.disk);
        let known: BTreeSet<_> = told.chain(routing.disks().map(|disk| disk.id)).collect();
        let Some(missing) = disks.iter().find(|disk| !known.contains(disk)) else { return Ok(()) };
        if Instant::now() >= deadline {
            bail!("disk {missing}: {}", not_found(time));
        }
        spinner.say(format!("waiting for a server that has disk {missing}"));
        sleep(ASK_EVERY).await;
    }
}

/// Why no server has a disk, and what to do.
fn not_found(time: Duration) -> String {
    format!(
        "after {} s no server has told of it. Either no server has it: `emberfs disk format` makes it on the server's \
         machine; enter its directory into `disks` of the server's configuration, and restart the server. Or its \
         server does not run, or runs without it: its log says why, and `emberfs status` which servers are heard",
        time.as_secs_f32()
    )
}

/// Admits disks, one after the other.
pub(crate) async fn add(cluster: &Cluster, disks: &[DiskId], targets: u16) -> Result<()> {
    let routing = cluster.routing().await?;
    for disk in disks {
        match cluster.administer(AdminOrder::AddDisk { disk: *disk, targets }).await? {
            AdministerReply::DiskAdded(added) => {
                let targets: Vec<_> = added.targets.iter().map(ToString::to_string).collect();
                let server = routing.nodes().find(|node| node.id == added.node);
                let at = match server {
                    Some(server) => format!("{} ({})", server.name, added.node),
                    None => added.node.to_string(),
                };
                say(&format!("disk {disk} is in use on {at}: {}", targets.join(", ")));
            }
            AdministerReply::Refused { text } => bail!("disk {disk}: {text}"),
            other @ AdministerReply::TableCreated(_) => {
                bail!("an answer to another order: {other:?}")
            }
        }
    }
    Ok(())
}
