//! `emberfs ls`.
//!
//! A link that is named is followed, unless it leads nowhere or in a circle, or it is itself asked for: with -l, and
//! without a slash behind it.

use std::ffi::OsStr;
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use emberfs_client::{Attributes, ClientError, Entry, Fs, FsError, InodeKind};
use serde_json::{Value, json};

use crate::exit;
use crate::listing::{Listing, bytes_of, time};
use crate::location::{ClusterPath, shown};

pub(super) async fn run(fs: &Fs, path: &ClusterPath, long: bool, json: bool) -> Result<()> {
    let names_only = !long && !json;
    let entries = entries(fs, path, long, names_only).await.with_context(|| path.to_string())?;
    if names_only {
        let is_terminal = std::io::stdout().is_terminal();
        let mut out = exit::out();
        for entry in &entries {
            let name = entry.name.as_bytes();
            if is_terminal {
                write!(out, "{}", shown(Path::new(OsStr::from_bytes(name))))?;
            } else {
                out.write_all(name)?;
            }
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
async fn entries(fs: &Fs, path: &ClusterPath, long: bool, names_only: bool) -> Result<Vec<Entry>> {
    let attributes = match fs.lstat(&path.0).await? {
        link if link.kind == InodeKind::Symlink && !long => match fs.stat(&path.0).await {
            Err(ClientError::Fs(FsError::NotFound | FsError::SymlinkLoop)) => link,
            found => found?,
        },
        found => found,
    };
    if attributes.kind != InodeKind::Directory {
        let name = path.0.file_name().context("the root is a directory")?;
        let name = emberfs_client::Name::new(name.as_encoded_bytes())?;
        let (inode, kind) = (attributes.inode, attributes.kind);
        let cursor = emberfs_client::Cursor::START;
        return Ok(vec![Entry { name, cursor, inode, kind, attributes: Some(attributes) }]);
    }
    let mut listing = if names_only { fs.list_names(&path.0)? } else { fs.list(&path.0)? };
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
