//! The configuration files of a local cluster's servers: those that an operator would write.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use emberfs_layout::ClusterId;
use serde::Serialize;

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
    log: Log,
}

/// Writes the files of the metadata members.
pub(crate) fn write_meta(plan: &Plan) -> Result<()> {
    for (place, server) in plan.meta_servers().iter().enumerate() {
        let config = Meta {
            directory: server.folder().join("data"),
            listen: vec![loopback(plan.meta_ports[place])],
            node: place + 1,
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
            disks: disks(plan, server),
            memory_mib: STORAGE_MEMORY_MIB,
            log: Log { file: server.log() },
        };
        write(server, &config)?;
    }
    Ok(())
}

/// The disks of a storage server: directories.
pub(crate) fn disks(plan: &Plan, server: &Server) -> Vec<PathBuf> {
    (1..=plan.shape.disks).map(|n| server.folder().join(format!("disk-{n}"))).collect()
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
