//! `emberfs status`.

use std::io::Write;

use anyhow::Result;
use emberfs_client::RoutingTable;
use emberfs_client::disk::{self, RawSpace};
use emberfs_client::{ByteLen, ClientError, GetStatusReply};
use serde_json::json;

use crate::connection::Connection;
use crate::counted::counted;
use crate::exit::{self, End, words};
use crate::health::{self, Problem};
use crate::listing::SCHEMA;

/// What to do where no metadata server answers.
const NEXT_STEP: &str = "see whether they run and can be reached from here; of a cluster on this machine \
    `emberfs up` starts what is missing";

/// What the cluster consists of, in numbers.
struct Counts {
    nodes: usize,
    disks: usize,
    chains: usize,
    whole_chains: usize,
    space: RawSpace,
    sessions: u32,
}

pub(super) async fn run(connection: &Connection, json: bool) -> Result<End> {
    let answers = async {
        let cluster = connection.cluster().await?;
        anyhow::Ok((cluster.status().await?, cluster.routing().await?))
    };
    let (status, routing) = match answers.await {
        Ok(answers) => answers,
        Err(error) => {
            unknown(&error, json)?;
            return Ok(End::Unknown);
        }
    };
    let problems = health::problems(&status, &routing);
    let verdict = health::verdict(&problems);
    let counts = counts(&status, &routing);
    let mut out = exit::out();
    if json {
        writeln!(out, "{:#}", to_json(&status, &problems, &counts))?;
    } else {
        for problem in &problems {
            writeln!(out, "{}: {}", problem.verdict.word(), problem.text)?;
        }
        writeln!(out, "cluster {} is {}: {counts}", status.cluster, verdict.word())?;
    }
    Ok(End::Status(verdict))
}

fn unknown(error: &anyhow::Error, json: bool) -> Result<()> {
    let mut out = exit::out();
    if json {
        let value = json!({ "schema": SCHEMA, "status": "unknown", "why": words(error) });
        writeln!(out, "{value:#}")?;
    } else {
        writeln!(out, "cannot tell: {}", words(error))?;
        if error.is::<ClientError>() {
            writeln!(out, "{NEXT_STEP}")?;
        }
    }
    Ok(())
}

fn to_json(status: &GetStatusReply, problems: &[Problem], counts: &Counts) -> serde_json::Value {
    let said: Vec<_> = problems
        .iter()
        .map(|problem| json!({ "verdict": problem.verdict.word(), "text": problem.text }))
        .collect();
    json!({
        "schema": SCHEMA,
        "status": health::verdict(problems).word(),
        "cluster": status.cluster.to_string(),
        "problems": said,
        "nodes": counts.nodes,
        "disks": counts.disks,
        "chains": counts.chains,
        "whole_chains": counts.whole_chains,
        "capacity_bytes": counts.space.capacity.get(),
        "used_bytes": counts.space.used.get(),
        "sessions": counts.sessions,
    })
}

fn counts(status: &GetStatusReply, routing: &RoutingTable) -> Counts {
    Counts {
        nodes: routing.nodes().count(),
        disks: routing.disks().count(),
        chains: routing.chains().count(),
        whole_chains: health::whole_chains(status, routing),
        space: disk::space(status.nodes.iter().flat_map(|node| &node.disks)),
        sessions: status.sessions,
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { nodes, disks, chains, whole_chains, space, sessions } = self;
        let gib = |len: ByteLen| len.get() as f64 / f64::from(1 << 30);
        let chains = match (*chains, counted(*chains, "chain")) {
            (0, none) => none,
            (_, chains) => format!("{whole_chains} of {chains} whole"),
        };
        write!(
            f,
            "{}, {}, {chains}, {:.1} of {:.1} GiB raw used, {}",
            counted(*nodes, "storage server"),
            counted(*disks, "disk"),
            gib(space.used),
            gib(space.capacity),
            counted(*sessions as usize, "client"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well_also_where_there_is_one_or_nothing() {
        let len = ByteLen(1 << 30);
        let space = RawSpace { used: len, capacity: len };
        let one = Counts { nodes: 1, disks: 1, chains: 1, whole_chains: 1, space, sessions: 1 }
            .to_string();
        let text =
            "1 storage server, 1 disk, 1 of 1 chain whole, 1.0 of 1.0 GiB raw used, 1 client";
        assert_eq!(one, text);
        let none = Counts { nodes: 0, disks: 0, chains: 0, whole_chains: 0, space, sessions: 0 }
            .to_string();
        assert!(none.starts_with("no storage servers, no disks, no chains, 1.0"), "{none}");
        assert!(none.ends_with("no clients"), "{none}");
    }
}
