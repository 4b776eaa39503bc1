//! Writers and readers that go on whatever happens, and know what they may count on.
//!
//! Eight sessions write, each under its own directory and all to one log; others read what those write. No
//! call has a deadline, so every one that was begun is acknowledged at last: what is there afterwards is
//! known to the byte.

pub mod bytes;
mod check;
mod ledger;
mod prober;
mod reader;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use emberfs_client::Client;
use tokio::task::{JoinHandle, JoinSet};

use crate::local::LocalCluster;
use crate::process::until;
use crate::replicas::Replicas;
use ledger::Ledger;
use reader::Reader;
use writer::Writer;

/// Sessions that write (a count).
const WRITERS: usize = 8;
/// Readers, on one session (a count).
const READERS: u64 = 3;

/// A load that is on.
pub struct Load {
    ledger: Arc<Ledger>,
    /// The readers' session.
    client: Client,
    tasks: JoinSet<()>,
}

impl Load {
    /// Begins; every file is there when this returns.
    pub async fn start(cluster: &LocalCluster) -> Self {
        let (ledger, mut tasks) = (Arc::new(Ledger::new(WRITERS)), JoinSet::new());
        for number in 0..WRITERS {
            let writer = Writer::new(cluster.client().await, ledger.clone(), number).await;
            tasks.spawn(writer.run());
        }
        let client = cluster.client().await;
        for seed in 0..READERS {
            tasks.spawn(Reader::new(&client, ledger.clone(), seed).await.run());
        }
        Self { ledger, client, tasks }
    }

    /// Waits until every writer has done `more` operations, and the readers as many.
    pub async fn goes_on(&mut self, more: u64) {
        self.advances(more, more).await;
    }

    /// Waits until the readers have done `more` operations.
    pub async fn reads_go_on(&mut self, more: u64) {
        self.advances(0, more).await;
    }

    async fn advances(&mut self, writes: u64, reads: u64) {
        let (written, read) = self.ledger.progress();
        until("writers and readers go on", async || {
            if let Some(ended) = self.tasks.try_join_next() {
                ended.expect("no writer or reader found fault");
                panic!("a writer or reader ended by itself");
            }
            let (now, read_now) = self.ledger.progress();
            let mut each = now.iter().zip(&written);
            each.all(|(now, before)| *now >= before + writes) && read_now >= read + reads
        })
        .await;
    }

    /// Asks a server for all that it has by routing that is old by now; the answers come when they do, and fail
    /// the task if one is older than what is known now.
    pub async fn ask_by_old_routing(&self, routing: &Replicas, server: &str) -> JoinHandle<usize> {
        prober::ask(&self.ledger, &self.client, routing, server).await
    }

    /// Ends, and compares everything from a session of its own and from every replica.
    pub async fn finish(mut self, cluster: &LocalCluster) {
        self.ledger.over.store(true, SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no writer or reader found fault");
        }
        let client = cluster.client().await;
        check::check(&self.ledger, &client).await;
        client.close().await.expect("left");
    }
}
