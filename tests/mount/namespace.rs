//! What would change the machine, in mounts and processes of its own: a device that everybody may open,
//! programs in `/sbin`, lines of `/etc/fstab`. All of it is gone when the shell ends.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;

use crate::local::LocalCluster;
use crate::mounted::{Mounted, cluster, fuse, must};

/// The shell begins in an empty directory that everybody may enter, with the programs and the directory of
/// clusters below it.
const BEGIN: &str = "
mount -t tmpfs -o mode=755 tmpfs .; cd \"$PWD\"
mkdir programs config m; mount --bind \"$programs\" programs; export PATH=$PWD/programs:$PATH
cp \"$EMBERFS_CONFIG_DIR/clusters.toml\" config; chmod 755 config; chmod 644 config/*
export EMBERFS_CONFIG_DIR=$PWD/config
no() { if \"$@\" >said 2>&1; then echo \"permitted: $*\"; exit 1; fi; }
";

fn alone(cluster: &LocalCluster, script: &str) {
    let space = tempfile::tempdir().expect("a temporary directory");
    let fuse = fuse(cluster);
    let mut shell = Command::new("unshare");
    // Unmounting passes into it, so that it holds no other test's mount.
    shell.args(["--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child"]);
    shell.args(["--mount-proc", "sh", "-ec", &format!("{BEGIN}{script}")]);
    shell.envs(fuse.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("programs", fuse.get_program().to_string_lossy().trim_end_matches("emberfs-fuse"));
    must(shell.current_dir(space.path()));
}

/// A cluster, if this may have mounts of its own.
fn cluster_alone(test: &str, programs: &[&str]) -> Option<LocalCluster> {
    let may = Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]).output();
    if !rustix::process::geteuid().is_root() || !may.is_ok_and(|output| output.status.success()) {
        println!("skipped: {test}: no mount namespace of its own");
        return None;
    }
    cluster(test, programs)
}

#[test]
fn who_is_not_root_mounts_too() {
    let Some(cluster) = cluster_alone("who_is_not_root_mounts_too", &["setpriv", "fusermount3"])
    else {
        return;
    };
    let mount = Mounted::start(&cluster, "");
    fs::create_dir(mount.at("theirs")).expect("made");
    chown(mount.at("theirs"), Some(1000), Some(1000)).expect("given away");
    mount.leave();
    alone(
        &cluster,
        "mknod -m 666 fuse c 10 229; mount --bind fuse /dev/fuse
         : > fuse.conf; chmod 644 fuse.conf; mount --bind fuse.conf /etc/fuse.conf
         install -d -o 1000 -g 1000 home home/m; cd home; mkfifo -m 666 announced
         user='setpriv --reuid 1000 --regid 1000 --clear-groups'
         start() { $user emberfs-fuse local m -o $1 --foreground --announce > announced & fuse=$!
                   read line < announced; test $line = mounted; }
         start log=log
         grep \" $PWD/m rw,nosuid,nodev.* fuse.emberfs local .*user_id=1000\" /proc/self/mountinfo
         $user sh -c 'echo text > m/theirs/f; cat m/theirs/f; cp /bin/true m/theirs; m/theirs/true'
         test \"$($user stat -c %u:%s m/theirs/f)\" = 1000:5
         no $user touch m/f; no ls m
         $user fusermount3 -u m; wait $fuse
         start log=log,ro,noexec
         no $user touch m/theirs/g; no $user m/theirs/true; $user grep text m/theirs/f
         kill -9 $fuse; no wait $fuse; no $user ls m; no $user emberfs umount m/none
         $user emberfs umount --force m; no grep $PWD/m /proc/self/mountinfo
         no $user emberfs-fuse local m -o log=log,allow_other --foreground
         grep 'user_allow_other' said
         no $user emberfs-fuse local m -o log=log,suid --foreground; grep 'only root may' said",
    );
    cluster.down();
}

#[test]
fn mount_finds_it_and_remounts_it() {
    let Some(cluster) = cluster_alone("mount_finds_it_and_remounts_it", &["mount", "umount"])
    else {
        return;
    };
    alone(
        &cluster,
        "mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /sbin/
         for name in mount.emberfs mount.fuse.emberfs; do
             ln -s $PWD/programs/emberfs-fuse /sbin/$name
         done
         status() { code=0; \"$@\" || code=$?; echo $code; }
         test $(status mount -t emberfs -o cache=all local:/ m) = 1
         test $(status mount -t emberfs local:/ /bin/true) = 32
         mount -t emberfs -o log=$PWD/log,noatime local:/ m; touch m/f
         mount -o remount,ro m; no touch m/f; grep Read-only said
         grep \" $PWD/m ro,nosuid,nodev,noatime\" /proc/self/mountinfo
         mount -o remount,rw,exec m; touch m/f; umount m
         echo \"local $PWD/m emberfs defaults,ro,_netdev,nofail,log=$PWD/log 0 0\" > fstab
         mount -T fstab m; no touch m/f; cat m/f; mount -T fstab -o remount,rw m; touch m/f; umount m
         mount -t fuse.emberfs -o log=$PWD/log local:/ m; cat m/f; umount m
         no cat m/f
         flags() { mount -t emberfs -o log=$PWD/log,$1 local:/ m
                   grep \" $PWD/m \" /proc/self/mountinfo | cut -d ' ' -f 6; umount m; }
         case $(flags suid,dev) in *nosuid,nodev*) ;; *) exit 1 ;; esac
         case $(flags allow_suid,allow_dev) in *nosuid* | *nodev*) exit 1 ;; rw*) ;; *) exit 1 ;; esac",
    );
    cluster.down();
}
