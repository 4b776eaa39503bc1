//! Clients that stay, and write nothing more: they hold up no other.

use emberfs_client::{Bytes, FileOffset, OpenOptions};
use emberfs_wire::limits::TAGS_MAX;
use tokio::runtime::Runtime;

use crate::local::LocalCluster;
use crate::process::until;

/// More than a chunk has changes of which nobody said that their replies came.
const CLIENTS: usize = TAGS_MAX + 12;

/// Each writes once to the same chunk, and has nothing more to say to its chain.
#[test]
fn many_idle_clients_hold_up_no_other() {
    let cluster = LocalCluster::start(&["--disks", "1"]);
    let runtime = Runtime::new().expect("threads");
    runtime.block_on(async {
        let how = OpenOptions::new().read(true).write(true).create(true);
        let mut idle = Vec::new();
        for number in 0..CLIENTS {
            let client = cluster.client().await;
            let file = client.fs().open("shared", &how).await.expect("opened");
            let place = FileOffset(number as u64);
            let writing = tokio::spawn(async move {
                file.write_at(place, Bytes::from(vec![number as u8])).await.map(|()| file)
            });
            until("a client's first write is done", async || writing.is_finished()).await;
            idle.push((client, writing.await.expect("it does not panic").expect("written")));
        }
        let (_, file) = idle.last().expect("many");
        let (read, found) = file.read_at(FileOffset(0), vec![0; CLIENTS + 1]).await;
        assert_eq!(read, Ok(CLIENTS));
        assert!((0..CLIENTS).all(|number| usize::from(found[number]) == number), "{found:?}");
        for (client, file) in idle {
            file.close().await.expect("closed");
            client.close().await.expect("left");
        }
    });
}
