//! The configuration files of a local cluster's servers: those that an operator would write, and may change.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use emberfs_layout::ClusterId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::durable::write_whole;
use super::plan::{Plan, loopback};
use super::process::Server;

/// Buffers of one storage server, in MiB: a laptop runs several.
const STORAGE_MEMORY_MIB: u64 = 512;

#[derive(Serialize)]
struct Log {
    file: PathBuf,
}

#[derive(Serialize)]
struct Meta {
    directory: PathBuf,
    listen: Vec<String>,
    node: usize,
    /// Where all members listen; none where there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
    log: Log,
}

#[derive(Serialize)]
struct Storage {
    cluster: String,
    name: String,
    meta: Vec<String>,
    listen: Vec<String>,
    directory: PathBuf,
    disks: Vec<PathBuf>,
    memory_mib: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
    log: Log,
}

/// What is gone by of a storage server's file.
#[derive(Debug, Deserialize)]
pub(crate) struct StorageFile {
    /// The cluster's id.
    cluster: String,
    /// What the cluster calls the server.
    pub(crate) name: String,
    /// The directories of its disks.
    pub(crate) disks: Vec<PathBuf>,
}

/// What is gone by of a metadata member's file.
#[derive(Debug, Deserialize)]
pub(crate) struct MetaFile {
    /// Where it keeps its data.
    pub(crate) directory: PathBuf,
}

/// What a storage server's file says.
pub(crate) fn read_storage(server: &Server) -> Result<StorageFile> {
    read(server)
}

/// What a metadata member's file says.
pub(crate) fn read_meta(server: &Server) -> Result<MetaFile> {
    read(server)
}

/// Which cluster it is; `None` before its metadata was formatted. A plan that is older does not say it: then a storage
/// server's file does.
pub(crate) fn cluster(plan: &Plan) -> Result<Option<ClusterId>> {
    if let Some(id) = plan.cluster()? {
        return Ok(Some(id));
    }
    let servers = plan.storage_servers();
    let Some(server) = servers.iter().find(|server| server.config().exists()) else {
        return Ok(None);
    };
    let id = read_storage(server)?.cluster.parse();
    id.map(Some).with_context(|| format!("in {}", server.config().display()))
}

/// Writes the files of the metadata members.
pub(crate) fn write_meta(plan: &Plan) -> Result<()> {
    for (place, server) in plan.meta_servers().iter().enumerate() {
        let config = Meta {
            directory: server.folder().join("data"),
            listen: vec![loopback(plan.meta_ports[place])],
            node: place + 1,
            metrics: plan.meta_metrics(place),
            members: if plan.meta_ports.len() > 1 { plan.meta_addresses() } else { Vec::new() },
            log: Log { file: server.log() },
        };
        write(server, &config)?;
    }
    Ok(())
}

/// Writes the files of the storage servers.
pub(crate) fn write_storage(plan: &Plan, cluster: ClusterId) -> Result<()> {
    for (place, server) in plan.storage_servers().iter().enumerate() {
        let config = Storage {
            cluster: cluster.to_string(),
            name: server.name.clone(),
            meta: plan.meta_addresses(),
            listen: vec![loopback(plan.storage_ports[place])],
            directory: server.folder().join("data"),
            disks: (1..=plan.shape.disks)
                .map(|n| server.folder().join(format!("disk-{n}")))
                .collect(),
            memory_mib: STORAGE_MEMORY_MIB,
            metrics: plan.storage_metrics(place),
            log: Log { file: server.log() },
        };
        write(server, &config)?;
    }
    Ok(())
}

fn read<T: DeserializeOwned>(server: &Server) -> Result<T> {
    let file = server.config();
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    toml::from_str(&text).with_context(|| format!("in {}", file.display()))
}

/// Writes a server's file, unless it is there: what an operator changed in it stays.
fn write(server: &Server, config: &impl Serialize) -> Result<()> {
    let file = server.config();
    if file.exists() {
        return Ok(());
    }
    let text = toml::to_string(config).expect("numbers, words and lists of them");
    let text = format!("# Written by `emberfs up`, once: edit as you like.\n{text}");
    let made = fs::create_dir_all(server.folder()).and_then(|()| write_whole(&file, &text));
    made.with_context(|| format!("cannot write {}", file.display()))
}
