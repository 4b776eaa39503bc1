//! What the command line and `-o` say.
//!
//! | `-o` | what it does |
//! | --- | --- |
//! | `ro`, `rw` | changes nothing, or may |
//! | `exec`, `noexec`, `nosuid`, `nodev` | as `mount(8)` has them; `nosuid` and `nodev` hold unless said otherwise |
//! | `suid`, `dev` | root only: programs of others' rights, device files. `mount(8)` takes them for its defaults and does not pass them on: there, and in `/etc/fstab`, say `allow_suid`, `allow_dev` |
//! | `allow_suid`, `allow_dev` | the same, also by way of `mount(8)`; a `remount` withdraws them where it does not say them again |
//! | `noatime`, `relatime`, `dirsync`, … | as `mount(8)` has them |
//! | `allow_other` | other users may use the mount; root's mounts are always so |
//! | `default_permissions` | the kernel looks at mode bits, too, before it asks: also those of pipes, devices and sockets, which it opens by itself. Each directory of a path is asked about once more for that |
//! | `direct_io` | no page cache |
//! | `deadline=SECONDS` | a call that waits for longer fails with ETIMEDOUT, and bytes that at the end of the mount do not get on for so long are given up; without it both wait. What such a call asked for may have been done, or be done later: a file that could not be created may be there, empty, and a name may be made, moved or removed when the servers answer again. Only a file's attributes and length do not change late: what is written after waits for that. A mount whose cluster does not answer for so long is not made, nor after 30 s in any case |
//! | `log=FILE`, `log_level=LEVEL` | where the daemon logs, and how much |
//! | `metrics=IP:PORT` | where the daemon tells its metrics to Prometheus: on loopback only |
//! | `remount` | changes the flags of the mount that is there |
//! | `user_id=N`, `group_id=N` | with `remount` only: `mount(8)` repeats what the kernel lists; they stay |
//!
//! What only `/etc/fstab` needs (`_netdev`, `nofail`, `x-…`, …) is accepted and means nothing here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use emberfs_client::{AddressError, ClusterAddress};
use emberfs_daemon::{logging, metrics};
use rustix::mount::MountFlags;
use thiserror::Error;

/// How and where something is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// What is listed as the mount's source.
    pub source: String,
    /// The cluster: its name, or where its metadata servers listen.
    pub cluster: String,
    /// Where.
    pub path: PathBuf,
    /// The kernel's flags.
    pub flags: MountFlags,
    /// Whether other users may use it.
    pub allow_other: bool,
    /// Whether the kernel looks at mode bits.
    pub default_permissions: bool,
    /// Whether the page cache is not used.
    pub direct_io: bool,
    /// Whether a mount that is there is changed.
    pub remount: bool,
    /// How long it waits; `None`: as long as it must.
    pub deadline: Option<Duration>,
    /// Where the daemon logs.
    pub log: Option<PathBuf>,
    /// How much it logs.
    pub log_level: Option<String>,
    /// Where it tells its metrics.
    pub metrics: Option<SocketAddr>,
}

/// What can be wrong with the options.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OptionError {
    /// Something that nobody knows.
    #[error("-o {option}: no such option")]
    Unknown {
        /// What was given.
        option: String,
    },
    /// Something with a value that makes no sense.
    #[error("-o {option}: {why}")]
    Value {
        /// What was given.
        option: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something that only root may ask for.
    #[error("-o {option}: only root may ask for it: other users' mounts are always nosuid,nodev")]
    RootOnly {
        /// What was given.
        option: String,
    },
    /// A part of a cluster, which cannot be mounted alone.
    #[error("{source_name}: only the root can be mounted: HOSTS:/ or NAME")]
    NotTheRoot {
        /// What was given.
        source_name: String,
    },
    /// Hosts that are none.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// Each word that is a flag of the kernel: its name, the flag, whether it is set.
const FLAGS: &[(&str, MountFlags, bool)] = &[
    ("ro", MountFlags::RDONLY, true),
    ("rw", MountFlags::RDONLY, false),
    ("suid", MountFlags::NOSUID, false),
    ("nosuid", MountFlags::NOSUID, true),
    ("allow_suid", MountFlags::NOSUID, false),
    ("dev", MountFlags::NODEV, false),
    ("allow_dev", MountFlags::NODEV, false),
    ("nodev", MountFlags::NODEV, true),
    ("exec", MountFlags::NOEXEC, false),
    ("noexec", MountFlags::NOEXEC, true),
    ("atime", MountFlags::NOATIME, false),
    ("noatime", MountFlags::NOATIME, true),
    ("diratime", MountFlags::NODIRATIME, false),
    ("nodiratime", MountFlags::NODIRATIME, true),
    ("relatime", MountFlags::RELATIME, true),
    ("norelatime", MountFlags::RELATIME, false),
    ("strictatime", MountFlags::STRICTATIME, true),
    ("sync", MountFlags::SYNCHRONOUS, true),
    ("async", MountFlags::SYNCHRONOUS, false),
    ("dirsync", MountFlags::DIRSYNC, true),
];

/// Flags that hold unless root says otherwise: for others `fusermount3` sets them whatever is asked for.
const ROOTS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Words of `/etc/fstab` that are for others to read.
const ACCEPTED: &[&str] = &[
    "defaults", "_netdev", "auto", "noauto", "nofail", "user", "nouser", "users", "owner", "group",
    "loud", "silent",
];

impl MountOptions {
    /// Of a source (`HOST:PORT[,…]:/` or `NAME`), a path and the words of `-o`.
    ///
    /// # Errors
    /// [`OptionError`].
    pub fn new(source: &str, path: PathBuf, words: &[String]) -> Result<Self, OptionError> {
        Self::of(source, path, words, rustix::process::geteuid().is_root())
    }

    fn of(
        source: &str,
        path: PathBuf,
        words: &[String],
        is_root: bool,
    ) -> Result<Self, OptionError> {
        let (cluster, inside) = match source.split_once('/') {
            Some((cluster, inside)) => (cluster.strip_suffix(':').unwrap_or(cluster), inside),
            None => (source, ""),
        };
        if !inside.is_empty() || cluster.is_empty() {
            return Err(OptionError::NotTheRoot { source_name: source.to_owned() });
        }
        if cluster.contains(':') {
            cluster.parse::<ClusterAddress>()?;
        }
        let mut options = Self {
            source: source.to_owned(),
            cluster: cluster.to_owned(),
            path: std::path::absolute(&path).unwrap_or(path),
            flags: ROOTS,
            allow_other: is_root,
            default_permissions: false,
            direct_io: false,
            remount: false,
            deadline: None,
            log: None,
            log_level: None,
            metrics: None,
        };
        let words = words.iter().flat_map(|words| words.split(','));
        options.remount = words.clone().any(|word| word == "remount");
        words.filter(|word| !word.is_empty()).try_for_each(|word| options.take(word, is_root))?;
        Ok(options)
    }

    fn take(&mut self, word: &str, is_root: bool) -> Result<(), OptionError> {
        if let Some((_, flag, set)) = FLAGS.iter().find(|(name, ..)| *name == word) {
            if !is_root && !set && ROOTS.contains(*flag) {
                return Err(OptionError::RootOnly { option: word.to_owned() });
            }
            self.flags.set(*flag, *set);
            return Ok(());
        }
        let unknown = || OptionError::Unknown { option: word.to_owned() };
        match word.split_once('=').unwrap_or((word, "")) {
            ("allow_other", "") => self.allow_other = true,
            ("default_permissions", "") => self.default_permissions = true,
            ("direct_io", "") => self.direct_io = true,
            ("remount", "") => {}
            ("user_id" | "group_id", _) if self.remount => {}
            ("deadline", time) => {
                let why = || "expected a number of seconds, above 0".to_owned();
                let wrong = || OptionError::Value { option: word.to_owned(), why: why() };
                self.deadline = Some(seconds(time).ok_or_else(wrong)?);
            }
            ("log", file) if !file.is_empty() => self.log = Some(file.into()),
            ("log_level", level) if !level.is_empty() => {
                logging::check_level(level).map_err(|error| OptionError::Value {
                    option: word.to_owned(),
                    why: error.to_string(),
                })?;
                self.log_level = Some(level.to_owned());
            }
            ("metrics", address) => {
                let wrong = |why| OptionError::Value { option: word.to_owned(), why };
                let why = || "expected an IP address and a port, such as 127.0.0.1:9720".to_owned();
                self.metrics = Some(address.parse().map_err(|_| wrong(why()))?);
                metrics::check(self.metrics, false, None)
                    .map_err(|error| wrong(error.to_string()))?;
            }
            ("comment", _) => {}
            (name, _) if name.starts_with("x-") || name.starts_with("X-") => {}
            (name, "") if ACCEPTED.contains(&name) => {}
            _ => return Err(unknown()),
        }
        Ok(())
    }
}

/// A time of at least something.
fn seconds(text: &str) -> Option<Duration> {
    let time = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
    (time > Duration::ZERO).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(source: &str, words: &str) -> Result<MountOptions, OptionError> {
        MountOptions::of(source, "/mnt".into(), &[words.to_owned()], true)
    }

    /// `mount(8)` has `suid` and `dev` for defaults, and so passes neither on.
    #[test]
    fn rights_and_devices_are_roots_to_allow_and_never_allowed_unsaid() {
        let flags = |words: &str| parsed("c", words).expect("root may").flags;
        let both = MountFlags::NOSUID | MountFlags::NODEV;
        assert_eq!(flags("rw"), both);
        for words in ["suid,dev", "allow_suid,allow_dev"] {
            assert_eq!(flags(words), MountFlags::empty(), "{words}");
            assert_eq!(flags(&format!("{words},nosuid,nodev")), both, "the last word counts");
        }
        let of_user = |word: &str| MountOptions::of("c", "/mnt".into(), &[word.to_owned()], false);
        for word in ["suid", "dev", "allow_suid", "allow_dev"] {
            let said = of_user(word).expect_err("root only").to_string();
            assert!(said.starts_with(&format!("-o {word}: only root may")), "{said}");
        }
        assert_eq!(of_user("nosuid,nodev,exec").map(|options| options.flags), Ok(both));
    }

    #[test]
    fn a_source_is_hosts_or_a_name_with_or_without_the_root() {
        for (source, cluster) in [
            ("a:7000,b:7000:/", "a:7000,b:7000"),
            ("[::1]:7000:/", "[::1]:7000"),
            ("a:7000", "a:7000"),
            ("training", "training"),
            ("training:/", "training"),
        ] {
            assert_eq!(parsed(source, "").expect("a source").cluster, cluster);
        }
        for wrong in ["a:7000:/sub", "/", ":/", "a:99999:/", "a:7000,b:/"] {
            assert!(parsed(wrong, "").is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_of_mount_and_fstab_are_known_and_others_named() {
        let options = parsed("c", "rw,_netdev,x-systemd.automount,noatime,ro,dev,log=/tmp/l");
        let options = options.expect("all known");
        assert_eq!(options.flags, MountFlags::NOSUID | MountFlags::NOATIME | MountFlags::RDONLY);
        assert_eq!(options.log, Some("/tmp/l".into()));
        assert!(!options.remount && !options.direct_io);
        // As `mount(8)` says what the kernel lists, before what was asked for.
        let listed =
            "ro,nosuid,nodev,noatime,user_id=0,group_id=0,default_permissions,allow_other,remount";
        let listed = parsed("c", listed).expect("all known");
        assert!(listed.remount && listed.default_permissions && !options.default_permissions);
        assert!(parsed("c", "user_id=0").is_err(), "nobody chooses it");
        assert_eq!(
            parsed("c", "deadline=1.5").map(|options| options.deadline),
            Ok(Some(Duration::from_millis(1500)))
        );
        let metrics = parsed("c", "metrics=127.0.0.1:9720").map(|options| options.metrics);
        assert_eq!(metrics, Ok("127.0.0.1:9720".parse().ok()));
        for wrong in ["metrics", "metrics=9720", "metrics=192.0.2.1:9720"] {
            assert!(parsed("c", wrong).is_err(), "{wrong}");
        }
        for wrong in ["deadline", "deadline=", "deadline=0", "deadline=-1", "deadline=soon"] {
            let said = parsed("c", wrong).expect_err("wrong").to_string();
            assert_eq!(said, format!("-o {wrong}: expected a number of seconds, above 0"));
        }
        assert!(parsed("c", "log_level=debug").is_ok());
        let said = parsed("c", "log_level=x=lowd").expect_err("no level").to_string();
        assert!(said.starts_with("-o log_level=x=lowd: "), "{said}");
        let error = parsed("c", "ro,cache=writeback").expect_err("unknown");
        assert_eq!(error.to_string(), "-o cache=writeback: no such option");
    }
}
