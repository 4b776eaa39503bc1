//! The configuration of a metadata member: one TOML file.
//!
//! ```toml
//! directory = "/var/lib/emberfs/meta"   # formatted by `emberfs-meta format`
//! listen = ["127.0.0.1:7000"]
//! ```
//!
//! Everything else has a default that suits most clusters.

use std::net::SocketAddr;
use std::path::PathBuf;

use emberfs_chain_replication::membership::LeaseTerm;
use emberfs_daemon::config::Validate;
use emberfs_daemon::described;
use emberfs_daemon::listen::{self, addresses};
use emberfs_daemon::logging::LogConfig;
use emberfs_layout::NodeId;
use serde::{Deserialize, Serialize};

/// The shortest storage lease: several heartbeats must fit into half of it.
const LEASE_MS_MIN: u32 = 500;
/// The longest: for so long writes wait when a server dies.
const LEASE_MS_MAX: u32 = 60_000;

described! {
    least = "directory = \"/var/lib/emberfs/meta\"\nlisten = [\"127.0.0.1:7000\"]";
    /// What a member is told.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        /// Where it keeps everything: a directory of its own, on a disk that honours syncs.
        pub directory: PathBuf,
        /// Where it listens, each an IP address and a port.
        #[serde(deserialize_with = "addresses")]
        pub listen: Vec<SocketAddr>,
        /// Whether `listen` may have addresses that other machines reach. Until there is authentication,
        /// whoever reaches them may read and change everything.
        #[serde(default)]
        pub listen_beyond_loopback_without_authentication: bool,
        /// Which member of its group this is, from 1.
        #[serde(default = "default_node")]
        pub node: u32,
        /// How long after its last answer to a storage server the leader takes that one for gone, in
        /// milliseconds; the server itself stops serving after half of it. Shorter, and a pause of a busy
        /// machine costs a replica its place; longer, and writes wait longer for a dead one.
        #[serde(default = "default_lease_ms")]
        pub storage_lease_ms: u32,
        /// Where it logs, and how much.
        #[serde(default)]
        pub log: LogConfig,
    }
}

fn default_node() -> u32 {
    1
}

fn default_lease_ms() -> u32 {
    3_000
}

impl Config {
    /// Which member of its group this is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        NodeId(self.node)
    }

    /// How long the leader waits for a silent storage server.
    pub(crate) fn lease_term(&self) -> LeaseTerm {
        LeaseTerm::new(self.storage_lease_ms).expect("checked to be at least LEASE_MS_MIN")
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), String> {
        if self.directory.as_os_str().is_empty() {
            return Err("directory: an empty path".to_owned());
        }
        if self.listen.is_empty() {
            return Err("listen: at least one address".to_owned());
        }
        if self.node == 0 {
            return Err("node: members are numbered from 1".to_owned());
        }
        if !(LEASE_MS_MIN..=LEASE_MS_MAX).contains(&self.storage_lease_ms) {
            return Err(format!("storage_lease_ms: from {LEASE_MS_MIN} to {LEASE_MS_MAX}"));
        }
        let beyond = self.listen_beyond_loopback_without_authentication;
        listen::check(&self.listen, beyond).map_err(|error| error.to_string())?;
        self.log.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_file_is_enough_and_nonsense_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("meta.toml");
        let said = |more: &str| {
            let text = format!("directory = \"m\"\nlisten = [\"[::1]:7000\"]\n{more}");
            std::fs::write(&file, text).expect("written");
            emberfs_daemon::config::load::<Config>(&file).map_err(|error| error.to_string())
        };
        let config = said("").expect("all the others have defaults");
        let rows = emberfs_daemon::reference::rows(&config);
        let sample = emberfs_daemon::sample::text::<Config>("emberfs-meta");
        std::fs::write(&file, sample).expect("written");
        let sample = emberfs_daemon::config::load::<Config>(&file).expect("valid");
        assert_eq!(sample.storage_lease_ms, config.storage_lease_ms);
        let required = rows.iter().filter(|row| row.required).map(|row| &*row.key);
        assert_eq!(required.collect::<Vec<_>>(), ["directory", "listen"]);
        assert_eq!((config.node(), config.storage_lease_ms), (NodeId(1), 3_000));
        assert!(said("node = 0").expect_err("no such member").contains("numbered from 1"));
        assert!(said("storage_lease_ms = 1").expect_err("too short").contains("from 500"));
        let many = said("[log]\nfiles_kept = 1001").expect_err("too many");
        assert!(many.contains("log.files_kept: 1001, expected at most 1000"), "{many}");
        let loud = said("[log]\nlevel = \"loud\"").expect_err("no level");
        assert!(loud.contains("log.level: `loud` is none of off, error,"), "{loud}");
        assert!(said("storage_lease = 1").expect_err("no such key").contains("unknown field"));
        let listening = |texts: &[&str]| {
            let listen = texts.iter().map(|text| text.parse().expect("an address")).collect();
            Config { listen, ..config.clone() }.validate().expect_err("refused")
        };
        let twice = listening(&["[::1]:7000", "127.0.0.1:7000", "[::1]:7000"]);
        assert!(twice.starts_with("listen: [::1]:7000 stands there twice"), "{twice}");
        let reached = listening(&["0.0.0.0:7000"]);
        assert!(reached.starts_with("listen: 0.0.0.0:7000 can be reached"), "{reached}");
        let nowhere = Config { directory: "".into(), ..config };
        assert_eq!(nowhere.validate(), Err("directory: an empty path".to_owned()));
    }
}
