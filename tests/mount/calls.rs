//! System calls, one by one.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps,
    XattrFlags,
};
use rustix::io::Errno;

use crate::mounted::{Mounted, cluster, refused};

#[test]
fn names_are_made_moved_and_removed() {
    let Some(cluster) = cluster("names_are_made_moved_and_removed", &[]) else { return };
    let mount = Mounted::start(&cluster, "");
    let at = |name: &str| mount.at(name);
    fs::create_dir_all(at("a/b/c")).expect("made");
    fs::write(at("a/one"), "1").expect("written");
    fs::write(at("a/two"), "22").expect("written");
    refused(File::create_new(at("a/one")), Errno::EXIST.raw_os_error());
    refused(fs::create_dir(at("a")), Errno::EXIST.raw_os_error());
    refused(fs::remove_dir(at("a")), Errno::NOTEMPTY.raw_os_error());
    refused(fs::remove_file(at("a")), Errno::ISDIR.raw_os_error());
    refused(fs::remove_dir(at("a/one")), Errno::NOTDIR.raw_os_error());
    refused(fs::read(at("a/none")), Errno::NOENT.raw_os_error());
    refused(fs::read(at("a/one/x")), Errno::NOTDIR.raw_os_error());
    refused(fs::write(at(&"n".repeat(256)), ""), Errno::NAMETOOLONG.raw_os_error());
    fs::write(at(&"n".repeat(255)), "").expect("a long name");

    fs::rename(at("a/one"), at("a/two")).expect("replaced");
    assert_eq!(fs::read(at("a/two")).expect("there"), b"1");
    refused(fs::rename(at("a"), at("a/b/c/a")), Errno::INVAL.raw_os_error());
    refused(fs::rename(at("a/two"), at("a/b")), Errno::ISDIR.raw_os_error());
    let renamed = |from, to, flags| rustix::fs::renameat_with(CWD, at(from), CWD, at(to), flags);
    refused(renamed("a/two", "a/b", RenameFlags::NOREPLACE), Errno::EXIST.raw_os_error());
    renamed("a/two", "a/three", RenameFlags::NOREPLACE).expect("a new name");
    renamed("a/three", "a/b", RenameFlags::EXCHANGE).expect("both are there");
    assert!(at("a/three/c").is_dir() && fs::read(at("a/b")).expect("there") == b"1");
    renamed("a/three", "a/b", RenameFlags::EXCHANGE).expect("both are there");
    fs::rename(at("a/three"), at("a/two")).expect("moved");
    fs::rename(at("a/b"), at("moved")).expect("moved");
    assert!(at("moved/c").is_dir());

    symlink("a/two", at("link")).expect("linked");
    assert_eq!(fs::read_link(at("link")).expect("a link").to_str(), Some("a/two"));
    assert_eq!(fs::read(at("link")).expect("followed"), b"1");
    fs::hard_link(at("a/two"), at("hard")).expect("linked");
    assert_eq!(fs::metadata(at("hard")).expect("there").nlink(), 2);
    fs::remove_file(at("a/two")).expect("removed");
    assert_eq!(fs::read(at("hard")).expect("still there"), b"1");
    refused(fs::read(at("link")), Errno::NOENT.raw_os_error());
    assert_eq!(fs::metadata(at("moved")).expect("there").nlink(), 3);
    File::open(mount.path()).expect("a directory").sync_all().expect("fsync of it");
    mount.leave();
    cluster.down();
}

#[test]
fn attributes_are_kept_to_the_nanosecond() {
    let Some(cluster) = cluster("attributes_are_kept_to_the_nanosecond", &[]) else { return };
    let mount = Mounted::start(&cluster, "");
    let file = mount.at("f");
    fs::write(&file, "x").expect("written");
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    for last_modification in [time(981_173_106, 123_456_789), time(-2, 250_000_000)] {
        let times = Timestamps { last_access: time(1, 2), last_modification };
        rustix::fs::utimensat(CWD, &file, &times, AtFlags::empty()).expect("set");
        let found = fs::metadata(&file).expect("there");
        assert_eq!((found.atime(), found.atime_nsec()), (1, 2));
        let modified = (found.mtime(), found.mtime_nsec());
        assert_eq!(modified, (last_modification.tv_sec, last_modification.tv_nsec));
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o2640)).expect("set");
    assert_eq!(fs::metadata(&file).expect("there").mode(), 0o102_640);
    let long = File::options().write(true).open(&file).expect("opened");
    long.set_len(3_000_000).expect("longer");
    long.set_len(10).expect("shorter");
    drop(long);
    assert_eq!(fs::read(&file).expect("there"), b"x\0\0\0\0\0\0\0\0\0");
    assert!(fs::metadata(&file).expect("there").mtime() > 0, "a cut is a change");
    let space = rustix::fs::statvfs(mount.path()).expect("statfs");
    assert!(space.f_blocks >= space.f_bavail && space.f_bavail > 0 && space.f_namemax == 255);
    mount.leave();
    cluster.down();
}

#[test]
fn what_is_open_stays_when_its_name_goes() {
    let Some(cluster) = cluster("what_is_open_stays_when_its_name_goes", &[]) else { return };
    let mount = Mounted::start(&cluster, "");
    let path = mount.at("f");
    fs::write(&path, vec![7; 2_000_000]).expect("written");
    let mut reader = File::open(&path).expect("opened");
    let mut writer = OpenOptions::new().append(true).read(true).open(&path).expect("opened");
    fs::remove_file(&path).expect("removed");
    fs::write(&path, "another").expect("written");
    writer.write_all(b"more").expect("appended");
    assert_eq!(writer.metadata().expect("still there").nlink(), 0);
    // The metadata server's collector passes meanwhile, more than once.
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_secs(3) {
        let mut seen = Vec::new();
        reader.rewind().expect("rewound");
        reader.read_to_end(&mut seen).expect("still there");
        assert_eq!(seen.len(), 2_000_004);
        assert!(seen[..2_000_000].iter().all(|byte| *byte == 7));
    }
    assert_eq!(fs::read(&path).expect("there"), b"another");
    drop((reader, writer));
    mount.leave();
    cluster.down();
}

#[test]
fn opening_cuts_creates_and_excludes() {
    let Some(cluster) = cluster("opening_cuts_creates_and_excludes", &[]) else { return };
    let mount = Mounted::start(&cluster, "");
    let path = mount.at("f");
    let open = |flags: OFlags| rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600));
    let made = open(OFlags::CREATE | OFlags::RDONLY).expect("made to be read");
    refused(rustix::io::write(&made, b"x"), Errno::BADF.raw_os_error());
    refused(open(OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY), Errno::EXIST.raw_os_error());
    fs::write(&path, "12345").expect("written");
    let kept = open(OFlags::CREATE | OFlags::RDWR).expect("opened");
    rustix::io::write(&kept, b"ab").expect("written");
    let cut = open(OFlags::TRUNC | OFlags::WRONLY).expect("cut");
    assert_eq!(rustix::fs::fstat(&kept).expect("there").st_size, 0, "also what was gathered");
    rustix::io::pwrite(&kept, b"z", 3).expect("written");
    drop((made, cut, kept));
    assert_eq!(fs::read(&path).expect("there"), b"\0\0\0z");
    mount.leave();
    cluster.down();
}

#[test]
fn a_listing_is_whole_and_can_be_resumed() {
    let Some(cluster) = cluster("a_listing_is_whole_and_can_be_resumed", &["python3"]) else {
        return;
    };
    let mount = Mounted::start(&cluster, "");
    let names: BTreeSet<String> = (0..1500).map(|number| format!("name-{number}")).collect();
    names.iter().for_each(|name| drop(File::create_new(mount.at(name)).expect("made")));
    let listed = |path| {
        let entries = fs::read_dir(path).expect("a directory").map(|entry| entry.expect("one"));
        entries.map(|entry| entry.file_name().into_string().expect("text")).collect::<Vec<_>>()
    };
    let found = listed(mount.path());
    assert_eq!(found.len(), names.len(), "none twice");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), names);
    // Removed while it is listed: what stays is seen, once.
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(mount.path()).expect("a directory") {
        let name = entry.expect("one").file_name().into_string().expect("text");
        fs::remove_file(mount.at(&name)).expect("removed");
        assert!(seen.insert(name), "none twice");
    }
    assert_eq!(seen, names);
    assert_eq!(listed(mount.path()), [""; 0]);
    mount.leave();
    cluster.down();
}

#[test]
fn calls_that_are_not_there_say_so() {
    let Some(cluster) = cluster("calls_that_are_not_there_say_so", &["cp"]) else { return };
    let mount = Mounted::start(&cluster, "");
    let file = File::create_new(mount.at("f")).expect("made");
    let none = Errno::OPNOTSUPP.raw_os_error();
    refused(rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 4096), none);
    refused(rustix::fs::fallocate(&file, FallocateFlags::PUNCH_HOLE, 0, 4096), none);
    refused(rustix::fs::fsetxattr(&file, "user.a", b"x", XattrFlags::empty()), none);
    refused(rustix::fs::fgetxattr(&file, "user.a", &mut [0; 8][..]), none);
    drop(file);
    // Programs fall back from it.
    fs::write(mount.at("a"), vec![5; 100_000]).expect("written");
    fs::copy(mount.at("a"), mount.at("b")).expect("copied");
    assert_eq!(fs::read(mount.at("b")).expect("there"), vec![5; 100_000]);
    mount.leave();
    cluster.down();
}

#[test]
fn special_files_are_there() {
    let Some(cluster) = cluster("special_files_are_there", &[]) else { return };
    let mount = Mounted::start(&cluster, "");
    let mode = Mode::from_raw_mode(0o640);
    rustix::fs::mknodat(CWD, mount.at("pipe"), FileType::Fifo, mode, 0).expect("made");
    rustix::fs::mknodat(CWD, mount.at("file"), FileType::RegularFile, mode, 0).expect("made");
    let socket = std::os::unix::net::UnixListener::bind(mount.at("socket")).expect("bound");
    let kind = |name| fs::symlink_metadata(mount.at(name)).expect("there").file_type();
    assert!(kind("pipe").is_fifo() && kind("file").is_file() && kind("socket").is_socket());
    std::thread::scope(|scope| {
        scope.spawn(|| fs::write(mount.at("pipe"), "through").expect("somebody reads"));
        assert_eq!(fs::read(mount.at("pipe")).expect("somebody writes"), b"through");
    });
    if rustix::process::geteuid().is_root() {
        let null = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(CWD, mount.at("null"), FileType::CharacterDevice, mode, null)
            .expect("made");
        assert_eq!(fs::metadata(mount.at("null")).expect("there").rdev(), null);
        refused(fs::read(mount.at("null")), Errno::ACCESS.raw_os_error());
    }
    drop(socket);
    mount.leave();
    cluster.down();
}
