//! Two mounts of one cluster, and two descriptors of one file.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use rustix::fs::OFlags;

use crate::local::LocalCluster;
use crate::mounted::{Mounted, cluster};

/// Two mounts of one cluster.
struct Two {
    one: Mounted,
    other: Mounted,
    cluster: LocalCluster,
}

impl Two {
    fn start(test: &str) -> Option<Self> {
        let cluster = cluster(test, &[])?;
        let (one, other) = (Mounted::start(&cluster, ""), Mounted::start(&cluster, ""));
        Some(Self { one, other, cluster })
    }

    fn leave(self) {
        self.one.leave();
        self.other.leave();
        self.cluster.down();
    }
}

/// What reaches the servers before a write returns.
const THROUGH: [OFlags; 3] = [OFlags::DSYNC, OFlags::DIRECT, OFlags::SYNC];

/// Opens a file that is there.
fn open(path: PathBuf, how: &mut OpenOptions, flags: OFlags) -> File {
    how.custom_flags(flags.bits().cast_signed()).open(path).expect("there")
}

/// Opens a file that is there, for writing.
fn for_writing(path: PathBuf, flags: OFlags) -> File {
    open(path, OpenOptions::new().write(true), flags)
}

#[test]
fn what_one_closed_the_other_reads() {
    let Some(two) = Two::start("what_one_closed_the_other_reads") else { return };
    let Two { one, other, .. } = &two;
    fs::write(one.at("f"), "first").expect("written");
    assert_eq!(fs::read(other.at("f")).expect("there"), b"first");
    // It is in the other's page cache now, and must not come from there.
    fs::write(one.at("f"), "later").expect("written");
    assert_eq!(fs::read(other.at("f")).expect("there"), b"later");
    fs::rename(other.at("f"), other.at("g")).expect("renamed");
    assert!(!one.at("f").exists());
    fs::remove_file(one.at("g")).expect("removed");
    assert!(!other.at("g").exists());
    two.leave();
}

#[test]
fn what_was_synced_the_other_sees_with_its_length() {
    let Some(two) = Two::start("what_was_synced_the_other_sees_with_its_length") else { return };
    let Two { one, other, .. } = &two;
    let len = || fs::metadata(other.at("f")).expect("there").len();
    let mut file = File::create_new(one.at("f")).expect("made");
    file.write_all(&[1; 5000]).expect("written");
    file.sync_all().expect("synced");
    assert_eq!(len(), 5000);
    // Gathered bytes count at once on the mount that has them, also by name and in a listing.
    file.write_all(&[2; 5000]).expect("written");
    assert_eq!(file.metadata().expect("there").len(), 10_000);
    file.write_all(&[3; 5000]).expect("written");
    assert_eq!(fs::metadata(one.at("f")).expect("there").len(), 15_000);
    for flags in THROUGH {
        let before = len();
        for_writing(one.at("f"), flags).write_all_at(&[4; 4096], before).expect("written");
        assert_eq!(len(), before + 4096);
    }
    let longer = OpenOptions::new().append(true).open(one.at("f"));
    let before = len();
    longer.expect("there").write_all(b"end").expect("written");
    assert_eq!(len(), before + 3);
    drop(file);
    two.leave();
}

/// What a mount knows of the length may be from before the other's cut.
#[test]
fn what_is_written_through_is_seen_though_the_other_cut_the_file() {
    let test = "what_is_written_through_is_seen_though_the_other_cut_the_file";
    let Some(two) = Two::start(test) else { return };
    let Two { one, other, .. } = &two;
    fs::write(one.at("f"), [1; 10_000]).expect("written");
    for flags in THROUGH {
        let through = for_writing(one.at("f"), flags);
        through.write_all_at(&[2; 8192], 0).expect("written");
        fs::write(other.at("f"), []).expect("cut");
        through.write_all_at(&[3; 4096], 0).expect("written");
        let seen = fs::read(other.at("f")).expect("there");
        assert!(seen == [3; 4096], "{} bytes", seen.len());
    }
    two.leave();
}

/// Bytes that one had safe at the servers and has not spoken of yet when the other cuts the file.
#[test]
fn what_the_other_cut_away_does_not_come_back_as_zeros() {
    let test = "what_the_other_cut_away_does_not_come_back_as_zeros";
    let Some(two) = Two::start(test) else { return };
    let Two { one, other, .. } = &two;
    fs::write(one.at("f"), [1; 10_000]).expect("written");
    let through = for_writing(one.at("f"), OFlags::DSYNC);
    through.write_all_at(&[2; 100], 9_000).expect("written");
    let cut = for_writing(other.at("f"), OFlags::empty());
    cut.set_len(10).expect("cut");
    through.sync_all().expect("synced");
    assert_eq!(fs::read(other.at("f")).expect("there"), [1; 10]);
    assert_eq!(fs::metadata(one.at("f")).expect("there").len(), 10);
    // Most of it leaves by itself, the rest perhaps after the cut.
    let mut file = File::create_new(one.at("g")).expect("made");
    file.write_all(&vec![3; 20 << 20]).expect("written");
    fs::write(other.at("g"), []).expect("cut");
    file.sync_all().expect("synced");
    let seen = fs::read(other.at("g")).expect("there");
    assert!(seen.last().is_none_or(|byte| *byte == 3), "{} bytes", seen.len());
    drop((through, cut, file));
    two.leave();
}

#[test]
fn appenders_never_meet() {
    let Some(two) = Two::start("appenders_never_meet") else { return };
    let Two { one, other, .. } = &two;
    let append = |path: PathBuf, by: u8| {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("opened");
        for number in 0..60_u32 {
            let mut record = vec![by; 1000];
            record[..4].copy_from_slice(&number.to_be_bytes());
            file.write_all(&record).expect("appended");
        }
    };
    std::thread::scope(|scope| {
        for by in 0..4 {
            let path = if by % 2 == 0 { one.at("log") } else { other.at("log") };
            scope.spawn(move || append(path, by));
        }
    });
    let log = fs::read(one.at("log")).expect("there");
    assert_eq!(log.len(), 4 * 60 * 1000);
    let mut next = [0_u32; 4];
    for record in log.chunks(1000) {
        let by = record[999];
        assert!(record[4..].iter().all(|byte| *byte == by), "a record is whole");
        let number = u32::from_be_bytes(record[..4].try_into().expect("four bytes"));
        assert_eq!(number, next[usize::from(by)], "each one's records are in order");
        next[usize::from(by)] += 1;
    }
    assert_eq!(next, [60; 4]);
    two.leave();
}

#[test]
fn descriptors_of_one_file_see_each_other_s_bytes() {
    let Some(cluster) = cluster("descriptors_of_one_file_see_each_other_s_bytes", &[]) else {
        return;
    };
    let mount = Mounted::start(&cluster, "");
    let path = mount.at("f");
    let one = File::create_new(&path).expect("made");
    let two = OpenOptions::new().read(true).write(true).open(&path).expect("opened");
    let mut expected = vec![0; 52_000];
    for round in 0..50_u8 {
        // Both gather; what is written later lies over what was written before.
        let at = usize::from(round) * 1000;
        for (file, by, range) in
            [(&one, round, at..at + 3000), (&two, 100 + round, at + 500..at + 1500)]
        {
            expected[range.clone()].fill(by);
            file.write_all_at(&expected[range.clone()], range.start as u64).expect("written");
        }
    }
    let mut uncached = open(path.clone(), OpenOptions::new().read(true), OFlags::DIRECT);
    let mut seen = Vec::new();
    uncached.read_to_end(&mut seen).expect("read");
    assert!(seen == expected, "{} bytes", seen.len());

    // A cut stands before what is written after it, and cuts what was only gathered.
    one.write_all_at(&[9; 10_000], 60_000).expect("written");
    two.set_len(61_000).expect("cut");
    one.write_all_at(b"!", 61_999).expect("written");
    uncached.seek(SeekFrom::Start(60_990)).expect("seeks");
    let mut seen = Vec::new();
    uncached.read_to_end(&mut seen).expect("read");
    let tail = [vec![9; 10], vec![0; 999], vec![b'!']].concat();
    assert!(seen == tail, "{seen:?}");

    // A time that was set stays, though bytes were written before it and closed after it.
    one.write_all_at(b"x", 0).expect("written");
    let moment = std::time::UNIX_EPOCH + std::time::Duration::new(981_173_106, 123_456_789);
    two.set_modified(moment).expect("set");
    drop((one, two, uncached));
    let found = fs::metadata(&path).expect("there");
    assert_eq!((found.mtime(), found.mtime_nsec()), (981_173_106, 123_456_789));
    mount.leave();
    cluster.down();
}
