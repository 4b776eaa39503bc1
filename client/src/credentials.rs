//! On whose behalf a call is made.
//!
//! Supplementary groups are sent only where the server says that they matter: a mount reads them for each
//! calling process, which costs more than most calls.

use std::fmt;
use std::sync::Arc;

use emberfs_wire::meta::{Caller, Mode};

/// Looks up supplementary groups when they matter.
pub trait Groups: Send + Sync {
    /// The groups, as far as they can be found.
    fn groups(&self) -> Vec<u32>;
}

/// A user, a group, and where the supplementary groups come from.
#[derive(Clone)]
pub struct Credentials {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Asked for the supplementary groups where they matter.
    pub groups: Arc<dyn Groups>,
}

/// Groups that are known.
#[derive(Clone, Debug, Default)]
pub struct KnownGroups(pub Vec<u32>);

impl Groups for KnownGroups {
    fn groups(&self) -> Vec<u32> {
        self.0.clone()
    }
}

impl Credentials {
    /// The superuser, who needs no groups.
    #[must_use]
    pub fn root() -> Self {
        Self { uid: 0, gid: 0, groups: Arc::new(KnownGroups::default()) }
    }

    /// As the wire has it, groups not looked up.
    pub(crate) fn caller(&self) -> Caller {
        Caller { uid: self.uid, gid: self.gid, groups: None }
    }

    /// As the wire has it, groups looked up.
    pub(crate) fn caller_with_groups(&self) -> Caller {
        Caller { groups: Some(self.groups.groups()), ..self.caller() }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}:{})", self.uid, self.gid)
    }
}

/// What `/proc/self/status` says of this process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) credentials: Credentials,
    pub(crate) umask: Mode,
}

impl Process {
    /// This process. Where `/proc` cannot be read, it is nobody, who may do the least.
    pub(crate) fn this() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self::parse(&status)
    }

    fn parse(status: &str) -> Self {
        const NOBODY: u32 = 65_534;
        let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key));
        // Real, effective, saved, file system's: the last is the one that files are judged by.
        let id = |key| line(key)?.split_whitespace().nth(3)?.parse().ok();
        let groups = line("Groups:").unwrap_or_default().split_whitespace();
        let groups = KnownGroups(groups.filter_map(|group| group.parse().ok()).collect());
        let umask = line("Umask:").and_then(|text| u16::from_str_radix(text.trim(), 8).ok());
        Self {
            credentials: Credentials {
                uid: id("Uid:").unwrap_or(NOBODY),
                gid: id("Gid:").unwrap_or(NOBODY),
                groups: Arc::new(groups),
            },
            umask: Mode(umask.unwrap_or(0o022)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_s_ids_are_read() {
        let status = "Name:\tx\nUmask:\t0027\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \n";
        let process = Process::parse(status);
        let caller = process.credentials.caller_with_groups();
        assert_eq!((caller.uid, caller.gid), (4, 8));
        assert_eq!(caller.groups, Some(vec![9, 10]));
        assert_eq!(process.umask, Mode(0o027));
        assert_eq!(process.credentials.caller().groups, None);
    }

    #[test]
    fn an_unreadable_process_is_nobody() {
        assert_eq!(Process::parse("").credentials.uid, 65_534);
    }
}
