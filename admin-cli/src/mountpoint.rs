//! Mounting and unmounting: by `emberfs-fuse` and `fusermount3`, as any user would.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use emberfs_client::ClusterAddress;

use crate::local::process;

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

/// Unmounts `path`. With `force` also one whose daemon is dead, or that is in use.
pub(crate) fn unmount(path: &Path, force: bool) -> Result<()> {
    let flags = if force { "-uz" } else { "-u" };
    let mut command = Command::new("fusermount3");
    let output = command.arg(flags).arg("--").arg(path).stdin(Stdio::null()).output();
    let output = output.context("cannot start fusermount3: install the package fuse3")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let hint = if force { "" } else { "; --force unmounts what is in use or has no daemon" };
        bail!("{}: {}{hint}", path.display(), said.trim());
    }
    Ok(())
}

/// Whether one of our mounts is at `path`, alive or not.
pub(crate) fn is_mounted(path: &Path) -> bool {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    stands_in(&table, path)
}

/// Whether the daemon of the mount at `path` is alive.
pub(crate) fn answers(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn stands_in(table: &str, path: &Path) -> bool {
    let path = escaped(path);
    table.lines().any(|line| {
        let mut parts = line.split(" - ");
        let at = parts.next().and_then(|fields| fields.split(' ').nth(4));
        let kind = parts.next().and_then(|rest| rest.split(' ').next());
        at == Some(path.as_str()) && kind == Some(TYPE)
    })
}

/// A path as the kernel's table has it: blanks and backslashes in octal.
fn escaped(path: &Path) -> String {
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
        assert!(stands_in(table, Path::new("/mnt/a b")));
        assert!(!stands_in(table, Path::new("/mnt/a")));
        assert!(!stands_in(table, Path::new("/mnt/other")));
    }
}
