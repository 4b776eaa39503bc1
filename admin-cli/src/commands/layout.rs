//! `layout get|set`: what new files in a directory get, and what a file has.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Context, Error, Result, anyhow};
use emberfs_client::{
    ChainTable, Client, ClientError, DirectoryLayout, FileData, FsError, LayoutChange, RoutingTable,
};
use emberfs_layout::ChunkSize;
use serde_json::{Value, json};

use crate::args::{LayoutArgs, LayoutCommand};
use crate::exit;
use crate::listing::{SCHEMA, bytes_of};
use crate::location::ClusterPath;
use crate::printable;

/// The settings, as JSON and people know them.
const SETTINGS: [(&str, &str); 3] =
    [("chunk_size", "chunk size"), ("stripe_width", "stripe width"), ("table", "chain table")];

pub(super) async fn run(client: &Client, command: &LayoutCommand, json: bool) -> Result<()> {
    match command {
        LayoutCommand::Get { path } => get(client, path, json).await,
        LayoutCommand::Set(args) => {
            set(client, args).await?;
            get(client, &args.path, json).await
        }
    }
}

async fn set(client: &Client, args: &LayoutArgs) -> Result<()> {
    let (path, change) = (&args.path, args.change());
    let Err(error) = client.fs().set_layout(&path.0, change).await else { return Ok(()) };
    let why = match &error {
        ClientError::Fs(FsError::NotADirectory) => Some(
            "a file keeps what it was made with: set it on its directory, and copy the file".into(),
        ),
        ClientError::Fs(FsError::NotPermitted) => Some("only its owner and root may".into()),
        ClientError::Fs(FsError::InvalidArgument) => {
            let said = async |path: PathBuf| {
                let found = client.fs().stat(path).await.ok().and_then(|found| found.layout);
                found.unwrap_or_default()
            };
            let above = if change.inherit { path.0.join("..") } else { path.0.clone() };
            let after = change.apply(said(path.0.clone()).await, said(above).await);
            unfit(after, &change, &client.routing())
        }
        _ => None,
    };
    let error = Error::new(error).context(path.to_string());
    Err(why.map_or(error, |why| anyhow!("{path}: {why}")))
}

/// What is wrong with settings that the cluster refuses; `None` if they look well from here.
fn unfit(after: DirectoryLayout, change: &LayoutChange, routing: &RoutingTable) -> Option<String> {
    let Some(table) = table_of(after, routing) else {
        return Some(match after.table {
            Some(table) => format!("there is no {table}: `emberfs chain-table show` lists them"),
            None => {
                "the cluster has no chain table yet: `emberfs chain-table create` makes one".into()
            }
        });
    };
    let (stripe, chains) = (after.stripe?.get(), length(table));
    let next = if change.stripe.is_some() { "" } else { ": say --stripe too" };
    let too_wide = format!(
        "a stripe over {stripe} chains does not fit {}, which has {chains}{next}",
        table.id
    );
    (stripe > chains).then_some(too_wide)
}

/// The table of new files.
fn table_of(layout: DirectoryLayout, routing: &RoutingTable) -> Option<&ChainTable> {
    let is_meant = |table: &&ChainTable| match layout.table {
        Some(id) => table.id == id,
        None => table.is_default,
    };
    routing.tables().find(is_meant)
}

/// How many chains a table has now.
fn length(table: &ChainTable) -> u32 {
    table.lengths.last().copied().unwrap_or_default()
}

async fn get(client: &Client, path: &ClusterPath, json: bool) -> Result<()> {
    let found = client.fs().stat(&path.0).await.with_context(|| path.to_string())?;
    let mut value = match &found.data {
        Some(data) => of_file(data),
        None => {
            let is_directory = found.kind == emberfs_client::InodeKind::Directory;
            anyhow::ensure!(is_directory, "{path} is neither file nor directory: it has no layout");
            of_directory(found.layout.unwrap_or_default(), &client.routing())
        }
    };
    value["schema"] = json!(SCHEMA);
    value["path"] = json!(path.text());
    value["path_bytes"] = bytes_of(path.0.as_os_str().as_bytes());
    let mut out = exit::out();
    match json {
        true => writeln!(out, "{}", printable::json(&value))?,
        false => write!(out, "{}", in_words(&value))?,
    }
    Ok(())
}

fn of_file(data: &FileData) -> Value {
    json!({
        "kind": "file",
        "chunk_size": data.layout.chunk_size.bytes(),
        "stripe_width": data.layout.stripe.get(),
        "table": data.layout.table.get(),
        "table_version": data.layout.table_version.get(),
    })
}

/// What new files get, and from whom: this directory, their table, or the cluster.
fn of_directory(said: DirectoryLayout, routing: &RoutingTable) -> Value {
    let table = table_of(said, routing);
    let of_table = table.map(|table| table.chunk_size.unwrap_or(ChunkSize::DEFAULT));
    let stripe = table.and_then(|table| said.stripe_over(length(table)).ok()).or(said.stripe);
    let by =
        |says: bool, else_by: &str| if says { "directory".to_owned() } else { else_by.to_owned() };
    json!({
        "kind": "directory",
        "chunk_size": said.chunk_size.or(of_table).map(ChunkSize::bytes),
        "stripe_width": stripe.map(|stripe| stripe.get()),
        "table": said.table.or(table.map(|table| table.id)).map(|table| table.get()),
        "from": {
            "chunk_size": by(said.chunk_size.is_some(), "table"),
            "stripe_width": by(said.stripe.is_some() && stripe == said.stripe, "table"),
            "table": by(said.table.is_some(), "cluster"),
        },
    })
}

/// A line for each setting.
fn in_words(value: &Value) -> String {
    let shown = |key: &str| match (key, value[key].as_u64()) {
        (_, None) => "-".to_owned(),
        ("chunk_size", Some(bytes)) => {
            ChunkSize::new(bytes).map_or_else(|_| bytes.to_string(), |size| size.to_string())
        }
        (_, Some(number)) => number.to_string(),
    };
    let by = |key: &str| match value["from"][key].as_str() {
        Some("directory") => ", as this directory says",
        Some("table") => ", as its table has it",
        Some(_) => ", the cluster's default",
        None => "",
    };
    let line = |(key, words): (&str, &str)| format!("{words}: {}{}\n", shown(key), by(key));
    SETTINGS.map(line).concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_client::{RoutingDelta, Setting, StripeWidth, TableId};
    use emberfs_layout::{ChainId, RoutingVersion, TableVersion};

    /// Table 1 of 8 chains, the default, and table 2 of 2.
    fn routing() -> RoutingTable {
        let table = |id: u32, chains: u32| ChainTable {
            id: TableId(id),
            version: TableVersion(1),
            chains: (0..chains).map(|chain| ChainId(100 * id + chain)).collect(),
            lengths: vec![chains],
            replicas: 1,
            chunk_size: Some(if id == 1 { ChunkSize::DEFAULT } else { ChunkSize::MAX }),
            is_default: id == 1,
        };
        let mut routing = RoutingTable::default();
        routing.apply(RoutingDelta {
            version: RoutingVersion(1),
            tables: vec![table(1, 8), table(2, 2)],
            ..RoutingDelta::default()
        });
        routing
    }

    fn said(chunk: Option<ChunkSize>, stripe: Option<u32>, table: Option<u32>) -> DirectoryLayout {
        DirectoryLayout {
            chunk_size: chunk,
            stripe: stripe.map(|width| StripeWidth::new(width).expect("not empty")),
            table: table.map(TableId),
        }
    }

    #[test]
    fn each_setting_comes_with_who_says_it() {
        let of = |layout| in_words(&of_directory(layout, &routing()));
        let by_cluster = "chunk size: 1 MiB, as its table has it\n\
                          stripe width: 8, as its table has it\n\
                          chain table: 1, the cluster's default\n";
        assert_eq!(of(said(None, None, None)), by_cluster);
        let own = "chunk size: 64 MiB, as its table has it\n\
                   stripe width: 1, as this directory says\n\
                   chain table: 2, as this directory says\n";
        assert_eq!(of(said(None, Some(1), Some(2))), own);
        let narrowed = of_directory(said(Some(ChunkSize::MIN), Some(5), Some(2)), &routing());
        assert_eq!(
            (&narrowed["stripe_width"], &narrowed["chunk_size"]),
            (&json!(2), &json!(65_536))
        );
        assert_eq!(narrowed["from"]["stripe_width"], "table");
        let none = of_directory(said(None, None, None), &RoutingTable::default());
        assert_eq!((&none["table"], &none["stripe_width"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let nothing = LayoutChange::default();
        let stripe = StripeWidth::new(9).expect("not empty");
        let wide = LayoutChange { stripe: Some(Setting::Is(stripe)), ..nothing };
        let of = |layout, change: &LayoutChange| unfit(layout, change, &routing());
        let unknown = of(said(None, None, Some(3)), &nothing).expect("refused");
        assert!(unknown.contains("there is no table-3"), "{unknown}");
        let words = "a stripe over 9 chains does not fit table-1, which has 8";
        assert_eq!(of(said(None, Some(9), None), &wide).as_deref(), Some(words));
        let words = "a stripe over 4 chains does not fit table-2, which has 2: say --stripe too";
        assert_eq!(of(said(None, Some(4), Some(2)), &nothing).as_deref(), Some(words));
        assert_eq!(of(said(None, Some(2), Some(2)), &wide), None);
        let empty = unfit(said(None, Some(1), None), &wide, &RoutingTable::default());
        assert!(empty.is_some_and(|words| words.contains("chain-table create")));
    }
}
