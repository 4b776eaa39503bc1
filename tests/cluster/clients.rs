//! A client that dies: its session ends some time later, and what it was promised stands.

use emberfs_client::{Bytes, ClientError, FileOffset, OpenOptions};
use tokio::runtime::Runtime;

use crate::local::LocalCluster;
use crate::process::until;
use crate::verbs::hold;

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

/// What it was acknowledged is there; what it has open is to be opened again, and others do not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_evicted_keeps_what_it_wrote_and_writes_nothing_more() {
    let cluster = LocalCluster::start(&["--disks", "1"]);
    let (client, other) = (cluster.client().await, cluster.client().await);
    let new = OpenOptions::new().write(true).create_new(true).report_late(true);
    let file = client.fs().open("file", &new).await.expect("a new file");
    let written = Bytes::from(vec![7; PIECE as usize]);
    file.write_at(FileOffset(0), written.clone()).await.expect("written");
    let number = client.session().get().to_string();
    hold(
        &cluster,
        &[
            (&["client", "evict", "client"], 64, &["expected the number of a client"]),
            (&["client", "evict", "0"], 1, &["client-0 has no session", "client list"]),
            (&["client", "evict", &number], 0, &["is evicted", "1 file open for writing"]),
            (&["client", "evict", &number], 1, &["has no session"]),
        ],
    );
    until("the length is found out", async || {
        other.fs().stat("file").await.expect("it is there").size.get() == PIECE
    })
    .await;
    until("it has heard of it", async || {
        let late = file.write_at(FileOffset(PIECE), written.clone()).await;
        late == Err(ClientError::SessionLost)
    })
    .await;
    // It opens a session anew, and goes on with that.
    let again = OpenOptions::new().write(true);
    let file = client.fs().open("file", &again).await.expect("with its next session");
    file.write_at(FileOffset(0), written).await.expect("written");
    file.close().await.expect("closed");
    client.close().await.expect("left");
    other.close().await.expect("left");
    cluster.down();
}
