//! A local cluster in which each server's folder, with all that it writes, lies on a lossy disk of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use emberfs_tests::scratch::Scratch;

use crate::disk::LossyDisk;
use crate::local::LocalCluster;

/// Lines of a log that are shown.
const LOG_LINES: usize = 30;

/// A cluster with power switches. It is dropped in the order of its parts: processes, mounts, directory.
pub(crate) struct PoweredCluster {
    pub(crate) cluster: LocalCluster,
    disks: BTreeMap<String, LossyDisk>,
    /// What `up` wrote beside the servers' own: an operator would write it again.
    configs: BTreeMap<PathBuf, Vec<u8>>,
    /// Ends of logs that lost their power with the rest.
    logs: Vec<String>,
    _top: Arc<Scratch>,
}

impl PoweredCluster {
    /// Starts one with so many metadata members, and so many storage servers of one disk each and as many replicas;
    /// all of it has these variables.
    pub(crate) fn start(meta: usize, storage: usize, environment: &[(&'static str, &str)]) -> Self {
        let (members, count) = (meta.to_string(), storage.to_string());
        let shape = ["--meta", &members, "--disks", "1", "--storage", &count, "--replicas", &count];
        let cluster = LocalCluster::prepare(&shape, environment);
        let names = (1..=storage).map(|number| format!("storage-{number}"));
        let members = (1..=meta).map(|number| format!("meta-{number}"));
        let disks = names.chain(members).map(|name| {
            let disk = LossyDisk::mount(&cluster.directory().join(&name));
            (name, disk)
        });
        let (disks, top) = (disks.collect(), cluster.top());
        let (configs, logs) = (BTreeMap::new(), Vec::new());
        let mut powered = Self { cluster, disks, configs, logs, _top: top };
        powered.cluster.up();
        for name in powered.disks.keys() {
            let (kind, _) = name.split_once('-').expect("a kind and a number");
            let file = powered.cluster.directory().join(name).join(format!("{kind}.toml"));
            let text = std::fs::read(&file).expect("`up` wrote it");
            powered.configs.insert(file, text);
        }
        powered
    }

    /// All servers.
    pub(crate) fn servers(&self) -> Vec<String> {
        self.disks.keys().cloned().collect()
    }

    /// These servers lose their power at once, and have it again when this returns; nothing runs there.
    pub(crate) async fn lose_power(&mut self, servers: &[String], seed: Option<u64>) {
        // A dying process has no time to say anything to anybody, no more than one without power.
        servers.iter().for_each(|server| self.cluster.signal(server, "KILL"));
        for server in servers {
            self.cluster.until_gone(server).await;
            let log = self.log(server);
            self.logs.push(format!("{server} before it lost its power (seed {seed:?}):\n  {log}"));
        }
        for server in servers {
            self.disks.get_mut(server).expect("it has one").power_off(seed);
        }
        for server in servers {
            self.disks.get_mut(server).expect("it has one").power_on();
        }
        for (file, text) in &self.configs {
            if !file.exists() {
                // Not synced: the next loss may take it again, and what is there besides is not synced by it.
                std::fs::write(file, text).expect("written");
            }
        }
    }

    /// Starts these servers, one after the other.
    pub(crate) fn start_all(&self, servers: &[String]) {
        servers.iter().for_each(|server| self.cluster.start_one(server));
    }

    /// The end of what a server logged.
    pub(crate) fn log(&self, server: &str) -> String {
        let files = std::fs::read_dir(self.cluster.directory().join(server));
        let paths = files.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let logs = paths.filter(|path| path.extension().is_some_and(|end| end == "log"));
        let said: Vec<_> = logs.filter_map(|log| std::fs::read_to_string(log).ok()).collect();
        let lines: Vec<&str> = said.iter().flat_map(|said| said.lines()).collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n  ")
    }
}

impl Drop for PoweredCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.logs.iter().for_each(|log| println!("{log}"));
        }
    }
}
