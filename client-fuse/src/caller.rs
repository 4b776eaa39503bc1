//! On whose behalf the kernel asks.

use std::sync::Arc;

use emberfs_client::{Credentials, Groups};

/// A calling process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its user, by which the file system judges.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its thread; 0 where the kernel itself asks.
    pub pid: u32,
}

/// The supplementary groups of a thread, which waits in a system call meanwhile.
struct ThreadGroups(u32);

impl Caller {
    /// As the client knows it; groups are read only where they decide.
    #[must_use]
    pub fn credentials(self) -> Credentials {
        let Self { uid, gid, pid } = self;
        Credentials { uid, gid, groups: Arc::new(ThreadGroups(pid)) }
    }
}

impl Groups for ThreadGroups {
    fn groups(&self) -> Vec<u32> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0));
        groups_of(&status.unwrap_or_default())
    }
}

fn groups_of(status: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    line.split_whitespace().filter_map(|group| group.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_from_the_kernel() {
        assert_eq!(groups_of("Name:\tx\nGroups:\t5 60 700 \nNStgid:\t1\n"), [5, 60, 700]);
        assert_eq!(groups_of("Groups:\t \n"), [0_u32; 0]);
        assert_eq!(ThreadGroups(0).groups(), [0_u32; 0], "the kernel has none");
    }
}
