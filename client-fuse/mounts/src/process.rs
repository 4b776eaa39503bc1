//! Processes of this machine that are daemons of mounts, or may be.
//!
//! A daemon says by its socket whose it is (`socket.rs`), but only in its own network namespace, and not before it has
//! mounted: that no daemon of a mount is heard does not make it dead. The kernel shows the processes of all those
//! namespaces, and the mount's connection ends with the last that has it open. So one that runs, is not heard and has
//! a connection open may be the daemon; newer kernels also say which connection it is, by the number of its device.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};

/// What the kernel calls a daemon: its program's name, or that of a link to it, in 15 bytes.
const PROGRAMS: [&str; 3] = ["emberfs-fuse", "mount.emberfs", "mount.fuse.embe"];
/// What a connection is open by.
const DEVICE: &str = "/dev/fuse";
/// What stands before a connection's number.
const CONNECTION: &str = "fuse_connection:";

/// A process that may serve a mount, though it does not say so.
#[derive(Debug)]
pub struct Unheard {
    /// Its number.
    pub number: Pid,
    /// It, whoever has its number later.
    pub process: OwnedFd,
}

/// Whether a process is a mount's daemon of this user: nobody else is ever sent a signal.
#[must_use]
pub fn is_daemon(pid: Pid, user: u32) -> bool {
    runs_our_program(&folder(pid)) && owner(&folder(pid)) == Some(user)
}

/// Whether a process has ended, though its parent may not have taken note.
#[must_use]
pub fn has_ended(process: &OwnedFd) -> bool {
    let mut end = [PollFd::new(process, PollFlags::IN)];
    poll(&mut end, Some(&Timespec::default())).is_ok_and(|ended| ended > 0)
}

/// A process that may serve the mount of this device, and is none of those that were `heard`. A mount of a user is
/// served by that user or by root, and unmounted by none but these.
#[must_use]
pub fn unheard(device: &str, heard: &[Pid]) -> Option<Unheard> {
    let ours = geteuid().as_raw();
    let all = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut unheard = numbers.filter_map(Pid::from_raw).filter(|pid| !heard.contains(pid));
    unheard.find_map(|number| {
        // Held before it is looked at: what is found then is of this process, and of no later one.
        let process = pidfd_open(number, PidfdFlags::empty()).ok()?;
        let folder = folder(number);
        let may = |user| ours == 0 || user == ours || user == 0;
        let serves = runs_our_program(&folder)
            && owner(&folder).is_some_and(may)
            && may_serve(&connections(&folder), device)
            && !has_ended(&process);
        serves.then_some(Unheard { number, process })
    })
}

fn folder(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()))
}

fn runs_our_program(process: &Path) -> bool {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    PROGRAMS.contains(&name.trim_end())
}

fn owner(process: &Path) -> Option<u32> {
    fs::metadata(process).ok().map(|process| process.uid())
}

/// What was found of a process's connections: for each what the kernel says of it.
fn connections(process: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for file in fs::read_dir(process.join("fd"))? {
        let file = file?;
        let is_ours = match fs::read_link(file.path()) {
            Ok(target) => target == Path::new(DEVICE),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if is_ours {
            let said = fs::read_to_string(process.join("fdinfo").join(file.file_name()));
            found.push(said.unwrap_or_default());
        }
    }
    Ok(found)
}

/// Whether one of these connections may be that of a device. Whoever does not let us see them may have it.
fn may_serve(connections: &io::Result<Vec<String>>, device: &str) -> bool {
    let is_it = |said: &String| may_be(said, device);
    connections
        .as_ref()
        .map_or_else(|error| error.kind() != ErrorKind::NotFound, |all| all.iter().any(is_it))
}

/// Whether a connection that this process has open may be that of a device: an older kernel does not say.
#[must_use]
pub fn connects(connection: impl AsFd, device: &str) -> bool {
    let number = connection.as_fd().as_raw_fd();
    let said = fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
    may_be(&said.unwrap_or_default(), device)
}

/// Whether a connection of which the kernel says this may be that of a device.
fn may_be(said: &str, device: &str) -> bool {
    let stated = said.lines().find_map(|line| line.strip_prefix(CONNECTION));
    stated.is_none_or(|stated| Some(stated.trim()) == device.split(':').nth(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_another_name_is_no_daemon() {
        let ours = rustix::process::getpid();
        assert!(!is_daemon(ours, geteuid().as_raw()));
        assert!(!has_ended(&pidfd_open(ours, PidfdFlags::empty()).expect("it runs")));
    }

    #[test]
    fn a_connection_is_told_from_another_where_the_kernel_says_which_it_is() {
        let of = |number: &str| format!("pos:\t0\nino:\t90\nfuse_connection:\t{number}\n");
        let serves = |all: &[String]| may_serve(&Ok(all.to_owned()), "0:57");
        assert!(!serves(&[]), "it has not begun, or has ended");
        assert!(serves(&[of("5"), of("57")]) && !serves(&[of("5"), of("157")]));
        assert!(serves(&["pos:\t0\n".to_owned()]), "an older kernel");
        let fails = |kind| may_serve(&Err(io::Error::from(kind)), "0:57");
        assert!(fails(ErrorKind::PermissionDenied) && !fails(ErrorKind::NotFound));
    }

    #[test]
    fn what_a_process_has_open_is_found() {
        let ours = folder(rustix::process::getpid());
        let before = connections(&ours).expect("our own").len();
        let Ok(_device) = fs::File::options().read(true).write(true).open(DEVICE) else {
            return;
        };
        assert!(connections(&ours).expect("our own").len() > before);
    }
}
