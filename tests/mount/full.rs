//! Mounts of clusters whose disks are full.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use emberfs_client::{Bytes, FileOffset, FsError, OpenOptions as NativeOptions};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::local::LocalCluster;
use crate::mounted::{Mounted, cluster, refused, until, words};

/// Bytes of a chunk.
const CHUNK: usize = 1 << 20;
/// So many surely do not fit.
const CHUNKS_MAX: u64 = 500;

/// Has its disk take no more than so much.
fn shrink(cluster: &LocalCluster, mib: u32) {
    cluster.down();
    let file = cluster.directory().join("storage-1/storage.toml");
    let config = fs::read_to_string(&file).expect("`up` wrote it");
    fs::write(&file, format!("disk_mib_max = {mib}\n{config}")).expect("written");
    cluster.up();
}

/// Writes until not another chunk fits.
async fn fill(cluster: &LocalCluster) {
    let client = cluster.client().await;
    let new = NativeOptions::new().write(true).create_new(true);
    let file = client.fs().open("filler", &new).await.expect("made");
    let bytes = Bytes::from(vec![1; CHUNK]);
    for chunk in 0..CHUNKS_MAX {
        if let Err(error) = file.write_at(FileOffset(chunk * CHUNK as u64), bytes.clone()).await {
            assert_eq!(error, FsError::NoSpace.into());
            file.close().await.expect("closed");
            return client.close().await.expect("said");
        }
    }
    panic!("{CHUNKS_MAX} chunks fit");
}

/// Bytes that could not be written, of a file without a name: who reads it still is refused, and reads no zeros.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_written_is_no_zeros_to_who_reads_a_removed_file() {
    let test = "what_was_not_written_is_no_zeros_to_who_reads_a_removed_file";
    let Some(cluster) = cluster(test, &[]) else { return };
    shrink(&cluster, 100);
    let mount = Mounted::start(&cluster, "");
    let path = mount.at("f");
    fs::write(&path, "x").expect("written");
    // The kernel's pages have what was written, whatever became of it.
    let direct = OFlags::DIRECT.bits().cast_signed();
    let reader = OpenOptions::new().read(true).custom_flags(direct).open(&path).expect("there");
    let writer = OpenOptions::new().write(true).open(&path).expect("there");
    fs::remove_file(&path).expect("removed");
    fill(&cluster).await;
    writer.write_all_at(&vec![2; 4 * CHUNK], 0).expect("gathered");
    let full = Errno::NOSPC.raw_os_error();
    refused(writer.sync_all(), full);
    drop(writer);
    let mut some = [0; 100];
    // Its descriptor is released after the program goes on.
    for _ in 0..100 {
        refused(reader.read_at(&mut some, CHUNK as u64), full);
    }
    let clients = || cluster.must(&["client", "list", "--json"]);
    let open = || clients().contains("\"open_for_writing\": 1");
    assert!(open(), "{}", clients());
    drop(reader);
    until("it is given up", || !open());
    mount.leave();
    cluster.down();
}

/// Bytes that could not be written take nothing from those that are.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_can_be_read_beside_what_is_not() {
    let Some(cluster) = cluster("what_is_written_can_be_read_beside_what_is_not", &[]) else {
        return;
    };
    shrink(&cluster, 100);
    let mut mount = Mounted::start(&cluster, "");
    let path = mount.at("f");
    fs::write(&path, vec![1; CHUNK]).expect("written");
    let writer = OpenOptions::new().write(true).open(&path).expect("there");
    writer.sync_all().expect("safe");
    fill(&cluster).await;
    writer.write_all_at(&vec![2; CHUNK], 3 * CHUNK as u64).expect("gathered");
    let full = Errno::NOSPC.raw_os_error();
    refused(writer.sync_all(), full);
    let direct = OFlags::DIRECT.bits().cast_signed();
    let reader = OpenOptions::new().read(true).custom_flags(direct).open(&path).expect("there");
    let mut some = vec![0; CHUNK];
    reader.read_exact_at(&mut some, 0).expect("it is at the servers");
    assert!(some.iter().all(|byte| *byte == 1));
    refused(reader.read_at(&mut some, 3 * CHUNK as u64), full);
    // Behind the last byte that the servers have, and before the last one.
    refused(reader.read_at(&mut some, 2 * CHUNK as u64), full);
    drop((reader, writer));
    cluster.must(&["rm", "ember:/filler"]);
    cluster.must(&["umount", &mount.path().display().to_string()]);
    assert!(mount.wait().success(), "{}", mount.log());
    cluster.down();
}

/// What a program was told of holds the end of the mount up: how that is ended is said at once.
#[tokio::test(flavor = "multi_thread")]
async fn who_unmounts_is_told_that_there_is_no_space() {
    let Some(cluster) = cluster("who_unmounts_is_told_that_there_is_no_space", &[]) else { return };
    shrink(&cluster, 100);
    let mut mount = Mounted::start(&cluster, "");
    let writer = fs::File::create_new(mount.at("f")).expect("made");
    fill(&cluster).await;
    writer.write_all_at(&vec![2; 4 * CHUNK], 0).expect("gathered");
    refused(writer.sync_all(), Errno::NOSPC.raw_os_error());
    drop(writer);
    let path = mount.path().display().to_string();
    let output = cluster.emberfs(&["umount", "--timeout", "3", &path]);
    let said = words(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let step = format!(
        "The cluster has no space: delete files, or `emberfs umount {path} --force` (loses "
    );
    // Before, it may have said that the daemon still serves.
    let is_it = |line: &&str| line.starts_with("waiting: ") && line.contains("still writes");
    let waiting: Vec<_> = said.lines().filter(is_it).collect();
    assert_eq!(waiting.len(), 1, "numbers do not change: {said}");
    assert!(waiting[0].contains(&step) && said.contains("after 3 s "), "{said}");
    cluster.must(&["rm", "ember:/filler"]);
    // It is unmounted since then, and takes its leave by itself.
    assert!(mount.wait().success(), "{}", mount.log());
    cluster.down();
}
