//! Who holds what this process wants: a port, or the lock on a file.
//!
//! The kernel's tables say it, as far as this user may see: `1234 (nginx)`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor};

/// Which process listens on `port`.
#[must_use]
pub(crate) fn of_port(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_sockets(&table, port))
        .collect();
    let processes = fs::read_dir("/proc").ok()?;
    processes.filter_map(Result::ok).find_map(|process| {
        let number = process.file_name().to_string_lossy().parse().ok()?;
        holds(&process.path(), &inodes).then(|| named(number))
    })
}

/// Which process holds the lock on `file`. Some file systems have other device numbers in the kernel's table than
/// they tell their users: then nobody is seen.
#[must_use]
pub(crate) fn of_lock(file: &Path) -> Option<String> {
    let file = file.metadata().ok()?;
    let place = format!("{:02x}:{:02x}:{}", major(file.dev()), minor(file.dev()), file.ino());
    locker(&fs::read_to_string("/proc/locks").ok()?, &place).map(named)
}

fn named(number: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{number}/comm")).unwrap_or_default();
    format!("{number} ({})", name.trim())
}

/// The sockets of a `/proc/net/tcp` table that listen on `port`, by their inode numbers.
fn listening_sockets(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (_, local_port) = local.rsplit_once(':')?;
        let same = u16::from_str_radix(local_port, 16) == Ok(port);
        (same && *state == LISTEN).then(|| format!("socket:[{inode}]"))
    };
    table.lines().skip(1).filter_map(of_line).collect()
}

/// Whether a process has one of these sockets open.
fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(open) = fs::read_dir(process.join("fd")) else { return false };
    open.filter_map(Result::ok)
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()))
}

/// Who holds the lock on a file in a `/proc/locks` table: `MAJOR:MINOR:INODE`, the first two in hexadecimal. Those
/// who wait for it stand behind an arrow; a process that is not of this name space has no number.
fn locker(table: &str, place: &str) -> Option<u32> {
    let mut holders = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, number, at, ..] = fields[..] else { return None };
        (at == place).then(|| number.parse().ok()).flatten()
    });
    holders.find(|number| *number != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_lock_is_told_from_who_waits_and_from_who_is_elsewhere() {
        let table = "1: FLOCK  ADVISORY  WRITE 708 fe:00:131 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 709 fe:00:131 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 711 fe:00:132 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 0 fe:00:133 0 EOF\n";
        let holder = |place| locker(table, place);
        assert_eq!(holder("fe:00:131"), Some(708));
        assert_eq!([holder("fe:00:132"), holder("fe:00:133"), holder("fe:00:13")], [None; 3]);
    }
}
