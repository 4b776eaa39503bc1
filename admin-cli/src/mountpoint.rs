//! Mounting and unmounting: by `emberfs-fuse` and `fusermount3`, as any user would.

use std::fmt::Write;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use emberfs_client::ClusterAddress;

use crate::local::process;
use crate::mount_daemon::{self, Daemon, Waiting};

/// What the kernel calls our mounts.
const TYPE: &str = "fuse.emberfs";
/// Links on the way of one path at most, as the kernel has it.
const LINKS_MAX: u32 = 40;

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

/// What is mounted at a path, as far as can be told without asking the file system there, which may hang.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing of ours.
    Nothing,
    /// One of ours, with its daemon.
    Served(Box<Daemon>),
    /// One of ours. No daemon of it is found: it is dead, another user's, or in another network namespace.
    Deserted,
}

/// What is mounted at `path`.
pub(crate) async fn found(path: &Path) -> Found {
    let Some(device) = device(&table(), path) else { return Found::Nothing };
    let here = escaped(path);
    let its = mount_daemon::all().await.into_iter().find(|daemon| daemon.is_of(&device, &here));
    let Some(mut daemon) = its else { return Found::Deserted };
    // One that hangs has not said it.
    daemon.path = path.display().to_string();
    Found::Served(Box::new(daemon))
}

/// Refuses a path where one of ours is mounted already.
pub(crate) async fn refuse_mounted(path: &Path) -> Result<()> {
    let at = path.display();
    match found(path).await {
        Found::Nothing => Ok(()),
        Found::Served(_) => bail!("{at} is mounted already"),
        Found::Deserted => bail!("{at} is a mount without a daemon: `emberfs umount --force {at}`"),
    }
}

/// Unmounts `path`, and waits until its daemon is gone: then all that was written is safe. If that is done
/// already and its daemon still writes, only that is waited for.
///
/// With [`Waiting::gives_up`] also a mount that is in use; what is not written in time is lost then.
pub(crate) async fn unmount(path: &Path, how: Waiting<'_>) -> Result<()> {
    let path = &resolved(&table(), path)?;
    let device = device(&table(), path);
    let (here, all) = (escaped(path), mount_daemon::all().await);
    let is_its = |daemon: &Daemon| match &device {
        Some(device) if daemon.is_of(device, &here) => true,
        _ => daemon.path == here && !daemon.serves(),
    };
    let mut daemons: Vec<_> = all.into_iter().filter(is_its).collect();
    // One that hangs has not said it.
    daemons.iter_mut().for_each(|daemon| daemon.path = path.display().to_string());
    ensure!(
        device.is_some() || !daemons.is_empty(),
        "{}: no EmberFS is mounted there, and no daemon still writes what was",
        path.display()
    );
    if device.is_some() {
        let_go(path, how.gives_up)?;
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

/// A path without links. A mount of ours ends the search: neither it nor what is below is asked what it is, as the
/// servers may be dead, and who waits for them then cannot even be killed. To read a link asks nobody else.
fn resolved(table: &str, path: &Path) -> Result<PathBuf> {
    let wrong = || path.display().to_string();
    let mut left = std::path::absolute(path).with_context(wrong)?;
    let (mut found, mut links) = (PathBuf::new(), 0);
    loop {
        let mut parts = left.components();
        match parts.next() {
            None | Some(Component::Prefix(_)) => return Ok(found),
            Some(Component::CurDir) => {}
            Some(Component::RootDir) => found = PathBuf::from("/"),
            Some(Component::ParentDir) => {
                found.pop();
            }
            Some(Component::Normal(name)) => found.push(name),
        }
        let rest = parts.as_path();
        if device(table, &found).is_some() {
            found.extend(rest);
            return Ok(found);
        }
        left = match std::fs::read_link(&found) {
            Ok(target) => {
                links += 1;
                ensure!(links <= LINKS_MAX, "{}: too many links", path.display());
                found.pop();
                target.join(rest)
            }
            Err(error)
                if [ErrorKind::InvalidInput, ErrorKind::NotFound].contains(&error.kind()) =>
            {
                rest.to_owned()
            }
            Err(error) => return Err(error).with_context(wrong),
        };
    }
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
    let table = table();
    let path = resolved(&table, path)?;
    let (at, mut above) = (path.display(), path.ancestors());
    if above.next().is_some_and(|path| device(&table, path).is_some()) {
        return Ok(path);
    }
    if let Some(mount) = above.find(|path| device(&table, path).is_some()) {
        bail!("{at} lies in the mount at {}: a mount in it would hang with it", mount.display());
    }
    ensure!(!path.is_file(), "{at} is a file: mount at a directory");
    std::fs::create_dir_all(&path).with_context(|| at.to_string())?;
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

    #[test]
    fn links_are_followed_up_to_a_mount_of_ours() {
        let top = tempfile::tempdir().expect("a temporary directory");
        let top = top.path().canonicalize().expect("there");
        std::fs::create_dir_all(top.join("a/b")).expect("made");
        std::fs::write(top.join("file"), "").expect("written");
        for (link, target) in [("to", "a/../a"), ("loop", "loop"), ("m/in", "/none")] {
            std::fs::create_dir_all(top.join("m")).expect("made");
            std::os::unix::fs::symlink(target, top.join(link)).expect("made");
        }
        std::os::unix::fs::symlink(top.join("m"), top.join("a/there")).expect("made");
        let mounted = format!("1 1 0:57 / {} rw - {TYPE} local:/ rw\n", top.join("m").display());
        let found = |table: &str, path: &str| {
            let found = resolved(table, &top.join(path)).map_err(|error| format!("{error:#}"))?;
            Ok::<_, String>(found.strip_prefix(&top).map(Path::to_owned).unwrap_or(found))
        };
        assert_eq!(found("", "to/b/../there/none/deep"), Ok("m/none/deep".into()));
        assert_eq!(found("", "m/in"), Ok("/none".into()));
        assert_eq!(found(&mounted, "m/in/deep"), Ok("m/in/deep".into()), "nobody is asked");
        assert_eq!(found(&mounted, "to/there"), Ok("m".into()));
        assert!(found("", "loop").expect_err("for ever").contains("too many links"));
        assert!(found("", "file/deep").expect_err("no directory").contains("file/deep"));
    }
}
