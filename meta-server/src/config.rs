//! The configuration of a metadata member: one TOML file.
//!
//! ```toml
//! directory = "/var/lib/emberfs/meta"   # formatted by `emberfs-meta format`
//! listen = ["127.0.0.1:7000"]
//! ```
//!
//! A group of several says in each member's file, alike, where all of them listen, and in each which one it is:
//!
//! ```toml
//! members = ["10.0.0.1:7000", "10.0.0.2:7000", "10.0.0.3:7000"]
//! node = 2
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
use emberfs_daemon::metrics;
use emberfs_daemon::reference::texts;
use emberfs_layout::NodeId;
use emberfs_meta_server_consensus::MemberId;
use emberfs_transport::Address;
use serde::{Deserialize, Serialize};

/// The shortest storage lease: several heartbeats must fit into half of it.
const LEASE_MS_MIN: u32 = 500;
/// The longest: for so long writes wait when a server dies.
pub(crate) const LEASE_MS_MAX: u32 = 60_000;

/// How many members vote in a group: an even number would survive no more deaths than one less.
const MEMBER_COUNTS: [usize; 3] = [1, 3, 5];

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
        /// Where all members of its group listen, this one among them, each a host and a port: the same list in
        /// each member's file. One, 3 or 5 of them; a majority must run. Left out, the member is alone. A group
        /// keeps the number that it began with.
        #[serde(default, with = "texts")]
        pub members: Vec<Address>,
        /// Which member of its group this is: its place in `members`, from 1.
        #[serde(default = "default_node")]
        pub node: u32,
        /// How long after its last answer to a storage server the leader takes that one for gone, in
        /// milliseconds; the server itself stops serving after half of it. Shorter, and a pause of a busy
        /// machine costs a replica its place; longer, and writes wait longer for a dead one. Each member goes by its own
        /// while it leads, so it is best the same in all files; a new leader waits for what the one before granted.
        #[serde(default = "default_lease_ms")]
        pub storage_lease_ms: u32,
        /// Where it tells its metrics to Prometheus, an IP address and a port, such as 127.0.0.1:9700; left out:
        /// nowhere.
        pub metrics: Option<SocketAddr>,
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

    /// The same, as the group counts.
    #[must_use]
    pub fn member(&self) -> MemberId {
        MemberId(u64::from(self.node))
    }

    /// How many members its group has.
    #[must_use]
    pub fn member_count(&self) -> u8 {
        u8::try_from(self.members.len().max(1)).expect("checked to be 5 at most")
    }

    /// The other members, and where they listen.
    pub(crate) fn others(&self) -> Vec<(MemberId, Address)> {
        let all = (1..).map(MemberId).zip(self.members.iter().cloned());
        all.filter(|(member, _)| *member != self.member()).collect()
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
        self.check_members()?;
        if !(LEASE_MS_MIN..=LEASE_MS_MAX).contains(&self.storage_lease_ms) {
            return Err(format!("storage_lease_ms: from {LEASE_MS_MIN} to {LEASE_MS_MAX}"));
        }
        let beyond = self.listen_beyond_loopback_without_authentication;
        listen::check(&self.listen, beyond).map_err(|error| error.to_string())?;
        metrics::check(self.metrics, beyond, Some(metrics::BEYOND_KEY))
            .map_err(|error| error.to_string())?;
        self.log.validate()
    }
}

impl Config {
    fn check_members(&self) -> Result<(), String> {
        let (node, count) = (self.node, self.members.len());
        if node == 0 {
            return Err("node: members are numbered from 1".to_owned());
        }
        if !MEMBER_COUNTS.contains(&count.max(1)) {
            return Err(format!("members: {count}, expected 1, 3 or 5"));
        }
        if let Some(twice) = (1..count).find(|&at| self.members[..at].contains(&self.members[at])) {
            return Err(format!("members: {} stands there twice", self.members[twice]));
        }
        if count > 0 && node as usize > count {
            return Err(format!("node: {node}, but `members` lists {count}"));
        }
        Ok(())
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
        assert_eq!((config.member_count(), config.others()), (1, Vec::new()));
        let three = said("members = [\"a:1\", \"b:1\", \"c:1\"]\nnode = 2").expect("a group");
        let others: Vec<_> = three.others().iter().map(|(id, at)| format!("{id} {at}")).collect();
        assert_eq!((three.member_count(), others), (3, vec!["1 a:1".into(), "3 c:1".into()]));
        for (members, node, words) in [
            ("[\"a:1\", \"b:1\"]", 1, "members: 2, expected 1, 3 or 5"),
            ("[\"a:1\", \"b:1\", \"a:1\"]", 1, "members: a:1 stands there twice"),
            ("[\"a:1\", \"b:1\", \"c:1\"]", 4, "node: 4, but `members` lists 3"),
            ("[\"a\"]", 1, "`a` is no address"),
        ] {
            let text = format!("members = {members}\nnode = {node}");
            let refused = said(&text).expect_err("no group");
            assert!(refused.contains(words), "{refused}");
        }
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
