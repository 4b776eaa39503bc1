//! What a lossy disk keeps and forgets, as a program meets it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;

use crate::disk::{LossyDisk, can_be};

const BYTES: [u8; 8192] = [7; 8192];

fn written(path: &Path, flags: OFlags) -> File {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).custom_flags(flags.bits().cast_signed());
    let mut file = options.open(path).expect("opens");
    file.write_all(&BYTES).expect("written");
    file
}

fn sync_names(directory: &Path) {
    File::open(directory).and_then(|directory| directory.sync_all()).expect("synced");
}

#[test]
fn what_was_synced_is_there_and_nothing_else() {
    if !can_be("what_was_synced_is_there_and_nothing_else") {
        return;
    }
    let top = tempfile::tempdir().expect("a temporary directory");
    let path = top.path().join("disk");
    let mut disk = LossyDisk::mount(&path);
    let at = |name: &str| path.join(name);
    let none = OFlags::empty();
    written(&at("synced"), none).sync_data().expect("synced");
    written(&at("renamed"), none).sync_all().expect("synced");
    drop(written(&at("page-cache"), none));
    drop(written(&at("direct"), OFlags::DIRECT));
    drop(written(&at("each-write"), OFlags::DSYNC));
    drop(written(&at("each-direct"), OFlags::DSYNC | OFlags::DIRECT));
    let grown = written(&at("grown"), none);
    fallocate(&grown, FallocateFlags::empty(), 0, 1 << 20).expect("grown");
    grown.sync_data().expect("synced");
    sync_names(&path);
    grown.write_all_at(&[9; 512], 512).expect("written");
    grown.set_len(600).expect("cut");
    written(&at("nameless"), none).sync_all().expect("synced");
    fs::rename(at("renamed"), at("again")).expect("renamed");
    fs::remove_file(at("synced")).expect("removed");
    let cut = grown.metadata().expect("open").len();
    drop(grown);

    disk.power_off(None);
    let refused = fs::read(at("direct")).expect_err("no power");
    assert_eq!(refused.raw_os_error(), Some(Errno::IO.raw_os_error()));
    disk.power_on();
    let found = |name: &str| fs::read(at(name)).ok();
    for name in ["synced", "renamed", "each-write", "each-direct"] {
        assert_eq!(found(name).as_deref(), Some(&BYTES[..]), "{name}");
    }
    for name in ["page-cache", "direct"] {
        assert_eq!(found(name).as_deref(), Some(&[][..]), "{name}");
    }
    for name in ["nameless", "again"] {
        assert_eq!(found(name), None, "{name}");
    }
    let mut whole = BYTES.to_vec();
    whole.resize(1 << 20, 0);
    assert_eq!((cut, found("grown") == Some(whole)), (600, true));
}
