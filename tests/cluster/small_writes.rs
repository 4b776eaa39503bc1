//! Very many small writes to one chunk at once. Servers remember each until its client has said that it has the reply,
//! and have a limit: what waits for it must not be what would end the waiting.

use std::time::Duration;

use emberfs_client::{Bytes, Client, File, FileOffset, OpenOptions};
use futures_util::future::join_all;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::local::LocalCluster;

/// Many times as many as a chunk remembers.
const WRITES: usize = 1_000;
/// Bytes of one.
const LEN: usize = 500;
/// From one to the next: no two touch each other.
const STRIDE: usize = 1_000;
/// A test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

async fn open(client: &Client) -> File {
    let how = OpenOptions::new().read(true).write(true).create(true);
    client.fs().open("records", &how).await.expect("opened")
}

/// Writes every `step`th record from `first` on, all at once.
async fn write(file: &File, first: usize, step: usize) {
    let writes = (first..WRITES).step_by(step).map(|number| {
        let bytes = Bytes::from(vec![byte(number); LEN]);
        file.write_at(FileOffset((number * STRIDE) as u64), bytes)
    });
    for written in join_all(writes).await {
        written.expect("written");
    }
}

fn byte(number: usize) -> u8 {
    u8::try_from(number % 250 + 1).expect("below 256")
}

async fn assert_all_are_there(file: &File) {
    let (read, found) = file.read_at(FileOffset(0), vec![0; WRITES * STRIDE]).await;
    assert_eq!(read, Ok((WRITES - 1) * STRIDE + LEN));
    for (number, record) in found.chunks(STRIDE).enumerate() {
        let [bytes, gap] = [&record[..LEN], &record[LEN..]];
        let is_whole = bytes.iter().all(|found| *found == byte(number));
        assert!(is_whole && gap.iter().all(|found| *found == 0), "record {number}");
    }
}

#[test]
fn those_of_one_client_all_end() {
    let cluster = LocalCluster::start(&["--disks", "1"]);
    Runtime::new().expect("threads").block_on(async {
        let client = cluster.client().await;
        let file = open(&client).await;
        timeout(PATIENCE, write(&file, 0, 1)).await.expect("all end");
        assert_all_are_there(&file).await;
        file.close().await.expect("closed");
        client.close().await.expect("left");
    });
    cluster.down();
}

#[test]
fn those_of_three_clients_all_end() {
    let cluster = LocalCluster::start(&["--disks", "1"]);
    Runtime::new().expect("threads").block_on(async {
        let clients = [cluster.client().await, cluster.client().await, cluster.client().await];
        let files = join_all(clients.iter().map(open)).await;
        let writes = files.iter().enumerate().map(|(first, file)| write(file, first, 3));
        timeout(PATIENCE, join_all(writes)).await.expect("all end");
        for file in files {
            file.close().await.expect("closed");
        }
        let file = open(&clients[0]).await;
        assert_all_are_there(&file).await;
        file.close().await.expect("closed");
        for client in clients {
            client.close().await.expect("left");
        }
    });
    cluster.down();
}
