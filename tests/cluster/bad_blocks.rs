//! Blocks that went bad under a stopped server: readers get the bytes of a sound replica, or are told that there
//! is none, never a wrong byte.

use emberfs_client::{ClientError, FileOffset, FsError, OpenOptions};
use emberfs_layout::ChunkIndex;

use super::damage::{copy_in, damage, noise};
use crate::local::LocalCluster;
use crate::process::until;

/// A chunk of the default size, in bytes.
const CHUNK: usize = 1 << 20;
/// Reads of the same, so that every replica is asked.
const READS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_replica_is_read_and_when_none_is_left_it_is_said() {
    let cluster = LocalCluster::start(&["--storage", "3", "--disks", "1"]);
    let bytes = noise(3 * CHUNK + 12_345);
    copy_in(&cluster, &bytes, "ember:/noise");
    copy_in(&cluster, b"small", "ember:/small");

    cluster.down();
    damage(&cluster, "storage-1", &bytes[CHUNK..]);
    damage(&cluster, "storage-2", &bytes[2 * CHUNK..]);
    damage(&cluster, "storage-3", &bytes[2 * CHUNK..]);
    cluster.up();
    let client = cluster.client().await;
    let file = client.fs().open("noise", &OpenOptions::new().read(true)).await.expect("there");
    for _ in 0..READS {
        let (read, buffer) = file.read_at(FileOffset(0), vec![0; bytes.len()]).await;
        assert_eq!(read, Ok(bytes.len()));
        assert!(buffer == bytes, "another replica's bytes");
    }
    until("`status` tells of what readers did not notice", async || {
        let said = cluster.emberfs(&["status"]);
        String::from_utf8_lossy(&said.stdout).contains("with damaged blocks")
    })
    .await;
    client.close().await.expect("the cluster is up");

    cluster.down();
    damage(&cluster, "storage-2", &bytes[CHUNK..]);
    damage(&cluster, "storage-3", &bytes[CHUNK..]);
    cluster.up();
    let client = cluster.client().await;
    let file = client.fs().open("noise", &OpenOptions::new().read(true)).await.expect("there");
    let each = (0..4).map(|chunk| (FileOffset((chunk * CHUNK) as u64), vec![0; CHUNK])).collect();
    for (index, (read, buffer)) in file.read_batch(each).await.into_iter().enumerate() {
        if index == 1 {
            let error = read.expect_err("no copy is sound");
            let ClientError::Damaged { chunk, .. } = &error else { panic!("{error}") };
            assert_eq!((chunk.index, error.as_fs()), (ChunkIndex(1), FsError::Io));
            continue;
        }
        let len = read.expect("the other chunks are sound");
        assert!(buffer[..len] == bytes[index * CHUNK..][..len], "chunk {index}");
    }
    client.close().await.expect("the cluster is up");
    let refused = cluster.emberfs(&["cat", "ember:/noise"]);
    assert!(!refused.status.success());
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("is damaged: no serving replica"), "{words}");
    assert_eq!(cluster.must(&["cat", "ember:/small"]), "small");
    cluster.down();
}
