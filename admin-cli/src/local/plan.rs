//! What was decided once about a local cluster: kept in `DIR/local.toml`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use emberfs_client::ClusterAddress;
use emberfs_layout::ClusterId;
use serde::{Deserialize, Deserializer, Serialize};

use super::durable::write_whole;
use super::process::Server;
use super::{place, ports};
use crate::exit::Usage;

/// The file.
const FILE: &str = "local.toml";

/// How large a local cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// Members of the metadata group.
    pub(crate) meta: u16,
    /// Storage servers.
    pub(crate) storage: u16,
    /// Disks of each: directories.
    pub(crate) disks: u16,
    /// Copies of each chunk.
    pub(crate) replicas: u8,
}

/// A local cluster, as it was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Where everything is, as an absolute path.
    #[serde(skip)]
    pub(crate) directory: PathBuf,
    /// The cluster's name in the user's directory of clusters.
    pub(crate) name: String,
    /// Its id, once all its metadata members are formatted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    /// How large it is.
    #[serde(flatten)]
    pub(crate) shape: Shape,
    /// Ports of the metadata members, in order.
    pub(crate) meta_ports: Vec<u16>,
    /// Ports of the storage servers, in order.
    pub(crate) storage_ports: Vec<u16>,
    /// Ports at which the metadata members and then the storage servers tell their metrics, in order; none in a plan
    /// that was made before they did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) metrics_ports: Vec<u16>,
    /// Those of the mounts, in the order of `mounts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mount_metrics_ports: Vec<u16>,
    /// Where it is mounted while it is up.
    #[serde(default, alias = "mount", deserialize_with = "one_or_several")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mounts: Vec<PathBuf>,
}

impl Shape {
    /// Whether such a cluster can exist.
    pub(crate) fn check(&self) -> Result<()> {
        let Self { meta, storage, disks, replicas } = *self;
        let wrong = if ![1, 3, 5].contains(&meta) {
            format!(
                "--meta {meta}: 1, 3 or 5, as more than half of the members must be there; with one more than that \
                 no other may be missing"
            )
        } else if storage == 0 || disks == 0 {
            "at least one storage server and one disk".to_owned()
        } else if replicas == 0 {
            format!(
                "--replicas 0: no copy keeps nothing; say 1 for one copy of each chunk, up to {storage}, one on each \
                 storage server"
            )
        } else if u16::from(replicas) > storage {
            format!(
                "--replicas {replicas}: copies lie on different servers, and there are {storage}: \
                 add --storage, or lower --replicas"
            )
        } else {
            return Ok(());
        };
        Err(Usage(wrong).into())
    }
}

impl Plan {
    /// The plan of the cluster in `directory`, if there is one.
    pub(crate) fn load(directory: &Path) -> Result<Option<Self>> {
        let Ok(directory) = fs::canonicalize(directory) else { return Ok(None) };
        let file = directory.join(FILE);
        let text = match fs::read_to_string(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", file.display()))?,
        };
        let plan: Self = toml::from_str(&text).with_context(|| format!("in {}", file.display()))?;
        Ok(Some(Self { directory, ..plan }))
    }

    /// Decides about a new cluster in `directory`, which is made, and writes it down.
    pub(crate) fn make(directory: &Path, name: &str, shape: Shape) -> Result<Self> {
        shape.check()?;
        let made = fs::create_dir_all(directory).and_then(|()| fs::canonicalize(directory));
        let directory = made.with_context(|| format!("cannot make {}", directory.display()))?;
        let count = usize::from(shape.meta) + usize::from(shape.storage);
        let spread = directory.as_os_str().as_encoded_bytes().iter();
        let spread =
            spread.fold(0_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        let mut meta_ports = ports::choose(2 * count, spread)?;
        let metrics_ports = meta_ports.split_off(count);
        let storage_ports = meta_ports.split_off(shape.meta.into());
        let plan = Self {
            directory,
            name: name.to_owned(),
            cluster: None,
            shape,
            meta_ports,
            storage_ports,
            metrics_ports,
            mount_metrics_ports: Vec::new(),
            mounts: Vec::new(),
        };
        plan.save()?;
        Ok(plan)
    }

    /// Its id, as it was written down.
    pub(crate) fn cluster(&self) -> Result<Option<ClusterId>> {
        let id = self.cluster.as_deref().map(str::parse).transpose();
        id.with_context(|| format!("`cluster` in {}", self.directory.join(FILE).display()))
    }

    /// Writes down that its metadata members are formatted, and its id. From now on what is missing of them is lost.
    pub(crate) fn founded(&mut self, id: ClusterId) -> Result<()> {
        self.cluster = Some(id.to_string());
        self.save()
    }

    /// Decides that it is mounted there too.
    pub(crate) fn mount_at(&mut self, path: PathBuf) -> Result<()> {
        if !self.mounts.contains(&path) {
            self.mounts.push(path);
            // Those that were made before mounts had one get it too.
            while self.mount_metrics_ports.len() < self.mounts.len() {
                self.mount_metrics_ports.push(self.another_port()?);
            }
            self.save()?;
        }
        Ok(())
    }

    /// A free port that is none of this cluster's, whoever of it runs.
    fn another_port(&self) -> Result<u16> {
        let ours = [
            &self.meta_ports[..],
            &self.storage_ports,
            &self.metrics_ports,
            &self.mount_metrics_ports,
        ]
        .concat();
        let beside = ports::choose(ours.len() + 1, ours.first().copied().unwrap_or_default())?;
        Ok(beside.into_iter().find(|port| !ours.contains(port)).expect("one more than are ours"))
    }

    /// Where the metadata member at this place, from 0, tells its metrics.
    pub(crate) fn meta_metrics(&self, place: usize) -> Option<String> {
        self.metrics_ports.get(place).map(|port| loopback(*port))
    }

    /// The same of a storage server.
    pub(crate) fn storage_metrics(&self, place: usize) -> Option<String> {
        self.meta_metrics(self.meta_ports.len() + place)
    }

    /// The same of a mount.
    pub(crate) fn mount_metrics(&self, place: usize) -> Option<String> {
        self.mount_metrics_ports.get(place).map(|port| loopback(*port))
    }

    fn save(&self) -> Result<()> {
        let text = toml::to_string(self).expect("numbers and words");
        let file = self.directory.join(FILE);
        write_whole(&file, &text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Its metadata members.
    pub(crate) fn meta_servers(&self) -> Vec<Server> {
        self.servers("meta", self.shape.meta)
    }

    /// Its storage servers.
    pub(crate) fn storage_servers(&self) -> Vec<Server> {
        self.servers("storage", self.shape.storage)
    }

    fn servers(&self, role: &'static str, count: u16) -> Vec<Server> {
        let server = |number| Server::new(&self.directory, role, number);
        (1..=count).map(server).collect()
    }

    /// A command about this cluster, which `--dir` names if it must.
    pub(crate) fn command(&self, words: &str) -> String {
        match place::is_default(&self.directory) {
            true => words.to_owned(),
            false => format!("{words} --dir {}", self.directory.display()),
        }
    }

    /// Where the metadata members listen, each `host:port`.
    pub(crate) fn meta_addresses(&self) -> Vec<String> {
        self.meta_ports.iter().map(|port| loopback(*port)).collect()
    }

    /// Whether one of its metadata members is at this address, which may name any of them.
    pub(crate) fn is_at(&self, address: &ClusterAddress) -> bool {
        let ours = self.meta_addresses();
        address.meta.iter().any(|at| ours.contains(&at.to_string()))
    }
}

/// Once there was one mount at most.
fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Mounts {
        One(PathBuf),
        Several(Vec<PathBuf>),
    }
    Ok(match Mounts::deserialize(from)? {
        Mounts::One(path) => vec![path],
        Mounts::Several(paths) => paths,
    })
}

/// A loopback address, as configuration files have it.
pub(crate) fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { meta: 1, storage: 3, disks: 2, replicas: 3 };

    #[test]
    fn a_plan_is_found_again_as_it_was_made() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(Plan::load(directory.path()).expect("readable"), None);
        let made = Plan::make(&directory.path().join("a"), "local", SHAPE).expect("free ports");
        let found = Plan::load(&directory.path().join("a")).expect("readable");
        assert_eq!((found.as_ref(), made.storage_ports.len()), (Some(&made), 3));
        let mut ports: Vec<u16> =
            [&made.meta_ports[..], &made.storage_ports, &made.metrics_ports].concat();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8, "each process has a port for its metrics too");
        let last = loopback(*made.metrics_ports.last().expect("four"));
        assert_eq!((made.storage_metrics(2), made.storage_metrics(3)), (Some(last), None));
    }

    #[test]
    fn the_id_is_remembered_and_a_plan_from_before_has_none() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut plan = Plan::make(directory.path(), "local", SHAPE).expect("free ports");
        let found = || Plan::load(directory.path()).expect("readable").expect("there");
        assert_eq!(found().cluster().expect("readable"), None);
        plan.founded(ClusterId(0xabc)).expect("written");
        assert_eq!(found().cluster().expect("readable"), Some(ClusterId(0xabc)));
    }

    #[test]
    fn every_mount_is_remembered_also_where_there_was_but_one() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut plan = Plan::make(directory.path(), "local", SHAPE).expect("free ports");
        let found = || Plan::load(directory.path()).expect("readable").expect("there").mounts;
        for path in ["/a", "/b", "/a"] {
            plan.mount_at(path.into()).expect("written");
        }
        assert_eq!(found(), ["/a", "/b"].map(PathBuf::from));
        let ports = &plan.mount_metrics_ports;
        assert!(ports.len() == 2 && ports[0] != ports[1], "{ports:?}");
        assert!(!plan.metrics_ports.iter().any(|port| ports.contains(port)));
        let file = directory.path().join(FILE);
        let text = fs::read_to_string(&file).expect("written");
        let once = text.replace("mounts = [\"/a\", \"/b\"]", "mount = \"/a\"");
        assert_ne!(once, text);
        fs::write(&file, once).expect("written");
        assert_eq!(found(), [PathBuf::from("/a")]);
    }

    #[test]
    fn a_shape_that_cannot_be_is_refused_in_words() {
        let refused = |shape: Shape| shape.check().expect_err("refused").to_string();
        assert!(refused(Shape { storage: 2, ..SHAPE }).contains("lower --replicas"));
        assert!(refused(Shape { replicas: 0, ..SHAPE }).contains("up to 3, one on each"));
        assert!(refused(Shape { disks: 0, ..SHAPE }).contains("one disk"));
        assert!(refused(Shape { meta: 2, ..SHAPE }).starts_with("--meta 2: 1, 3 or 5"));
        assert!(Shape { meta: 5, ..SHAPE }.check().is_ok());
        assert!(Shape { storage: 1, replicas: 1, ..SHAPE }.check().is_ok());
    }
}
