//! `emberfs ls`.

use std::io::Write;

use anyhow::{Context, Result};
use emberfs_client::{Attributes, Entry, Fs, InodeKind};
use serde_json::{Value, json};

use crate::listing::{Listing, bytes_of, time};
use crate::location::ClusterPath;

pub(super) async fn run(fs: &Fs, path: &ClusterPath, long: bool, json: bool) -> Result<()> {
    let entries = entries(fs, path).await.with_context(|| path.to_string())?;
    if !long && !json {
        let mut out = std::io::stdout().lock();
        for entry in &entries {
            out.write_all(entry.name.as_bytes())?;
            writeln!(out)?;
        }
        return Ok(());
    }
    let columns =
        &["kind", "mode", "links", "uid", "gid", "size", "modified", "name", "name bytes"];
    let mut listing = Listing::new("entries", columns).json_only("name bytes");
    for entry in &entries {
        listing.push(row(entry));
    }
    Ok(listing.print(json)?)
}

/// All entries by name; a file is its own only entry.
async fn entries(fs: &Fs, path: &ClusterPath) -> Result<Vec<Entry>> {
    let attributes = fs.stat(&path.0).await?;
    if attributes.kind != InodeKind::Directory {
        let name = path.0.file_name().context("the root is a directory")?;
        let name = emberfs_client::Name::new(name.as_encoded_bytes())?;
        let (inode, kind) = (attributes.inode, attributes.kind);
        let cursor = emberfs_client::Cursor::START;
        return Ok(vec![Entry { name, cursor, inode, kind, attributes: Some(attributes) }]);
    }
    let mut listing = fs.list(&path.0)?;
    let mut entries = Vec::new();
    while let Some(entry) = listing.next().await? {
        entries.push(entry);
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn row(entry: &Entry) -> Vec<Value> {
    let of = |value: fn(&Attributes) -> Value| entry.attributes.as_ref().map_or(Value::Null, value);
    vec![
        json!(kind(entry.kind)),
        of(|a| json!(format!("{:04o}", a.mode.0))),
        of(|a| json!(a.nlink)),
        of(|a| json!(a.uid)),
        of(|a| json!(a.gid)),
        of(|a| json!(a.size.get())),
        of(|a| json!(time(a.mtime))),
        json!(String::from_utf8_lossy(entry.name.as_bytes())),
        bytes_of(entry.name.as_bytes()),
    ]
}

/// What kind of thing an inode is, in one word.
pub(super) fn kind(kind: InodeKind) -> &'static str {
    match kind {
        InodeKind::File => "file",
        InodeKind::Directory => "directory",
        InodeKind::Symlink => "symlink",
        InodeKind::Fifo => "fifo",
        InodeKind::Socket => "socket",
        InodeKind::CharDevice => "char-device",
        InodeKind::BlockDevice => "block-device",
    }
}
