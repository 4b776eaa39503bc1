//! `meta list`.

use anyhow::{Result, ensure};
use emberfs_client::members;
use serde_json::{Value, json};

use super::status::NEXT_STEP;
use crate::connection::Connection;
use crate::health::members::{Group, Member, name};
use crate::listing::Listing;

/// Each member as it says itself, also where none leads.
pub(super) async fn list(connection: &Connection, json: bool) -> Result<()> {
    let answers = members(&connection.address()?, connection.question()).await;
    let group = Group::of(answers);
    let columns = &[
        "id", "name", "address", "state", "term", "log from", "log to", "applied", "behind", "why",
    ];
    let mut listing = Listing::new("members", columns).json_only("why");
    let committed = group.leader().map(|leader| leader.committed.get());
    for member in &group.members {
        listing.push(row(member, committed));
    }
    listing.print(json)?;
    ensure!(group.heard() > 0, "no metadata server answers: {NEXT_STEP}");
    Ok(())
}

fn row(member: &Member, committed: Option<u64>) -> Vec<Value> {
    let answer = member.answer.as_ref().ok();
    let behind = answer.and_then(|answer| Some(committed?.saturating_sub(answer.applied.get())));
    vec![
        json!(member.id.map(|id| id.get())),
        json!(member.id.map(name)),
        json!(member.address),
        json!(member.state()),
        json!(answer.map(|answer| answer.term.get())),
        json!(answer.map(|answer| answer.cut.get() + 1)),
        json!(answer.map(|answer| answer.last.get())),
        json!(answer.map(|answer| answer.applied.get())),
        json!(behind),
        json!(member.answer.as_ref().err()),
    ]
}
