//! Mounting and unmounting: by `emberfs-fuse` and `fusermount3`, as any user would.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use emberfs_client::ClusterAddress;

use crate::local::process;
use crate::mount_daemon::{self, Daemon, Waiting};

/// What the kernel calls our mounts.
const TYPE: &str = "fuse.emberfs";

/// Mounts a cluster at `path`; returns when it is mounted. With `foreground`, when it is unmounted.
pub(crate) fn mount(
    cluster: &ClusterAddress,
    path: &Path,
    options: &[String],
    foreground: bool,
) -> Result<()> {
    let addresses: Vec<String> = cluster.meta.iter().map(ToString::to_string).collect();
    let mut command = process::program("emberfs-fuse")?;
    command.arg(format!("{}:/", addresses.join(","))).arg(path);
    options.iter().for_each(|option| {
        command.args(["-o", option]);
    });
    if foreground {
        command.arg("--foreground");
    }
    let status = command.status().context("cannot start emberfs-fuse")?;
    ensure!(
        status.success(),
        "{} is not mounted: emberfs-fuse ended with {status}",
        path.display()
    );
    Ok(())
}

/// Unmounts `path`, and waits until its daemon is gone: then all that was written is safe. If that is done
/// already and its daemon still writes, only that is waited for.
///
/// With [`Waiting::gives_up`] also a mount that is in use; what is not written in time is lost then.
pub(crate) async fn unmount(path: &Path, how: Waiting<'_>) -> Result<()> {
    let path = &resolved(path)?;
    let device = device(&table(), path);
    let (here, all) = (escaped(path), mount_daemon::all().await);
    let is_its = |daemon: &Daemon| match &device {
        Some(device) if daemon.device == *device => true,
        _ => daemon.path == here && !daemon.serves(),
    };
    let daemons: Vec<_> = all.into_iter().filter(is_its).collect();
    if device.is_some() || daemons.is_empty() {
        let dead = daemons.is_empty() && !answers(path);
        let_go(path, how.gives_up || dead)?;
    }
    if daemons.is_empty() {
        eprintln!(
            "{}: unmounted. No daemon of it is found: it is dead, another user's, or in another network \
             namespace. Its log says whether all was written",
            path.display()
        );
    }
    mount_daemon::until_gone(daemons, how).await
}

/// Unmounts, and no more; `lazily` also what is in use.
pub(crate) fn let_go(path: &Path, lazily: bool) -> Result<()> {
    let flags = if lazily { "-uz" } else { "-u" };
    let mut command = Command::new("fusermount3");
    let output = command.arg(flags).arg("--").arg(path).stdin(Stdio::null()).output();
    let output = output.context("cannot start fusermount3: install the package fuse3")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let hint = if lazily { "" } else { "; --force unmounts also what is in use" };
        bail!("{}: {}{hint}", path.display(), said.trim());
    }
    Ok(())
}

/// Whether one of our mounts is at `path`, alive or not.
pub(crate) fn is_mounted(path: &Path) -> bool {
    device(&table(), path).is_some()
}

/// Whether the daemon of the mount at `path` is alive.
pub(crate) fn answers(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn table() -> String {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()
}

/// The device of our topmost mount at `path`.
fn device(table: &str, path: &Path) -> Option<String> {
    let path = escaped(path);
    let mut found = table.lines().filter_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let (device, at) = (fields.next()?, fields.nth(1)?);
        (at == path && system.split(' ').next() == Some(TYPE)).then_some(device)
    });
    found.next_back().map(str::to_owned)
}

/// A path without links on the way; its last part may be dead, so nobody asks what it is.
fn resolved(path: &Path) -> Result<PathBuf> {
    let wrong = || path.display().to_string();
    let path = std::path::absolute(path).with_context(wrong)?;
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(path) };
    Ok(std::fs::canonicalize(above).with_context(wrong)?.join(name))
}

/// A path as the kernel's table has it: blanks and backslashes in octal.
pub(crate) fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => write!(text, "\\{byte:03o}").expect("memory"),
            other => text.push(char::from(*other)),
        }
    }
    text
}

/// A path that stays the same wherever the process is; the directory is made if it is not there.
pub(crate) fn prepared(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| path.display().to_string())?;
    if path.is_file() {
        bail!("{} is a file: mount at a directory", path.display());
    }
    if !is_mounted(&path) {
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        return std::fs::canonicalize(&path).with_context(|| path.display().to_string());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_mounts_count_and_blanks_are_octal() {
        let table = "36 35 98:0 / /mnt/a\\040b rw,noatime master:1 - fuse.emberfs 127.0.0.1:7/ rw\n\
                     37 35 0:44 / /mnt/other rw - tmpfs tmpfs rw\n";
        let device = |path| device(table, Path::new(path));
        assert_eq!(device("/mnt/a b"), Some("98:0".to_owned()));
        assert_eq!(device("/mnt/a"), None);
        assert_eq!(device("/mnt/other"), None);
    }
}
