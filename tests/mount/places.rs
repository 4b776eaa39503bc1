//! Where something may be mounted, and what is unmounted: whatever the path is made of, and only what is ours.

use std::ffi::{CStr, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use rustix::mount::{MountFlags, mount};

use crate::local::LocalCluster;
use crate::mounted::{Mounted, cluster, fuse, unmount, words};

fn emberfs(cluster: &LocalCluster, words: &[&OsStr]) -> Output {
    cluster.command("emberfs").args(words).output().expect("it starts")
}

/// Runs `emberfs umount`, which must fail and say all of this.
fn stays(cluster: &LocalCluster, path: &Path, said: &[&str]) {
    let output = emberfs(cluster, &[OsStr::new("umount"), path.as_os_str()]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    for word in said {
        assert!(words(&output).contains(word), "should say `{word}`: {}", words(&output));
    }
}

#[test]
fn a_mount_is_found_whatever_its_path_is_made_of() {
    let Some(cluster) = cluster("a_mount_is_found_whatever_its_path_is_made_of", &[]) else {
        return;
    };
    let folder = cluster.folder();
    let names = [&b"\xc3\xbc \xe2\x82\xac"[..], b"a b\tc\nd\\e\\040", b"#1", b"\xff\x1b"];
    for (number, name) in names.into_iter().enumerate() {
        let path = folder.path().join(OsStr::from_bytes(name));
        fs::create_dir(&path).expect("made");
        let log =
            OsString::from(format!("log={}", folder.path().join(number.to_string()).display()));
        let mount = [OsStr::new("mount"), path.as_os_str(), OsStr::new("-o"), &log];
        let output = emberfs(&cluster, &mount);
        assert!(output.status.success(), "{path:?}: {}", words(&output));
        fs::write(path.join("f"), "x").expect("written");
        let output = emberfs(&cluster, &mount);
        assert!(words(&output).contains("is mounted already"), "{path:?}: {}", words(&output));
        let output = emberfs(&cluster, &[OsStr::new("umount"), path.as_os_str()]);
        assert!(output.status.success(), "{path:?}: {}", words(&output));
        assert!(!words(&output).contains("No daemon"), "{path:?}: {}", words(&output));
        assert!(!path.join("f").exists(), "{path:?}");
        stays(&cluster, &path, &["nothing is mounted there"]);
    }
    cluster.down();
}

#[test]
fn what_is_not_ours_stays_mounted() {
    let test = "what_is_not_ours_stays_mounted";
    let Some(cluster) = cluster(test, &[]) else { return };
    if !rustix::process::geteuid().is_root() {
        println!("skipped: {test}: only root mounts others");
        return;
    }
    let mut ours = Mounted::start(&cluster, "");
    let folder = cluster.folder();
    let (empty, link) = (folder.path().join("empty"), folder.path().join("link"));
    fs::create_dir(&empty).expect("made");
    symlink(ours.path(), &link).expect("a link");
    let somewhere = ["; EmberFS is mounted at ", &ours.path().display().to_string()];
    stays(&cluster, &empty, &["empty: nothing is mounted there"]);
    stays(&cluster, &empty, &somewhere);
    stays(&cluster, &folder.path().join("none"), &["none: no such directory"]);
    stays(&cluster, &folder.path().join("none"), &somewhere);
    stays(&cluster, &folder.path().join("none/none"), &["none/none: no such directory"]);

    // One of others alone, and one over ours.
    for path in [empty, ours.path()] {
        mount("none", &path, "tmpfs", MountFlags::empty(), None::<&CStr>).expect("root may");
        fs::write(path.join("theirs"), "").expect("written");
        stays(&cluster, &path, &["what is mounted there is tmpfs, and not EmberFS"]);
        assert!(path.join("theirs").exists(), "it is still there");
        unmount(&path);
    }
    assert_eq!(ours.ended(), None);
    let output = emberfs(&cluster, &[OsStr::new("umount"), link.as_os_str()]);
    assert!(output.status.success(), "{}", words(&output));
    assert!(ours.wait().success(), "{}", ours.log());
    cluster.down();
}

#[test]
fn only_at_directories_something_is_mounted_and_only_what_is_mounted_is_remounted() {
    let test = "only_at_directories_something_is_mounted_and_only_what_is_mounted_is_remounted";
    let Some(cluster) = cluster(test, &[]) else { return };
    let folder = cluster.folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "text").expect("written");
    fs::create_dir(at("empty")).expect("made");
    let log = format!("log={}", at("log").display());
    let run = |path: &Path, options: &str| {
        let mut command: Command = fuse(&cluster);
        command.arg("local").arg(path).args(["-o", options]).output().expect("it starts")
    };
    for (path, options, why) in [
        ("file", &*log, "file is no directory"),
        ("none", &log, "none: No such file"),
        ("empty", "remount,ro", "no EmberFS is mounted at"),
        ("none", "remount,ro", "none: No such file"),
    ] {
        let output = run(&at(path), options);
        assert_eq!(output.status.code(), Some(32), "{path}: {}", words(&output));
        assert!(words(&output).contains(why), "{path}: {}", words(&output));
    }
    let file = at("file");
    let mount = [OsStr::new("mount"), file.as_os_str(), OsStr::new("-o"), OsStr::new(&log)];
    let output = emberfs(&cluster, &mount);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("file is no directory"), "{}", words(&output));
    assert!(!at("log").exists(), "no daemon was started");
    assert_eq!(fs::read_to_string(at("file")).expect("there"), "text");
    cluster.down();
}
