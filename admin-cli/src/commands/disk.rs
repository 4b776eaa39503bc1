//! `disk format|add`.

use std::path::Path;

use anyhow::{Result, bail};
use emberfs_client::Cluster;
use emberfs_client::{AdminOrder, AdministerReply};
use emberfs_layout::DiskId;

use crate::connection::Connection;
use crate::exit::{print, say};
use crate::local::process;

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
