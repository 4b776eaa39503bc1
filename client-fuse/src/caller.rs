//! On whose behalf the kernel asks.

use std::sync::{Arc, OnceLock};

use emberfs_client::{Credentials, Groups};

/// A calling process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its user, by which the file system judges.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its thread; 0 where the kernel itself asks, or a process that is not seen from here.
    pub pid: u32,
}

/// The supplementary groups of a thread. They are read when the servers ask for them first, while the thread waits in its
/// call, and stay what they were: a file that it opened may be opened anew on its behalf when it is gone, or another
/// thread has its number.
#[derive(Debug)]
struct ThreadGroups {
    thread: u32,
    uid: u32,
    known: OnceLock<Vec<u32>>,
}

impl Caller {
    /// As the client knows it, for one call and what that opens; groups are read only where they decide.
    #[must_use]
    pub fn credentials(self) -> Credentials {
        let Self { uid, gid, pid: thread } = self;
        let groups = ThreadGroups { thread, uid, known: OnceLock::new() };
        Credentials { uid, gid, groups: Arc::new(groups) }
    }
}

impl ThreadGroups {
    /// What they were when this was called first, with what is said of the thread then.
    fn first(&self, status: impl FnOnce() -> String) -> Vec<u32> {
        self.known.get_or_init(|| groups_of(&status(), self.uid)).clone()
    }
}

impl Groups for ThreadGroups {
    fn groups(&self) -> Vec<u32> {
        let status = || std::fs::read_to_string(format!("/proc/{}/status", self.thread));
        self.first(|| status().unwrap_or_default())
    }
}

/// The groups of a thread of this user; none of another's, which has come by the number of one that has ended.
fn groups_of(status: &str, uid: u32) -> Vec<u32> {
    let line = |key| status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    // Real, effective, saved, file system's: the last is the one by which the kernel asks.
    let user = line("Uid:").split_whitespace().nth(3);
    let groups = line("Groups:").split_whitespace();
    let groups = groups.filter(|_| user.is_some_and(|user| user.parse() == Ok(uid)));
    groups.filter_map(|group| group.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uid: u32) -> String {
        format!("Name:\tx\nUid:\t0\t0\t0\t{uid}\nGroups:\t5 60 700 \nNStgid:\t1\n")
    }

    fn groups(thread: u32) -> ThreadGroups {
        ThreadGroups { thread, uid: 7, known: OnceLock::new() }
    }

    #[test]
    fn groups_are_read_from_the_kernel() {
        assert_eq!(groups_of(&status(7), 7), [5, 60, 700]);
        assert_eq!(groups_of("Uid:\t0\t0\t0\t7\nGroups:\t \n", 7), [0_u32; 0]);
        assert_eq!(groups(0).groups(), [0_u32; 0], "the kernel has none");
    }

    #[test]
    fn groups_stay_when_the_thread_is_gone_and_another_lends_none() {
        let opener = groups(4711);
        assert_eq!(opener.first(|| status(7)), [5, 60, 700]);
        assert_eq!(opener.first(String::new), [5, 60, 700]);
        assert_eq!(groups(4711).first(String::new), [0_u32; 0]);
        assert_eq!(groups(4711).first(|| status(8)), [0_u32; 0]);
    }
}
