//! `emberfs status`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use emberfs_client::disk::{self, RawSpace};
use emberfs_client::{ByteLen, ClientError, ClusterAddress, GetStatusReply, RoutingTable, members};
use emberfs_client_fuse_mounts::counted;
use futures_util::future::{Either, select};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::exit::{self, End, words};
use crate::health::members::{Group, Member};
use crate::health::{self, Problem, Rates, Verdict};
use crate::listing::SCHEMA;

/// What to do where no metadata server answers.
pub(super) const NEXT_STEP: &str = "see whether they run and can be reached from here; of a cluster on this machine \
    `emberfs up` starts what is missing";

/// What the cluster consists of, in numbers.
struct Counts {
    members: usize,
    nodes: usize,
    disks: usize,
    chains: usize,
    whole_chains: usize,
    space: RawSpace,
    sessions: u32,
}

pub(super) async fn run(connection: &Connection, json: bool) -> Result<End> {
    let address = match connection.address() {
        Ok(address) => address,
        Err(error) => {
            unknown(&error, json)?;
            return Ok(End::Unknown);
        }
    };
    let (group, answers) = asked(connection, &address).await;
    let (status, routing) = match answers {
        Ok(answers) => answers,
        Err(_) if group.heard() > 0 => return unavailable(&address, &group, json),
        Err(error) => {
            unknown(&error, json)?;
            return Ok(End::Unknown);
        }
    };
    let mut problems = group.problems(true, &BTreeMap::new());
    problems.extend(health::problems(&status, &routing));
    let problems = health::sorted(problems);
    let verdict = health::verdict(&problems);
    let counts = counts(&status, &routing, &group);
    let rates = health::rates(&status, &routing);
    let mut out = exit::out();
    if json {
        writeln!(out, "{:#}", to_json(&status, &problems, &counts, &group, &rates))?;
    } else {
        say(&mut out, &problems)?;
        writeln!(out, "{rates}")?;
        writeln!(out, "cluster {} is {}: {counts}", status.cluster, verdict.word())?;
    }
    Ok(End::Status(verdict))
}

/// How each member stands, and what the leader says. Where too few members answer nobody leads, and that is not waited
/// for.
async fn asked(
    connection: &Connection,
    address: &ClusterAddress,
) -> (Group, Result<(GetStatusReply, Arc<RoutingTable>)>) {
    let mut answers = pin!(async {
        let cluster = connection.cluster().await?;
        anyhow::Ok((cluster.status().await?, cluster.routing().await?))
    });
    let members = async { Group::of(members(address, connection.question()).await) };
    match select(pin!(members), &mut answers).await {
        Either::Left((group, _)) if group.lacks_majority() => {
            (group, Err(anyhow!("too few metadata servers answer")))
        }
        Either::Left((group, answers)) => (group, answers.await),
        Either::Right((answers, members)) => (members.await, answers),
    }
}

/// Some members are heard, and none that leads.
fn unavailable(address: &ClusterAddress, group: &Group, json: bool) -> Result<End> {
    let problems = group.problems(false, &BTreeMap::new());
    let mut heard = group.members.iter().filter_map(|member| member.answer.as_ref().ok());
    let id = heard.next().map(|answer| answer.cluster).or(address.cluster);
    let id = id.map_or_else(String::new, |id| id.to_string());
    let mut out = exit::out();
    if json {
        let mut value = json!({
            "schema": SCHEMA,
            "status": Verdict::Unavailable.word(),
            "cluster": id,
            "problems": problems_json(&problems),
        });
        add_group(&mut value, group);
        writeln!(out, "{value:#}")?;
    } else {
        say(&mut out, &problems)?;
        let members = counted(group.members.len(), "metadata member");
        writeln!(out, "cluster {id} is unavailable: {} of {members} answer", group.heard())?;
    }
    Ok(End::Status(Verdict::Unavailable))
}

fn say(out: &mut impl Write, problems: &[Problem]) -> io::Result<()> {
    problems
        .iter()
        .try_for_each(|problem| writeln!(out, "{}: {}", problem.verdict.word(), problem.words()))
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

fn problems_json(problems: &[Problem]) -> Vec<Value> {
    let said = problems
        .iter()
        .map(|problem| json!({ "verdict": problem.verdict.word(), "text": problem.words() }));
    said.collect()
}

/// Who is in the metadata group, and who leads it.
fn add_group(value: &mut Value, group: &Group) {
    let member = |member: &Member| {
        json!({
            "id": member.id.map(|id| id.get()),
            "address": member.address,
            "state": member.state(),
        })
    };
    value["meta_members"] = group.members.iter().map(member).collect();
    value["leader"] = json!(group.leader().map(|leader| leader.member.get()));
}

fn to_json(
    status: &GetStatusReply,
    problems: &[Problem],
    counts: &Counts,
    group: &Group,
    rates: &Rates,
) -> Value {
    let mut value = json!({
        "schema": SCHEMA,
        "status": health::verdict(problems).word(),
        "cluster": status.cluster.to_string(),
        "problems": problems_json(problems),
        "nodes": counts.nodes,
        "disks": counts.disks,
        "chains": counts.chains,
        "whole_chains": counts.whole_chains,
        "capacity_bytes": counts.space.capacity.get(),
        "used_bytes": counts.space.used.get(),
        "sessions": counts.sessions,
        "rates": rates.to_json(),
    });
    add_group(&mut value, group);
    value
}

fn counts(status: &GetStatusReply, routing: &RoutingTable, group: &Group) -> Counts {
    Counts {
        members: group.members.len(),
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
        let Self { members, nodes, disks, chains, whole_chains, space, sessions } = self;
        let gib = |len: ByteLen| len.get() as f64 / f64::from(1 << 30);
        let chains = match (*chains, counted(*chains, "chain")) {
            (0, none) => none,
            (_, chains) => format!("{whole_chains} of {chains} whole"),
        };
        write!(
            f,
            "{}, {}, {}, {chains}, {:.1} of {:.1} GiB raw used, {}",
            counted(*members, "metadata member"),
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
        let one = Counts {
            members: 1,
            nodes: 1,
            disks: 1,
            chains: 1,
            whole_chains: 1,
            space,
            sessions: 1,
        }
        .to_string();
        let text = "1 metadata member, 1 storage server, 1 disk, 1 of 1 chain whole, 1.0 of 1.0 GiB raw used, 1 client";
        assert_eq!(one, text);
        let none = Counts {
            members: 0,
            nodes: 0,
            disks: 0,
            chains: 0,
            whole_chains: 0,
            space,
            sessions: 0,
        }
        .to_string();
        assert!(
            none.starts_with("no metadata members, no storage servers, no disks, no chains, 1.0"),
            "{none}"
        );
        assert!(none.ends_with("no clients"), "{none}");
    }
}
