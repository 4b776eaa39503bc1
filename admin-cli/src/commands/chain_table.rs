//! `chain-table create|show`.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use emberfs_client::{AdminOrder, AdministerReply, ChainTable, Cluster, Disk, RoutingTable};
use emberfs_client_fuse_mounts::counted;
use emberfs_layout::{DiskId, TargetId};
use serde_json::{Value, json};

use super::lists::{member, name};
use crate::args::TableArgs;
use crate::connection::Connection;
use crate::evenness::{Evenness, Load};
use crate::exit::{Usage, say};
use crate::listing::Listing;

/// Makes a table over the free targets that were named, or all.
pub(crate) async fn create(cluster: &Cluster, args: &TableArgs) -> Result<()> {
    let disks = match args.disks.is_empty() && args.nodes.is_empty() {
        true => Vec::new(),
        false => named(&*cluster.routing().await?, args)?,
    };
    let TableArgs { replicas, min_serving, chunk_size, is_default, .. } = *args;
    let order = AdminOrder::CreateTable { replicas, min_serving, chunk_size, disks, is_default };
    match cluster.administer(order).await? {
        AdministerReply::TableCreated(table) => {
            say(&made(&table));
            Ok(())
        }
        AdministerReply::Refused { text } => bail!("no chain table was made: {text}"),
        other @ AdministerReply::DiskAdded(_) => bail!("an answer to another order: {other:?}"),
    }
}

/// What was made, and where its files come from if not by themselves.
fn made(table: &ChainTable) -> String {
    let chains = counted(table.chains.len(), "chain");
    let made = format!("{}: {chains} of {}", table.id, counted(table.replicas, "replica"));
    match table.is_default {
        true => made,
        false => format!(
            "{made}. Files go to it where their directory says so: `emberfs layout set DIR --table {}`",
            table.id.get()
        ),
    }
}

/// The disks that were named, and those of the servers that were, if they have free targets.
fn named(routing: &RoutingTable, args: &TableArgs) -> Result<Vec<DiskId>> {
    let taken: BTreeSet<TargetId> =
        routing.chains().flat_map(|chain| &chain.members).map(|member| member.target).collect();
    let is_free = |disk: &&Disk| disk.targets.iter().any(|target| !taken.contains(target));
    let mut disks: BTreeSet<DiskId> = args.disks.iter().copied().collect();
    for wanted in &args.nodes {
        let Some(node) = routing.nodes().find(|node| node.name == *wanted) else {
            bail!("no storage server is called `{wanted}`: `emberfs node list` shows them");
        };
        let own: Vec<&Disk> = routing.disks().filter(|disk| disk.node == node.id).collect();
        let free: Vec<DiskId> = own.iter().copied().filter(is_free).map(|disk| disk.id).collect();
        match (free.is_empty(), own.is_empty()) {
            (true, true) => bail!("`{wanted}` has no disk in use: `emberfs disk add` admits them"),
            (true, false) => {
                bail!("`{wanted}` has no free target: each is in a chain of another table")
            }
            (false, _) => disks.extend(free),
        }
    }
    Ok(disks.into_iter().collect())
}

/// Whether a chain can have so many replicas.
pub(super) fn check(args: &TableArgs) -> Result<(), Usage> {
    let replicas = args.replicas;
    match args.min_serving {
        Some(least) if least > replicas => Err(Usage(format!(
            "--min-serving {least}: writes would wait for ever, as there are only {replicas} replicas"
        ))),
        _ => Ok(()),
    }
}

pub(super) async fn show(connection: &Connection, evenness: bool, json: bool) -> Result<()> {
    let cluster = connection.cluster().await?;
    let routing = cluster.routing().await?;
    let listing = if evenness { of_evenness(&routing) } else { of_chains(&routing) };
    Ok(listing.print(json)?)
}

fn of_chains(routing: &RoutingTable) -> Listing {
    let columns = &["table", "version", "default", "place", "chain", "members"];
    let mut listing = Listing::new("chain_tables", columns);
    for table in routing.tables() {
        for (place, id) in table.chains.iter().enumerate() {
            let chain = routing.chain(*id).ok();
            let members = chain.map(|chain| chain.members.iter().map(member).collect::<Vec<_>>());
            listing.push(vec![
                json!(table.id.get()),
                json!(table.version.get()),
                json!(table.is_default),
                json!(place),
                json!(id.get()),
                json!(members),
            ]);
        }
    }
    listing
}

/// Of each table its servers, each before its disks.
fn of_evenness(routing: &RoutingTable) -> Listing {
    let columns = &[
        "table",
        "of",
        "server",
        "disk",
        "targets",
        "heads",
        "least",
        "most",
        "ideal",
        "times ideal",
    ];
    let mut listing = Listing::new("evenness", columns);
    for table in routing.tables() {
        let Evenness { disks, servers } = Evenness::of(routing, table);
        for server in servers {
            let of = [json!("server"), json!(name(routing, server.part)), Value::Null];
            listing.push(row(table, of, &server));
            for disk in routing.disks().filter(|disk| disk.node == server.part) {
                let Some(load) = disks.iter().find(|load| load.part == disk.id) else { continue };
                let id = json!(disk.id.to_string());
                let of = [json!("disk"), json!(name(routing, disk.node)), id];
                listing.push(row(table, of, load));
            }
        }
    }
    listing
}

fn row<P>(table: &ChainTable, of: [Value; 3], load: &Load<P>) -> Vec<Value> {
    let takeover = load.takeover;
    let figures = [
        takeover.map(|takeover| takeover.least),
        takeover.map(|takeover| takeover.most),
        takeover.map(|takeover| takeover.ideal),
        takeover.map(|takeover| takeover.times),
    ];
    let mut row = vec![json!(table.id.get())];
    row.extend(of);
    row.extend([json!(load.targets), json!(load.heads)]);
    row.extend(figures.map(|figure| json!(figure.map(|figure| (figure * 1e3).round() / 1e3))));
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, chain, disk, node, table};
    use emberfs_client::PublicState::Serving;

    /// Server `a` with disks 1 and 2 of a target each, of which 1 is in a chain; `b` with none; `c` with 3, in it too.
    fn routing() -> RoutingTable {
        sample::routing(
            vec![node(1, "a"), node(2, "b"), node(3, "c")],
            vec![disk(1, 1, [1]), disk(2, 1, [2]), disk(3, 3, [3])],
            vec![chain(7, [(3, Serving), (1, Serving)], 1)],
            vec![table([7], 2)],
        )
    }

    #[test]
    fn a_server_brings_its_free_disks_or_is_told_why_not() {
        let of = |disks: &[u128], nodes: &[&str]| {
            let args = TableArgs {
                disks: disks.iter().copied().map(DiskId).collect(),
                nodes: nodes.iter().map(|name| (*name).to_owned()).collect(),
                ..TableArgs::default()
            };
            named(&routing(), &args).map_err(|error| error.to_string())
        };
        assert_eq!(of(&[], &["a"]), Ok(vec![DiskId(2)]));
        assert_eq!(of(&[9, 2], &["a", "a"]), Ok(vec![DiskId(2), DiskId(9)]));
        let no = |name| of(&[], &[name]).expect_err("nothing of it");
        assert!(no("b").contains("`b` has no disk in use"), "{}", no("b"));
        assert!(no("c").contains("`c` has no free target"), "{}", no("c"));
        assert!(no("d").contains("no storage server is called `d`"), "{}", no("d"));
    }

    #[test]
    fn what_is_no_default_says_how_files_get_there() {
        let mut table = routing().tables().next().expect("one").clone();
        assert_eq!(made(&table), "table-1: 1 chain of 2 replicas");
        table.is_default = false;
        assert!(made(&table).ends_with("`emberfs layout set DIR --table 1`"), "{}", made(&table));
    }
}
