//! A storage server with disks in a directory of its own, as an operator would set it up.

use std::path::PathBuf;

use emberfs_daemon::config;
use emberfs_layout::{BootNumber, ClusterId, DiskId, NodeId};
use emberfs_storage_server::{Config, Server, format_disk};
use emberfs_transport::Address;
use tempfile::TempDir;

use crate::meta::Meta;

pub(crate) const CLUSTER: ClusterId = ClusterId(0xc1);

/// One server.
pub(crate) struct Host {
    pub(crate) name: String,
    directory: TempDir,
    pub(crate) disks: Vec<DiskId>,
    pub(crate) server: Option<Server>,
    pub(crate) node: NodeId,
    boot: Option<BootNumber>,
}

impl Host {
    /// Formats the disks, starts the server, and waits until it is registered.
    pub(crate) fn start(name: &str, disks: usize, meta: &Meta) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let paths = (0..disks).map(|i| directory.path().join(format!("disk-{i}")));
        let ids = paths.map(|path| format_disk(&path, CLUSTER).expect("an empty directory"));
        let (disks, name) = (ids.collect(), name.to_owned());
        let mut host = Self { name, directory, disks, server: None, node: NodeId(0), boot: None };
        host.restart(meta);
        host
    }

    /// Starts a server that is stopped, and waits until it is registered.
    pub(crate) fn restart(&mut self, meta: &Meta) {
        self.server = Some(Server::start(self.config(meta)).expect("it starts"));
        let (node, boot) = meta.node(&self.name, self.boot);
        (self.node, self.boot) = (node, Some(boot));
    }

    pub(crate) fn stop(&mut self) {
        self.server.take().expect("it runs").stop();
    }

    pub(crate) fn disk(&self, number: usize) -> PathBuf {
        self.directory.path().join(format!("disk-{number}"))
    }

    /// The configuration file, as it is written.
    pub(crate) fn config_file(&self, meta: &Meta) -> PathBuf {
        let disks: Vec<_> = (0..self.disks.len()).map(|i| self.disk(i)).collect();
        let shards = self.disks.len();
        let text = format!(
            "cluster = \"{CLUSTER}\"\nname = {:?}\nmeta = [{:?}]\nlisten = [\"127.0.0.1:0\"]\n\
             directory = {:?}\ndisks = {disks:?}\nshards = {shards}\nmemory_mib = {}\n\
             disk_mib_max = 256\n",
            self.name,
            meta.address,
            self.directory.path().join("own"),
            256 * shards,
        );
        let file = self.directory.path().join("storage.toml");
        std::fs::write(&file, text).expect("written");
        file
    }

    pub(crate) fn config(&self, meta: &Meta) -> Config {
        config::load(&self.config_file(meta)).expect("a valid configuration")
    }

    pub(crate) fn address(&self) -> Address {
        let address = self.server.as_ref().expect("it runs").addresses()[0];
        address.to_string().parse().expect("an address")
    }
}
