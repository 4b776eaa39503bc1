//! `chain-table create|show`.

use anyhow::{Result, bail};
use emberfs_client::Cluster;
use emberfs_client::{AdminOrder, AdministerReply};
use emberfs_layout::ChunkSize;
use serde_json::json;

use super::lists::member;
use crate::connection::Connection;
use crate::counted::counted;
use crate::exit::{Usage, say};
use crate::listing::Listing;

/// Makes a table over all free targets.
pub(crate) async fn create(
    cluster: &Cluster,
    replicas: u8,
    min_serving: Option<u8>,
    chunk_size: Option<ChunkSize>,
) -> Result<()> {
    let order = AdminOrder::CreateTable { replicas, min_serving, chunk_size };
    match cluster.administer(order).await? {
        AdministerReply::TableCreated(table) => {
            let chains = counted(table.chains.len(), "chain");
            say(&format!("{}: {chains} of {}", table.id, counted(replicas, "replica")));
            Ok(())
        }
        AdministerReply::Refused { text } => bail!("no chain table was made: {text}"),
        other @ AdministerReply::DiskAdded(_) => bail!("an answer to another order: {other:?}"),
    }
}

/// Whether a chain can have so many replicas.
pub(super) fn check(replicas: u8, min_serving: Option<u8>) -> Result<(), Usage> {
    match min_serving {
        Some(least) if least > replicas => Err(Usage(format!(
            "--min-serving {least}: writes would wait for ever, as there are only {replicas} replicas"
        ))),
        _ => Ok(()),
    }
}

pub(super) async fn show(connection: &Connection, json: bool) -> Result<()> {
    let cluster = connection.cluster().await?;
    let routing = cluster.routing().await?;
    let columns = &["table", "version", "place", "chain", "members"];
    let mut listing = Listing::new("chain_tables", columns);
    for table in routing.tables() {
        for (place, id) in table.chains.iter().enumerate() {
            let chain = routing.chain(*id).ok();
            let members = chain.map(|chain| chain.members.iter().map(member).collect::<Vec<_>>());
            listing.push(vec![
                json!(table.id.get()),
                json!(table.version.get()),
                json!(place),
                json!(id.get()),
                json!(members),
            ]);
        }
    }
    Ok(listing.print(json)?)
}
