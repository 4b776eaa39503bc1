//! What an operator says to a storage server: one TOML file.
//!
//! ```toml
//! cluster   = "0123456789abcdef0123456789abcdef"
//! name      = "storage-1"
//! meta      = ["127.0.0.1:7000"]
//! listen    = ["127.0.0.1:7100"]
//! directory = "/var/lib/emberfs/storage-1"
//! disks     = ["/data/disk-1", "/data/disk-2"]
//! ```
//!
//! All other keys have defaults, which stand in [`Config`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::available_parallelism;

use emberfs_daemon::config::Validate;
use emberfs_daemon::described;
use emberfs_daemon::listen::{self, addresses};
use emberfs_daemon::logging::LogConfig;
use emberfs_daemon::metrics;
use emberfs_daemon::reference::{text, texts};
use emberfs_layout::{ByteLen, ClusterId};
use emberfs_transport::Address;
use emberfs_wire::cluster::DomainId;
use emberfs_wire::limits::{ADDRESSES_MAX, DISKS_MAX, DOMAINS_MAX, NAME_BYTES_MAX, SHARDS_MAX};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Buffers of one shard must hold at least this, in MiB: a chunk of the largest size that comes from a
/// client, one from another server, and two at the disks.
const SHARD_MEMORY_MIB_MIN: u64 = 256;
/// More than any machine has, in MiB: it is said in another unit by mistake.
const MEMORY_MIB_MAX: u64 = 1 << 30;
/// The smallest disk that is worth an index, in MiB.
const DISK_MIB_MIN: u64 = 64;
/// More than any disk has, in MiB: it is said in another unit by mistake.
const DISK_MIB_MAX: u64 = 1 << 40;

described! {
    least = r#"
        cluster = "0123456789abcdef0123456789abcdef"
        name = "storage-1"
        meta = ["127.0.0.1:7000"]
        listen = ["127.0.0.1:7100"]
        directory = "/var/lib/emberfs/storage-1"
        disks = ["/data/disk-1", "/data/disk-2"]
    "#;
    /// The configuration of a storage server.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        /// Which cluster it serves, as `emberfs cluster init` printed it: disks and peers of another are
        /// refused.
        #[serde(with = "text")]
        pub cluster: ClusterId,
        /// What its operator calls it; no two servers of a cluster share a name.
        pub name: String,
        /// Where the members of the metadata group listen.
        #[serde(with = "texts")]
        pub meta: Vec<Address>,
        /// Where it listens, each an IP address and a port.
        #[serde(deserialize_with = "addresses")]
        pub listen: Vec<SocketAddr>,
        /// Where clients and servers reach it, if that differs from `listen`: behind a wildcard or a name.
        #[serde(default, with = "texts")]
        pub advertise: Vec<Address>,
        /// Opens the server to everyone who reaches its addresses: nothing is authenticated yet.
        #[serde(default)]
        pub listen_beyond_loopback_without_authentication: bool,
        /// Its own directory, which remembers its number. Empty or missing at the first start.
        pub directory: PathBuf,
        /// The directories of its disks, each formatted once by `emberfs disk format`.
        pub disks: Vec<PathBuf>,
        /// Threads that own the disks. Default: as many as disks, at most as many as cores; more would wait
        /// for each other.
        pub shards: Option<usize>,
        /// All buffers of all shards together, in MiB. When they are used up, peers wait. Default: 2,048. A
        /// quarter takes in what clients send: that of 16 with all open that a connection may have open.
        #[serde(default = "memory_mib_default")]
        pub memory_mib: u64,
        /// What the chunks of one disk may take, in MiB. Default: what its file system has; a limit is for
        /// disks that hold other things too.
        pub disk_mib_max: Option<u64>,
        /// What it fails with, beyond itself: the number of its rack or zone. Default: it fails alone.
        #[serde(default, with = "domain")]
        pub domain: Option<DomainId>,
        /// Where it tells its metrics to Prometheus, an IP address and a port, such as 127.0.0.1:9700; left out:
        /// nowhere.
        pub metrics: Option<SocketAddr>,
        /// Where it logs, and how much.
        #[serde(default)]
        pub log: LogConfig,
    }
}

impl Config {
    /// How many shards there will be.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        let cores = available_parallelism().map_or(1, usize::from);
        self.shards.unwrap_or(cores).min(self.disks.len()).max(1)
    }

    /// The buffers of one shard.
    #[must_use]
    pub fn shard_memory(&self) -> ByteLen {
        ByteLen((self.memory_mib << 20) / self.shard_count() as u64)
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), String> {
        self.check_counts()?;
        self.check_registration()?;
        self.check_directories()?;
        self.check_listen()?;
        self.check_sizes()?;
        self.log.validate()
    }
}

impl Config {
    fn check_counts(&self) -> Result<(), String> {
        let counted = [
            ("meta", self.meta.len(), 1..=ADDRESSES_MAX),
            ("listen", self.listen.len(), 1..=ADDRESSES_MAX),
            ("advertise", self.advertise.len(), 0..=ADDRESSES_MAX),
            ("disks", self.disks.len(), 1..=DISKS_MAX),
            ("shards", self.shards.unwrap_or(1), 1..=SHARDS_MAX),
        ];
        for (key, count, range) in counted {
            if !range.contains(&count) {
                let (least, most) = (range.start(), range.end());
                return Err(format!("{key}: {count}, expected {least} to {most}"));
            }
        }
        Ok(())
    }

    /// What the metadata group would not take in.
    fn check_registration(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("name: empty".to_owned());
        }
        if self.name.len() > NAME_BYTES_MAX {
            let len = self.name.len();
            return Err(format!("name: {len} bytes, expected at most {NAME_BYTES_MAX}"));
        }
        match self.domain {
            Some(DomainId(large)) if large >= DOMAINS_MAX => {
                Err(format!("domain: {large}, expected less than {DOMAINS_MAX}"))
            }
            _ => Ok(()),
        }
    }

    fn check_directories(&self) -> Result<(), String> {
        let named = [("directory", &self.directory)];
        let disks = self.disks.iter().map(|disk| ("disks", disk));
        if let Some((key, _)) =
            named.into_iter().chain(disks).find(|(_, path)| path.as_os_str().is_empty())
        {
            return Err(format!("{key}: an empty path"));
        }
        if self.disks.contains(&self.directory) {
            let both = self.directory.display();
            return Err(format!("disks: {both} is `directory`: a disk has one of its own"));
        }
        let mut disks = self.disks.clone();
        disks.sort();
        match disks.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(twice) => Err(format!("disks: {} stands there twice", twice[0].display())),
            None => Ok(()),
        }
    }

    fn check_listen(&self) -> Result<(), String> {
        if self.advertise.is_empty() && self.listen.iter().any(|at| at.ip().is_unspecified()) {
            return Err(
                "listen: a wildcard is no address that others can use: say `advertise`".into()
            );
        }
        let beyond = self.listen_beyond_loopback_without_authentication;
        listen::check(&self.listen, beyond).map_err(|error| error.to_string())?;
        metrics::check(self.metrics, beyond, Some(metrics::BEYOND_KEY))
            .map_err(|error| error.to_string())
    }

    fn check_sizes(&self) -> Result<(), String> {
        let (memory, shards) = (self.memory_mib, self.shard_count() as u64);
        let least = SHARD_MEMORY_MIB_MIN * shards;
        if memory < least {
            return Err(format!(
                "memory_mib: {memory}, expected at least {least}: each shard needs {SHARD_MEMORY_MIB_MIN} \
                 (`shards` is {shards}; by default one a disk, at most one a core)"
            ));
        }
        if memory > MEMORY_MIB_MAX {
            return Err(format!("memory_mib: {memory}, expected at most {MEMORY_MIB_MAX}"));
        }
        match self.disk_mib_max {
            Some(small) if small < DISK_MIB_MIN => {
                Err(format!("disk_mib_max: {small}, expected at least {DISK_MIB_MIN}"))
            }
            Some(large) if large > DISK_MIB_MAX => {
                Err(format!("disk_mib_max: {large}, expected at most {DISK_MIB_MAX}"))
            }
            _ => Ok(()),
        }
    }
}

fn memory_mib_default() -> u64 {
    2048
}

/// A failure domain as its number.
mod domain {
    use super::{Deserialize, Deserializer, DomainId, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<DomainId>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(domain) => to.serialize_some(&domain.0),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<DomainId>, D::Error> {
        u32::deserialize(from).map(|number| Some(DomainId(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_daemon::reference::rows;

    const LEAST: &str = r#"
        cluster = "0000000000000000000000000000000a"
        name = "a"
        meta = ["localhost:7000"]
        listen = ["127.0.0.1:7100"]
        directory = "/d"
        disks = ["/d/1", "/d/2"]
    "#;

    /// What is wrong with the least configuration, followed by `more`.
    fn said(more: &str) -> String {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("storage.toml");
        std::fs::write(&file, format!("{LEAST}{more}")).expect("written");
        match emberfs_daemon::config::load::<Config>(&file) {
            Ok(config) => format!("{} on {}", config.name, config.cluster),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_least_is_enough_and_what_is_wrong_is_named() {
        assert_eq!(said(""), "a on 0000000000000000000000000000000a");
        assert_eq!(said("shards = 1\ndomain = 3\nadvertise = [\"a.example:1\"]"), said(""));
        for (more, words) in [
            ("shards = 0", "shards: 0, expected 1 to 1024"),
            (
                "memory_mib = 10\nshards = 1",
                "memory_mib: 10, expected at least 256: each shard needs 256 (`shards` is 1;",
            ),
            ("memory_mib = 2000000000", "memory_mib: 2000000000, expected at most 1073741824"),
            ("disk_mib_max = 1", "disk_mib_max: 1, expected at least 64"),
            ("disk_mib_max = 17592186044480", "disk_mib_max: 17592186044480, expected at most"),
            ("domain = 3000000000", "domain: 3000000000, expected less than 2147483648"),
            ("domain = 2147483648", "domain: 2147483648, expected less than 2147483648"),
            ("advertise = [\"nowhere\"]", "no port"),
            ("advertise = [\"[::]:7100\"]", "`[::]:7100` is no address: a wildcard"),
            ("disk = 1", "unknown field `disk`"),
            (
                "metrics = \"192.0.2.1:9\"",
                "metrics: 192.0.2.1:9 can be reached from other machines",
            ),
            ("metrics = \"localhost\"", "metrics"),
            ("[log]\nfiles_kept = 1001", "log.files_kept: 1001, expected at most 1000"),
            ("[log]\nlevel = \"x=lowd\"", "log.level: `x=lowd`"),
            ("[log]\nlevel = \"warning\"", "log.level: `warning` is none of off, error, warn,"),
            ("[log]\nlevel = \"\"", "log.level: `` is none of"),
            ("[log]\nfile = \"\"", "log.file: empty"),
        ] {
            assert!(said(more).contains(words), "{more}: {}", said(more));
        }
        assert_eq!(said("domain = 2147483647"), said(""));
    }

    #[test]
    fn what_a_start_would_refuse_is_refused_before() {
        let least = toml_of("");
        let said = |change: &dyn Fn(&mut Config)| {
            let mut config = least.clone();
            change(&mut config);
            config.validate().expect_err("refused")
        };
        let listen = |config: &mut Config, texts: &[&str]| {
            config.listen = texts.iter().map(|text| text.parse().expect("an address")).collect();
        };
        let cases: [(String, &str); 8] = [
            (said(&|c| c.name = String::new()), "name: empty"),
            (said(&|c| c.name = "a".repeat(256)), "name: 256 bytes, expected at most 255"),
            (said(&|c| c.directory = "".into()), "directory: an empty path"),
            (said(&|c| c.disks[1] = "".into()), "disks: an empty path"),
            (said(&|c| c.disks[1] = "/d/1/".into()), "disks: /d/1 stands there twice"),
            (said(&|c| c.directory = "/d/2/".into()), "disks: /d/2/ is `directory`"),
            (
                said(&|c| listen(c, &["192.0.2.1:7100"])),
                "listen: 192.0.2.1:7100 can be reached from other machines",
            ),
            (
                said(&|c| listen(c, &["127.0.0.1:7100", "127.0.0.1:7100"])),
                "listen: 127.0.0.1:7100 stands there twice",
            ),
        ];
        for (said, words) in cases {
            assert!(said.starts_with(words), "{said}");
        }
    }

    #[test]
    fn shards_share_the_memory_and_are_no_more_than_disks() {
        let config: Config = toml_of("shards = 9\nmemory_mib = 1024");
        assert_eq!(config.shard_count(), 2);
        assert_eq!(config.shard_memory(), ByteLen(512 << 20));
        let twice = Config { disks: vec!["/d/1".into(), "/d/1".into()], ..config.clone() };
        assert_eq!(twice.validate(), Err("disks: /d/1 stands there twice".to_owned()));
        let anywhere = Config { listen: vec!["0.0.0.0:1".parse().expect("an address")], ..config };
        assert!(anywhere.validate().expect_err("a wildcard").contains("advertise"));
    }

    #[test]
    fn the_sample_is_a_configuration() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("storage.toml");
        let text = emberfs_daemon::sample::text::<Config>("emberfs-storage");
        std::fs::write(&file, &text).expect("written");
        let config = emberfs_daemon::config::load::<Config>(&file).expect("valid");
        assert_eq!(config.disks.len(), 2, "{text}");
        assert!(text.contains("# memory_mib = 2048\n"), "{text}");
    }

    #[test]
    fn every_key_is_described() {
        let rows = rows(&toml_of("memory_mib = 1024\ndomain = 3"));
        let row = |key: &str| rows.iter().find(|row| row.key == key).expect("described");
        let memory = row("memory_mib");
        assert_eq!(memory.value.as_ref().and_then(|v| v.as_integer()), Some(1024));
        assert_eq!(memory.default.as_ref().and_then(|v| v.as_integer()), Some(2048));
        assert!(row("cluster").required && row("meta").required && !row("domain").required);
        assert_eq!(row("domain").value.as_ref().and_then(|v| v.as_integer()), Some(3));
        assert!(row("shards").value.is_none() && row("log.level").value.is_some());
    }

    fn toml_of(more: &str) -> Config {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("storage.toml");
        std::fs::write(&file, format!("{LEAST}{more}")).expect("written");
        emberfs_daemon::config::load(&file).expect("valid")
    }
}
