//! Afterwards: all that was acknowledged is there, nothing else is, and all replicas have it.

use std::sync::atomic::Ordering::SeqCst;

use emberfs_client::{Client, FileOffset, OpenOptions};

use super::bytes::versions;
use super::ledger::{Account, Ledger, SLOT, SLOTS};
use super::writer::{LOG, home};
use crate::replicas::Replicas;
use crate::tree::listed;

/// How often a file is read by the client: each read chooses its replicas anew.
const READS: usize = 3;

/// Compares everything, with a client that took no part.
pub(super) async fn check(ledger: &Ledger, client: &Client) {
    let replicas = Replicas::connect(client).await;
    let mut names = vec![LOG.to_owned()];
    for (number, account) in ledger.writers.iter().enumerate() {
        let home = home(number);
        check_main(account, client, &replicas, &format!("{home}/main")).await;
        names.push(format!("{home}/main"));
        let others = account.others.lock().expect("whole").clone();
        for (name, other) in others {
            let path = format!("{home}/{name}");
            let found = read(client, &replicas, &path).await;
            assert_eq!(found.len() as u64, other.len + other.zeros, "{path}");
            assert!(found == other.contents(), "{path} has other bytes");
            names.push(path);
        }
    }
    names.sort();
    assert_eq!(listed(client, "load").await, names);
    check_log(ledger, client, &replicas).await;
}

async fn check_main(account: &Account, client: &Client, replicas: &Replicas, path: &str) {
    let found = read(client, replicas, path).await;
    assert_eq!(found.len() as u64, SLOTS as u64 * SLOT, "{path}");
    for (number, (slot, found)) in account.slots.iter().zip(found.chunks(SLOT as usize)).enumerate()
    {
        let last = slot.begun.load(SeqCst);
        let there = versions(account.file, number as u64 * SLOT, found);
        assert_eq!(there, Ok(last..=last), "{path}, slot {number}");
    }
}

/// The records stand behind each other without a gap: every append was acknowledged.
async fn check_log(ledger: &Ledger, client: &Client, replicas: &Replicas) {
    let found = read(client, replicas, LOG).await;
    let mut records = ledger.log.lock().expect("whole").clone();
    records.sort_by_key(|record| record.at);
    let mut end = 0;
    for record in records {
        assert_eq!(record.at, end, "records follow each other");
        end += record.of.len;
        let there = found.get(record.at as usize..end as usize).expect("as long as that");
        assert!(there == record.of.contents(), "the record at {}", record.at);
    }
    assert_eq!(found.len() as u64, end, "the log's length");
}

/// A file's bytes, the same from every replica.
async fn read(client: &Client, replicas: &Replicas, path: &str) -> Vec<u8> {
    let file = client.fs().open(path, &OpenOptions::new().read(true)).await.expect("it is there");
    let whole = async || {
        let len = file.attributes().size.get() as usize;
        let (read, mut buffer) = file.read_at(FileOffset(0), vec![0xee; len + 1]).await;
        buffer.truncate(read.expect("readable"));
        assert_eq!(buffer.len(), len, "{path}");
        buffer
    };
    let found = whole().await;
    for _ in 1..READS {
        assert!(whole().await == found, "{path} reads differently");
    }
    for (server, mut held) in replicas.read(&file.attributes()).await {
        assert!(held.len() <= found.len(), "{path}: {server} has more than there is");
        held.resize(found.len(), 0); // none has what was never written
        assert!(held == found, "{path}: {server} has other bytes");
    }
    found
}
