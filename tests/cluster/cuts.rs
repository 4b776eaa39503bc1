//! Files that several clients cut, lengthen, overwrite and read in turn, while storage servers and leaders die: lengths
//! and bytes are those of a file in memory.
//!
//! What one client was told is done before the next begins, so there is one right answer, also where a client has yet to
//! hear of another's cut. A cut that stands as an intent when the leader dies is carried out by the next one; one that a
//! dead replica has missed reaches it when it is back.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};

use emberfs_client::{ByteLen, Bytes, ChunkSize, Client, File, FileOffset, OpenOptions};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::local::LocalCluster;
use crate::process::until;
use crate::replicas::Replicas;

/// Files (a count), each with its own clients.
const FILES: usize = 4;
/// Clients of one file (a count).
const CLIENTS: usize = 3;
/// Longest file, in bytes: seven of the smallest chunks.
const LEN_MAX: usize = 450_000;
/// Operations on each file between two events.
const SOME: u64 = 25;

/// What is on.
struct Cuts {
    progress: Arc<[AtomicU64; FILES]>,
    is_over: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

/// A file and its model.
struct Shared {
    path: String,
    clients: Vec<(Client, File)>,
    model: Vec<u8>,
    random: SmallRng,
}

fn how(client: usize) -> OpenOptions {
    // One client says late how long the file is.
    let how = OpenOptions::new().read(true).write(true).create(true);
    how.chunk_size(ChunkSize::MIN).report_late(client == 0)
}

impl Cuts {
    async fn start(cluster: &LocalCluster) -> Self {
        let (progress, is_over) = (Arc::<[AtomicU64; FILES]>::default(), Arc::default());
        let mut cuts = Self { progress, is_over, tasks: JoinSet::new() };
        for number in 0..FILES {
            let mut shared = Shared::new(cluster, number).await;
            let (progress, is_over) = (cuts.progress.clone(), cuts.is_over.clone());
            cuts.tasks.spawn(async move {
                while !is_over.load(SeqCst) {
                    shared.step().await;
                    progress[number].fetch_add(1, SeqCst);
                }
                shared.finish().await;
            });
        }
        cuts
    }

    /// Waits until there were so many operations more on each file.
    async fn go_on(&mut self, more: u64) {
        let now = |cuts: &Self| cuts.progress.each_ref().map(|done| done.load(SeqCst));
        let before = now(self);
        until("files are cut and written", async || {
            if let Some(ended) = self.tasks.try_join_next() {
                ended.expect("each file is as its model");
                panic!("a file's clients ended by themselves");
            }
            now(self).iter().zip(&before).all(|(now, before)| *now >= before + more)
        })
        .await;
    }

    async fn finish(mut self) {
        self.is_over.store(true, SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("each file is as its model");
        }
    }
}

impl Shared {
    async fn new(cluster: &LocalCluster, number: usize) -> Self {
        let path = format!("cut-{number}");
        let mut clients = Vec::new();
        for place in 0..CLIENTS {
            let client = cluster.client().await;
            let file = client.fs().open(&path, &how(place)).await.expect("opened");
            clients.push((client, file));
        }
        let random = SmallRng::seed_from_u64(number as u64);
        Self { path, clients, model: Vec::new(), random }
    }

    /// One client does something, another looks.
    async fn step(&mut self) {
        let who = self.random.random_range(0..CLIENTS);
        match self.random.random_range(0..10) {
            0..3 => {
                let len = self.random.random_range(0..=self.model.len());
                self.resize(who, len).await;
            }
            3 => {
                let len = self.random.random_range(self.model.len()..=LEN_MAX);
                self.resize(who, len).await;
            }
            4 => self.open_anew(who, true).await,
            5 => self.open_anew(who, false).await,
            6 => self.append(who).await,
            _ => self.overwrite(who).await,
        }
        let other = self.random.random_range(0..CLIENTS);
        self.look(other).await;
    }

    fn bytes(&mut self, len: usize) -> Bytes {
        let mut bytes = vec![0; len];
        self.random.fill(&mut bytes[..]);
        bytes.into()
    }

    async fn resize(&mut self, who: usize, len: usize) {
        self.clients[who].1.set_len(ByteLen(len as u64)).await.expect("cut");
        self.model.resize(len, 0);
    }

    /// Anywhere, also behind the end: what lies between are zeros then.
    async fn overwrite(&mut self, who: usize) {
        let start = self.random.random_range(0..LEN_MAX);
        let len = self.random.random_range(1..=(LEN_MAX - start).min(200_000));
        let bytes = self.bytes(len);
        let file = &self.clients[who].1;
        file.write_at(FileOffset(start as u64), bytes.clone()).await.expect("written");
        // Without this others may see the file as long as it was.
        file.sync().await.expect("synced");
        self.model.resize(self.model.len().max(start + len), 0);
        self.model[start..start + len].copy_from_slice(&bytes);
    }

    async fn append(&mut self, who: usize) {
        let room = LEN_MAX - self.model.len();
        let len = self.random.random_range(0..=room.min(100_000));
        let bytes = self.bytes(len);
        let at = self.clients[who].1.append(bytes.clone()).await.expect("appended");
        assert_eq!(at.get(), self.model.len() as u64, "{}", self.path);
        self.model.extend_from_slice(&bytes);
    }

    /// Closes and opens again, cut to nothing or not.
    async fn open_anew(&mut self, who: usize, truncate: bool) {
        let (client, file) = self.clients.swap_remove(who);
        file.close().await.expect("closed");
        let how = how(who).truncate(truncate);
        let file = client.fs().open(&self.path, &how).await.expect("opened");
        self.clients.push((client, file));
        let last = self.clients.len() - 1;
        self.clients.swap(who, last);
        if truncate {
            self.model.clear();
        }
    }

    async fn look(&self, who: usize) {
        let (client, file) = &self.clients[who];
        let len = file.stat().await.expect("there").size.get();
        assert_eq!(len, self.model.len() as u64, "{} by its handle", self.path);
        let found = client.fs().stat(&self.path).await.expect("there").size.get();
        assert_eq!(found, len, "{} by its name", self.path);
        let (read, found) = file.read_at(FileOffset(0), vec![9; self.model.len() + 10]).await;
        assert_eq!(read, Ok(self.model.len()), "{}", self.path);
        let differs = found.iter().zip(&self.model).position(|(found, model)| found != model);
        assert_eq!(differs, None, "{} differs from here on", self.path);
    }

    /// Every replica has the same, when all are back.
    async fn finish(self) {
        self.look(0).await;
        let (clients, model, path) = (self.clients, self.model, self.path);
        for (client, file) in clients {
            file.close().await.expect("closed");
            let replicas = Replicas::connect(&client).await;
            let attributes = client.fs().stat(&path).await.expect("there");
            for (server, mut held) in replicas.read(&attributes).await {
                assert!(held.len() <= model.len(), "{path}: {server} has more than there is");
                held.resize(model.len(), 0); // none has what was never written
                assert!(held == model, "{path}: {server} has other bytes");
            }
            client.close().await.expect("left");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_cut_and_written_while_replicas_and_leaders_die() {
    let cluster = LocalCluster::start(&[]);
    let mut cuts = Cuts::start(&cluster).await;
    for storage in ["storage-1", "storage-2", "storage-3"] {
        cuts.go_on(SOME).await;
        let leader = cluster.leader().await;
        cluster.signal(storage, "KILL");
        cluster.signal(&leader, "KILL");
        cuts.go_on(SOME).await;
        cluster.until_gone(storage).await;
        cluster.until_gone(&leader).await;
        // The next leader dies while the replica comes back.
        cluster.start_one(&leader);
        cluster.start_one(storage);
        let next = cluster.leader_but(&leader).await;
        cluster.kill(&next).await;
        cuts.go_on(SOME).await;
        cluster.up();
    }
    cuts.go_on(SOME).await;
    cuts.finish().await;
    cluster.down();
}
