//! `emberfs status`.

use std::io::Write;

use anyhow::Result;
use emberfs_client::RoutingTable;
use emberfs_client::disk::{self, RawSpace};
use emberfs_client::{ByteLen, GetStatusReply, PublicState};
use serde_json::json;

use crate::connection::Connection;
use crate::counted::counted;
use crate::exit::{End, words};
use crate::health::{self, Problem};
use crate::listing::SCHEMA;

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
    let mut out = std::io::stdout().lock();
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
    let mut out = std::io::stdout().lock();
    if json {
        let value = json!({ "schema": SCHEMA, "status": "unknown", "why": words(error) });
        writeln!(out, "{value:#}")?;
    } else {
        writeln!(out, "cannot tell: {}", words(error))?;
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
    let whole = |chain: &&emberfs_client::Chain| {
        chain.members.iter().all(|member| member.state == PublicState::Serving)
    };
    Counts {
        nodes: routing.nodes().count(),
        disks: routing.disks().count(),
        chains: routing.chains().count(),
        whole_chains: routing.chains().filter(whole).count(),
        space: disk::space(status.nodes.iter().flat_map(|node| &node.disks)),
        sessions: status.sessions,
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { nodes, disks, chains, whole_chains, space, sessions } = self;
        let gib = |len: ByteLen| len.get() as f64 / f64::from(1 << 30);
        write!(
            f,
            "{}, {}, {whole_chains} of {} whole, {:.1} of {:.1} GiB raw used, {}",
            counted(*nodes, "storage server"),
            counted(*disks, "disk"),
            counted(*chains, "chain"),
            gib(space.used),
            gib(space.capacity),
            counted(*sessions as usize, "client"),
        )
    }
}
