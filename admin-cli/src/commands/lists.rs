//! `node|disk|target|chain|client list`.

use std::sync::Arc;

use anyhow::Result;
use emberfs_client::RoutingTable;
use emberfs_client::{ChainMember, GetStatusReply, LocalState, PublicState};
use emberfs_layout::{DiskId, NodeId, TargetId};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::listing::{Listing, time};

async fn answers(connection: &Connection) -> Result<(GetStatusReply, Arc<RoutingTable>)> {
    let cluster = connection.cluster().await?;
    Ok((cluster.status().await?, cluster.routing().await?))
}

pub(super) async fn nodes(connection: &Connection, json: bool) -> Result<()> {
    let (status, routing) = answers(connection).await?;
    let columns = &["id", "name", "addresses", "boot", "domain", "disks", "heard ms ago"];
    let mut listing = Listing::new("nodes", columns);
    for node in routing.nodes() {
        let known = status.nodes.iter().find(|known| known.node == node.id);
        listing.push(vec![
            json!(node.id.get()),
            json!(node.name),
            json!(node.addresses),
            json!(node.boot.get()),
            json!(node.domain.0),
            json!(routing.disks().filter(|disk| disk.node == node.id).count()),
            json!(known.and_then(|known| known.heard_ms_ago)),
        ]);
    }
    Ok(listing.print(json)?)
}

pub(super) async fn disks(connection: &Connection, json: bool) -> Result<()> {
    let (status, routing) = answers(connection).await?;
    let columns = &[
        "id",
        "node",
        "server",
        "targets",
        "capacity bytes",
        "used bytes",
        "state",
        "file system",
        "damaged chunks",
    ];
    let mut listing = Listing::new("disks", columns);
    let report = |id: DiskId| status.nodes.iter().flat_map(|n| &n.disks).find(|r| r.disk == id);
    let mut push = |id: DiskId, node: NodeId, targets: &[TargetId], state: &str| {
        let report = report(id);
        listing.push(vec![
            json!(id.to_string()),
            json!(node.get()),
            json!(name(&routing, node)),
            json!(targets.iter().map(|target| target.get()).collect::<Vec<_>>()),
            json!(report.map(|report| report.capacity.get())),
            json!(report.map(|report| report.used.get())),
            json!(if report.is_some() { state } else { "not seen" }),
            json!(report.and_then(|report| report.growth).map(|of| of.file_system.to_string())),
            json!(report.map(|report| report.damage.map_or(0, |damage| damage.chunks))),
        ]);
    };
    for disk in routing.disks() {
        push(disk.id, disk.node, &disk.targets, "in use");
    }
    for node in &status.nodes {
        for report in &node.disks {
            if !routing.disks().any(|disk| disk.id == report.disk) {
                push(report.disk, node.node, &[], "formatted");
            }
        }
    }
    Ok(listing.print(json)?)
}

pub(super) async fn targets(connection: &Connection, json: bool) -> Result<()> {
    let (status, routing) = answers(connection).await?;
    let columns = &["id", "node", "server", "disk", "chain", "state", "reported"];
    let mut listing = Listing::new("targets", columns);
    for disk in routing.disks() {
        for target in &disk.targets {
            let member = routing.chains().find_map(|chain| {
                let member = chain.members.iter().find(|member| member.target == *target)?;
                Some((chain.id, member.state))
            });
            let mut reports = status.nodes.iter().flat_map(|node| &node.targets);
            let reported = reports.find(|report| report.target == *target);
            listing.push(vec![
                json!(target.get()),
                json!(disk.node.get()),
                json!(name(&routing, disk.node)),
                json!(disk.id.to_string()),
                json!(member.map(|(chain, _)| chain.get())),
                json!(member.map_or("free", |(_, state)| public(state))),
                json!(reported.map(|report| local(report.state))),
            ]);
        }
    }
    Ok(listing.print(json)?)
}

pub(super) async fn chains(connection: &Connection, json: bool) -> Result<()> {
    let cluster = connection.cluster().await?;
    let routing = cluster.routing().await?;
    let columns = &["id", "version", "min serving", "members"];
    let mut listing = Listing::new("chains", columns);
    for chain in routing.chains() {
        let members: Vec<Value> = chain.members.iter().map(member).collect();
        listing.push(vec![
            json!(chain.id.get()),
            json!(chain.version.get()),
            json!(chain.min_serving),
            json!(members),
        ]);
    }
    Ok(listing.print(json)?)
}

pub(super) async fn clients(connection: &Connection, json: bool) -> Result<()> {
    let clients = connection.cluster().await?.clients().await?;
    let columns = &["id", "host", "what", "since", "heard ms ago", "open for writing"];
    let mut listing = Listing::new("clients", columns);
    for client in clients {
        listing.push(vec![
            json!(client.client.get()),
            json!(client.host),
            json!(client.what),
            json!(time(client.opened)),
            json!(client.heard_ms_ago),
            json!(client.writers),
        ]);
    }
    Ok(listing.print(json)?)
}

/// What a server is called.
pub(super) fn name(routing: &RoutingTable, node: NodeId) -> Option<&str> {
    routing.nodes().find(|known| known.id == node).map(|node| node.name.as_str())
}

/// A member, head first: `12:serving`.
pub(super) fn member(member: &ChainMember) -> Value {
    json!(format!("{}:{}", member.target.get(), public(member.state)))
}

/// The words for the states of a chain's member, as the glossary has them.
pub(super) fn public(state: PublicState) -> &'static str {
    match state {
        PublicState::Serving => "serving",
        PublicState::Syncing => "syncing",
        PublicState::Waiting => "waiting",
        PublicState::LastServing => "lastsrv",
        PublicState::Offline => "offline",
    }
}

/// The words for the states that servers report.
fn local(state: LocalState) -> &'static str {
    match state {
        LocalState::UpToDate => "up-to-date",
        LocalState::Online => "online",
        LocalState::Offline => "offline",
    }
}
