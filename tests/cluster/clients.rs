//! A client that dies: its session ends some time later, and what it was promised stands.

use emberfs_client::{Bytes, FileOffset, OpenOptions};
use tokio::runtime::Runtime;

use crate::local::LocalCluster;
use crate::process::until;

/// Bytes of each write: no multiple of a block.
const PIECE: u64 = 300_001;
/// Writes (a count): several chunks.
const PIECES: u64 = 12;

/// Its writes were acknowledged and their length was not reported: the chains know it.
#[test]
fn what_a_client_wrote_before_it_died_is_in_the_files_length() {
    let cluster = LocalCluster::start(&["--disks", "1"]);
    let written = Bytes::from_iter((0..PIECE * PIECES).map(|at| (at % 251) as u8));
    let dying = Runtime::new().expect("threads");
    let held = dying.block_on(async {
        let client = cluster.client().await;
        let new = OpenOptions::new().write(true).create_new(true).report_late(true);
        let file = client.fs().open("file", &new).await.expect("a new file");
        for start in (0..PIECE * PIECES).step_by(PIECE as usize) {
            let piece = written.slice(start as usize..(start + PIECE) as usize);
            file.write_at(FileOffset(start), piece).await.expect("written");
        }
        (client, file)
    });
    // Nothing of it runs any more before it could say good-bye.
    dying.shutdown_background();
    drop(held);

    let living = Runtime::new().expect("threads");
    living.block_on(async {
        let client = cluster.client().await;
        let fs = client.fs();
        until("the length is found out", async || {
            fs.stat("file").await.expect("it is there").size.get() == PIECE * PIECES
        })
        .await;
        let file = fs.open("file", &OpenOptions::new().read(true).write(true)).await;
        let file = file.expect("it is there");
        let at = file.append(Bytes::from_static(b"more")).await.expect("appended");
        assert_eq!(at, FileOffset(PIECE * PIECES));
        let (read, found) = file.read_at(FileOffset(0), vec![0; written.len() + 5]).await;
        assert_eq!(read, Ok(written.len() + 4));
        assert!(found[..written.len()] == written && found[written.len()..].starts_with(b"more"));
        file.close().await.expect("closed");
        client.close().await.expect("left");
    });
}
