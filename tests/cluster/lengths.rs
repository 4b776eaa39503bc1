//! Two clients of one file: one cuts what the other writes. What was cut away never comes back, not even as
//! zeros; what was written after the cut is there with its length, also if its writer had not heard of the cut.

use emberfs_client::{ByteLen, Bytes, Client, File, FileOffset, OpenOptions};
use tokio::runtime::Runtime;

use crate::local::LocalCluster;

/// Where the writer's bytes end before the cut.
const LEN: usize = 3_000_000;
/// To where the file is cut: no multiple of a block.
const CUT: usize = 10_001;

/// Clients and their files: one writes, the other cuts and looks.
struct Two {
    writer: Client,
    other: Client,
}

impl Two {
    async fn new(cluster: &LocalCluster) -> Self {
        Self { writer: cluster.client().await, other: cluster.client().await }
    }

    /// A file of [`LEN`] ones whose length everybody knows, as the writer has it open.
    async fn file(&self, name: &str, late: bool) -> File {
        let how = OpenOptions::new().read(true).write(true).create(true).report_late(late);
        let file = self.writer.fs().open(name, &how).await.expect("opened");
        write(&file, 0, 1, LEN).await;
        file.sync().await.expect("synced");
        file
    }

    async fn cut(&self, name: &str, len: usize) {
        let how = OpenOptions::new().write(true);
        let file = self.other.fs().open(name, &how).await.expect("there");
        file.set_len(ByteLen(len as u64)).await.expect("cut");
        file.close().await.expect("closed");
    }

    /// All bytes, as the other one finds them.
    async fn look(&self, name: &str) -> Vec<u8> {
        let file = self.other.fs().open(name, &OpenOptions::new().read(true)).await;
        let file = file.expect("there");
        let len = file.stat().await.expect("there").size.get() as usize;
        let (read, found) = file.read_at(FileOffset(0), vec![9; len + 10]).await;
        assert_eq!(read, Ok(len), "{name}");
        found[..len].to_vec()
    }

    async fn leave(self) {
        self.writer.close().await.expect("left");
        self.other.close().await.expect("left");
    }
}

async fn write(file: &File, at: usize, byte: u8, len: usize) {
    let bytes = Bytes::from(vec![byte; len]);
    file.write_at(FileOffset(at as u64), bytes).await.expect("written");
}

/// Runs of a byte and how many.
fn of(runs: &[(u8, usize)]) -> Vec<u8> {
    runs.iter().flat_map(|(byte, len)| vec![*byte; *len]).collect()
}

fn assert_same(found: &[u8], expected: &[(u8, usize)], when: &str) {
    let runs = found.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect::<Vec<_>>();
    assert!(found == of(expected), "{when}: {runs:?}, not {expected:?}");
}

#[test]
fn what_was_cut_away_does_not_come_back_as_zeros() {
    let cluster = LocalCluster::start(&["--disks", "1"]);
    Runtime::new().expect("threads").block_on(async {
        let two = Two::new(&cluster).await;
        let file = two.file("late", true).await;
        write(&file, LEN, 2, LEN).await;
        two.cut("late", 0).await;
        file.sync().await.expect("synced");
        assert_same(&two.look("late").await, &[], "reported after the cut");
        write(&file, LEN, 2, LEN).await;
        two.cut("late", CUT).await;
        file.close().await.expect("closed");
        assert_same(&two.look("late").await, &[(0, CUT)], "reported as it was closed");

        // Its last write is behind the cut and known to be; with it all is reported.
        let file = two.file("through", true).await;
        write(&file, LEN - 100, 2, 100).await;
        two.cut("through", CUT).await;
        let at = FileOffset(CUT as u64);
        file.write_through(at, Bytes::from_static(b"33333")).await.expect("written");
        let left = [(1, CUT), (b'3', 5)];
        assert_same(&two.look("through").await, &left, "reported by a later write");
        file.close().await.expect("closed");
        assert_same(&two.look("through").await, &left, "closed");
        two.leave().await;
    });
    cluster.down();
}

#[test]
fn what_was_written_after_a_cut_is_there_with_its_length() {
    let cluster = LocalCluster::start(&["--disks", "1"]);
    Runtime::new().expect("threads").block_on(async {
        let two = Two::new(&cluster).await;
        let file = two.file("through", false).await;
        two.cut("through", CUT).await;
        write(&file, LEN - 100, 2, 60).await;
        let left = [(1, CUT), (0, LEN - 100 - CUT), (2, 60)];
        assert_same(&two.look("through").await, &left, "acknowledged with its length");
        file.set_len(ByteLen(5)).await.expect("cut");
        write(&file, 5, 3, 10).await;
        assert_same(&two.look("through").await, &[(1, 5), (3, 10)], "behind its own cut");
        file.close().await.expect("closed");

        // What came before the cut and what came after it, in one report.
        let file = two.file("late", true).await;
        write(&file, LEN, 2, LEN).await;
        two.cut("late", CUT).await;
        write(&file, 2 * LEN, 3, 100).await;
        file.close().await.expect("closed");
        let leader = cluster.leader().await;
        cluster.kill(&leader).await;
        cluster.start_one(&leader);
        let left = [(1, CUT), (0, 2 * LEN - CUT), (3, 100)];
        assert_same(&two.look("late").await, &left, "closed, and then the leader died");
        two.leave().await;
    });
    cluster.down();
}
