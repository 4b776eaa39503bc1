//! Where the daemon of a mount listens to the commands that look for it.
//!
//! At a socket without a file, in the abstract name space of its network: that goes with the process, and never lies.
//! The name says the mount's device, as [`MountTable`](crate::MountTable) has it, and the process. Anybody may have
//! taken it: then something that nobody could guess stands behind it. So a name is found by how it begins, and who
//! listens there is asked of the kernel.
//!
//! ```text
//!   @emberfs-mount/0:57/4711, or @emberfs-mount/0:57/4711/8f3e0c6b52a97d14
//! ```

use std::collections::BTreeMap;

use rustix::process::Pid;

/// How the names of the sockets begin, behind the byte 0 of that name space.
const SOCKETS: &str = "emberfs-mount/";
/// The kernel's list of sockets; connections stand there too.
const TABLE: &str = "/proc/net/unix";

/// Such a socket, as its name says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its name, behind the byte 0.
    pub name: String,
    /// The device of the mount's file system: `0:57`.
    pub device: String,
    /// The process that listens, or did.
    pub process: Pid,
}

/// The name at which the daemon of a device's mount listens, behind the byte 0.
#[must_use]
pub fn socket(device: &str, process: u32) -> String {
    format!("{SOCKETS}{device}/{process}")
}

/// All such sockets of this network namespace, each once; none where the kernel's list cannot be read.
#[must_use]
pub fn sockets() -> Vec<Socket> {
    let table = std::fs::read(TABLE).unwrap_or_default();
    listed(&String::from_utf8_lossy(&table))
}

/// Those in the kernel's list, which shows the byte 0 as `@`.
fn listed(table: &str) -> Vec<Socket> {
    let names = table.lines().filter_map(|line| line.split_ascii_whitespace().nth(7));
    let sockets = names.filter_map(|name| Socket::new(name.strip_prefix('@')?));
    let once: BTreeMap<_, _> = sockets.map(|socket| (socket.name.clone(), socket)).collect();
    once.into_values().collect()
}

impl Socket {
    fn new(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(SOCKETS)?.split('/');
        let (device, process) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        Some(Self { name: name.to_owned(), device, process: Pid::from_raw(process)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_are_found_by_the_names_of_their_sockets_once_each() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000: 00000002 00000000 00010000 0001 01 11 @emberfs-mount/0:57/7\n\
            0000: 00000003 00000000 00000000 0001 03 12 @emberfs-mount/0:57/7\n\
            0000: 00000003 00000000 00000000 0001 03 13\n\
            0000: 00000002 00000000 00010000 0001 01 14 /run/emberfs-mount/0:57/7\n\
            0000: 00000002 00000000 00010000 0001 01 15 @emberfs-mount/0:58/8/8f3e0c6b52a97d14\n\
            0000: 00000002 00000000 00010000 0001 01 16 @emberfs-mount/0:59\n\
            0000: 00000002 00000000 00010000 0001 01 17 @emberfs-mount/0:60/0\n";
        let is = |name: &str, device: &str, process| Socket {
            name: name.to_owned(),
            device: device.to_owned(),
            process: Pid::from_raw(process).expect("not 0"),
        };
        let found = [
            is("emberfs-mount/0:57/7", "0:57", 7),
            is("emberfs-mount/0:58/8/8f3e0c6b52a97d14", "0:58", 8),
        ];
        assert_eq!(listed(table), found);
    }

    #[test]
    fn a_name_says_what_it_was_made_of() {
        let name = socket("0:57", 7);
        let found = Socket::new(&name).expect("one of ours");
        assert_eq!((found.device.as_str(), found.process.as_raw_nonzero().get()), ("0:57", 7));
        assert_eq!((found.name, name.as_str()), (name.clone(), "emberfs-mount/0:57/7"));
    }
}
