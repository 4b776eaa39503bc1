//! Disks that run full: the writer is told, what was acknowledged stays, removals make room, and that is written
//! again. On disks of different sizes too, where one replica lacks room and the others have it.

use emberfs_client::{Bytes, Client, ClientError, FileOffset, FsError, OpenOptions, Space};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::local::LocalCluster;
use crate::process::until;

/// Three servers with a disk each, a replica of every chunk on every one.
const THREE: [&str; 4] = ["--storage", "3", "--disks", "1"];
/// Bytes of one file: some chunks and a bit.
const FILE: usize = (3 << 20) + 12_345;
/// What whole blocks may add to a file, in bytes.
const BLOCKS: usize = 64 << 10;
/// Files that were not written whole, at most (a count).
const TORN: usize = 2;
/// Files that surely do not fit (a count).
const FILES_MAX: u64 = 200;

/// Starts a cluster whose disks have room for so many MiB.
fn start(mib: [u32; 3]) -> LocalCluster {
    let cluster = LocalCluster::start(&THREE);
    cluster.down();
    for (server, mib) in (1..).zip(mib) {
        let file = cluster.directory().join(format!("storage-{server}/storage.toml"));
        let config = std::fs::read_to_string(&file).expect("`up` wrote it");
        std::fs::write(&file, format!("disk_mib_max = {mib}\n{config}")).expect("written");
    }
    cluster.up();
    cluster
}

/// What file `number` has.
fn bytes(number: u64) -> Bytes {
    let mut bytes = vec![0; FILE];
    SmallRng::seed_from_u64(number).fill(&mut bytes[..]);
    bytes.into()
}

/// Writes a new file whole.
async fn write(client: &Client, number: u64) -> Result<(), ClientError> {
    let new = OpenOptions::new().write(true).create_new(true);
    let file =
        client.fs().open(format!("file-{number}"), &new).await.expect("a name takes no block");
    let written = file.write_at(FileOffset(0), bytes(number)).await;
    file.close().await.expect("the file is closed, whatever became of the write");
    written
}

/// Writes files from `first` on, until one does not fit; those that did. The one that did not is removed.
async fn fill(client: &Client, first: u64) -> Vec<u64> {
    let mut stored = Vec::new();
    for number in first..first + FILES_MAX {
        match write(client, number).await {
            Ok(()) => stored.push(number),
            Err(error) => {
                assert_eq!(error, FsError::NoSpace.into());
                return stored;
            }
        }
    }
    panic!("{FILES_MAX} files fit");
}

async fn compare(client: &Client, stored: &[u64]) {
    for number in stored {
        let open = OpenOptions::new().read(true);
        let file = client.fs().open(format!("file-{number}"), &open).await.expect("there");
        assert_eq!(file.stat().await.expect("it is up").size.get(), FILE as u64);
        let (read, found) = file.read_at(FileOffset(0), vec![0; FILE]).await;
        assert_eq!(read, Ok(FILE));
        assert!(found == bytes(*number), "file {number} has other bytes");
    }
}

/// Removes them, and waits until only so many others take room.
async fn make_room(client: &Client, gone: impl IntoIterator<Item = u64>, left: usize) {
    let taken = async || {
        let Space { total, free, .. } = client.fs().space().await.expect("it is up");
        total.get() - free.get()
    };
    let gone: Vec<u64> = gone.into_iter().collect();
    // Servers say now and then how full they are: what was said before all was written must not count.
    let before = ((left + gone.len()).saturating_sub(TORN) * FILE) as u64;
    until("the files are seen", async || taken().await >= before).await;
    for number in gone {
        client.fs().remove(format!("file-{number}")).await.expect("removals need no room");
    }
    let after = (left * (FILE + BLOCKS)) as u64;
    until("the room is back", async || taken().await <= after).await;
}

async fn run_full_and_go_on(cluster: &LocalCluster) {
    let client = cluster.client().await;
    let stored = fill(&client, 0).await;
    assert!(stored.len() > 10, "{} files of 3 MiB", stored.len());
    let torn = stored.len() as u64;
    assert!(matches!(write(&client, 1_000).await, Err(ClientError::Fs(FsError::NoSpace))));
    let size = client.fs().stat(format!("file-{torn}")).await.expect("a stat waits for nobody");
    assert!(size.size.get() <= FILE as u64);
    compare(&client, &stored).await;

    let (gone, kept) = stored.split_at(stored.len() / 2);
    make_room(&client, gone.iter().copied().chain([torn, 1_000]), kept.len()).await;
    let again = fill(&client, 2_000).await;
    assert!(again.len() + 2 >= gone.len(), "{} files where {} were", again.len(), gone.len());
    compare(&client, kept).await;
    compare(&client, &again).await;
    client.close().await.expect("left");

    cluster.kill_all();
    for server in cluster.servers() {
        cluster.start_one(&server); // `up` would wait until no disk is full
    }
    let client = cluster.client().await;
    compare(&client, kept).await;
    compare(&client, &again).await;
    let torn = 2_000 + again.len() as u64;
    make_room(&client, kept.iter().copied().chain(again).chain([torn]), 0).await;
    write(&client, 5_000).await.expect("there is room");
    compare(&client, &[5_000]).await;
    client.close().await.expect("left");
    cluster.up();
    cluster.must(&["check"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disks_refuse_what_is_new_and_keep_what_they_have() {
    run_full_and_go_on(&start([96, 96, 96])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_disk_of_a_chain_says_when_it_is_full() {
    run_full_and_go_on(&start([160, 96, 128])).await;
}
