//! `emberfs stat`: attributes, layout, and where each chunk lives.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};
use emberfs_client::{Attributes, ChainMember, Client, FileData, InodeKind, RoutingTable};
use emberfs_layout::{ChunkIndex, ChunkSize, StripeWidth, TableId};
use serde_json::{Value, json};

use super::list::kind;
use crate::commands::lists::member;
use crate::exit;
use crate::listing::{SCHEMA, bytes_of, time};
use crate::location::ClusterPath;
use crate::printable::{self, printable};

/// Fields that people need not see.
const JSON_ONLY: [&str; 3] = ["schema", "path_bytes", "target_bytes"];

pub(super) async fn run(client: &Client, path: &ClusterPath, json: bool) -> Result<()> {
    let attributes = client.fs().lstat(&path.0).await.with_context(|| path.to_string())?;
    let mut value = to_json(path, &attributes);
    if attributes.kind == InodeKind::Symlink {
        let target = client.fs().read_link(&path.0).await.with_context(|| path.to_string())?;
        value["target"] = json!(target.display().to_string());
        value["target_bytes"] = bytes_of(target.as_os_str().as_bytes());
    }
    if let Some(said) = &attributes.layout {
        value["layout"] = json!({
            "chunk_size": said.chunk_size.map(ChunkSize::bytes),
            "stripe_width": said.stripe.map(StripeWidth::get),
            "table": said.table.map(TableId::get),
        });
    }
    if let Some(data) = &attributes.data {
        value["data"] = layout(data);
        value["chunks"] = Value::Array(chunks(&attributes, data, &client.routing())?);
    }
    let mut out = exit::out();
    if json {
        writeln!(out, "{}", printable::json(&value))?;
        return Ok(());
    }
    print(&mut out, &value)?;
    Ok(())
}

fn to_json(path: &ClusterPath, attributes: &Attributes) -> Value {
    json!({
        "schema": SCHEMA,
        "path": path.text(),
        "path_bytes": bytes_of(path.0.as_os_str().as_bytes()),
        "inode": attributes.inode.get(),
        "kind": kind(attributes.kind),
        "mode": format!("{:04o}", attributes.mode.0),
        "links": attributes.nlink,
        "uid": attributes.uid,
        "gid": attributes.gid,
        "size": attributes.size.get(),
        "accessed": time(attributes.atime),
        "modified": time(attributes.mtime),
        "changed": time(attributes.ctime),
        "change_number": attributes.change.get(),
    })
}

fn layout(data: &FileData) -> Value {
    json!({
        "id": data.id.get(),
        "chunk_size": data.layout.chunk_size.bytes(),
        "stripe_width": data.layout.stripe.get(),
        "table": data.layout.table.get(),
        "table_version": data.layout.table_version.get(),
        "dense_to": data.dense_to.get(),
        "exact": data.exact,
    })
}

/// Each chunk below the file's end, with its chain and that chain's members, head first.
fn chunks(attributes: &Attributes, data: &FileData, routing: &RoutingTable) -> Result<Vec<Value>> {
    let stripe = routing.stripe(data.layout)?;
    let count = data.layout.chunk_size.chunks_in(attributes.size).context("a length in range")?;
    let of = |index: u64| {
        let index = ChunkIndex(u32::try_from(index).context("an index in range")?);
        let chain = stripe.chain_of(index);
        let known = &routing.chain(chain)?.members;
        let members: Vec<Value> = known.iter().map(member).collect();
        let home = |member: &ChainMember| routing.home(member.target).ok().map(|node| &node.name);
        let servers: Vec<_> = known.iter().map(home).collect();
        Ok(json!({
            "index": index.get(), "chain": chain.get(), "members": members, "servers": servers
        }))
    };
    (0..count).map(of).collect()
}

/// One line a field, and one a chunk.
fn print(out: &mut impl Write, value: &Value) -> std::io::Result<()> {
    let fields = value.as_object().into_iter().flatten();
    for (name, field) in fields.filter(|(name, _)| !JSON_ONLY.contains(&&***name)) {
        match field {
            Value::Object(parts) => {
                for (part, field) in parts {
                    writeln!(out, "{name}.{part}: {}", plain(field))?;
                }
            }
            Value::Array(chunks) => {
                for chunk in chunks {
                    let all = |of: &str| chunk[of].as_array().into_iter().flatten().map(plain);
                    let each = all("members").zip(all("servers"));
                    let each = each.map(|(member, server)| format!("{member} on {server}"));
                    let members = each.collect::<Vec<_>>().join(", ");
                    writeln!(
                        out,
                        "chunk {} on chain {}: {members}",
                        chunk["index"], chunk["chain"]
                    )?;
                }
            }
            other => writeln!(out, "{name}: {}", plain(other))?,
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    }
}
