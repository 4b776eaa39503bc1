//! A load of names alone: eight sessions create, rename, link and remove, each in a directory of its own.
//!
//! No operation may be made twice, and none has a deadline: each is acknowledged at last, and fails if it was made
//! before. What is there afterwards is known to the name.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use emberfs_client::{Client, Fs, OpenOptions};
use tokio::task::JoinSet;

use crate::local::LocalCluster;
use crate::process::until;
use crate::tree::listed;

/// Sessions (a count).
const SESSIONS: usize = 8;

/// Such a load, which is on.
pub struct Names {
    ledger: Arc<Ledger>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Ledger {
    /// Operations of each session that were acknowledged.
    done: [AtomicU64; SESSIONS],
    /// How long the longest took since that was asked for.
    longest: Mutex<Duration>,
    over: AtomicBool,
}

/// One session.
struct Worker {
    fs: Fs,
    client: Client,
    ledger: Arc<Ledger>,
    number: usize,
    there: BTreeSet<String>,
}

impl Names {
    /// Begins.
    pub async fn start(cluster: &LocalCluster) -> Self {
        let (ledger, mut tasks) = (Arc::new(Ledger::default()), JoinSet::new());
        for number in 0..SESSIONS {
            let client = cluster.client().await;
            let (fs, ledger) = (client.fs(), ledger.clone());
            fs.mkdir_all(&home(number)).await.expect("made");
            let worker = Worker { fs, client, ledger, number, there: BTreeSet::new() };
            tasks.spawn(worker.run());
        }
        Self { ledger, tasks }
    }

    /// Waits until every session has done so many operations more; how long that took.
    pub async fn goes_on(&mut self, more: u64) -> Duration {
        let (begun, before) = (Instant::now(), self.done());
        until("names are made, renamed and removed", async || {
            if let Some(ended) = self.tasks.try_join_next() {
                ended.expect("every operation is made once");
                panic!("a session ended by itself");
            }
            self.done().iter().zip(&before).all(|(now, before)| *now >= before + more)
        })
        .await;
        begun.elapsed()
    }

    /// How many operations all have done.
    pub fn all_done(&self) -> u64 {
        self.done().iter().sum()
    }

    /// How long the longest operation took that ended since this was asked last.
    pub fn longest(&self) -> Duration {
        std::mem::take(&mut *self.ledger.longest.lock().expect("no panic"))
    }

    /// Ends, and compares all names.
    pub async fn finish(mut self, cluster: &LocalCluster) {
        self.ledger.over.store(true, SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("every operation is made once, and all that was acknowledged is there");
        }
        let client = cluster.client().await;
        let there = listed(&client, "names").await;
        assert!(there.len() as u64 >= self.all_done() / 8, "{} names", there.len());
        client.close().await.expect("left");
    }

    fn done(&self) -> Vec<u64> {
        self.ledger.done.iter().map(|done| done.load(SeqCst)).collect()
    }
}

impl Worker {
    async fn run(mut self) {
        let home = home(self.number);
        for turn in 0_u64.. {
            if self.ledger.over.load(SeqCst) {
                break;
            }
            let [new, renamed, linked] =
                ["new", "renamed", "linked"].map(|name| format!("{home}/{name}-{turn}"));
            let how = OpenOptions::new().write(true).create_new(true);
            let file = self.did(async |fs| fs.open(&new, &how).await).await;
            self.did(async |fs| fs.rename(&new, &renamed).await).await;
            self.did(async |_| file.close().await).await;
            self.did(async |fs| fs.hard_link(&renamed, &linked).await).await;
            let links = self.did(async |fs| fs.stat(&renamed).await).await.nlink;
            assert_eq!(links, 2, "{renamed}");
            self.there.extend([renamed.clone(), linked.clone()]);
            if turn % 2 == 0 {
                self.did(async |fs| fs.remove(&linked).await).await;
                self.there.remove(&linked);
            }
        }
        let found = listed(&self.client, &home).await;
        assert!(found.iter().eq(&self.there), "{home} has other names");
        self.client.close().await.expect("left");
    }

    /// Does one operation, which must succeed; how long it takes is noted.
    async fn did<T>(
        &self,
        operation: impl AsyncFnOnce(&Fs) -> Result<T, emberfs_client::ClientError>,
    ) -> T {
        let begun = Instant::now();
        let done = operation(&self.fs).await.expect("it is made once");
        let mut longest = self.ledger.longest.lock().expect("no panic");
        *longest = begun.elapsed().max(*longest);
        self.ledger.done[self.number].fetch_add(1, SeqCst);
        done
    }
}

fn home(number: usize) -> String {
    format!("names/{number}")
}
