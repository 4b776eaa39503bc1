//! Questions to one server by routing that was right once: what it answers, if it does, is not old.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use emberfs_client::{Client, OpenOptions};
use tokio::task::JoinHandle;

use super::bytes::versions;
use super::ledger::{Ledger, SLOT};
use super::writer::home;
use crate::replicas::Replicas;

/// Asks for every chunk of every main file that the server has by `routing`, and says how many were answered
/// once all are. All questions are on their way when this returns.
pub(super) async fn ask(
    ledger: &Arc<Ledger>,
    client: &Client,
    routing: &Replicas,
    server: &str,
) -> JoinHandle<usize> {
    let mut asked = Vec::new();
    for (number, account) in ledger.writers.iter().enumerate() {
        let path = format!("{}/main", home(number));
        let file = client.fs().open(&path, &OpenOptions::new().read(true)).await.expect("there");
        for (start, answer) in routing.ask(&file.attributes(), server) {
            let settled = account.slots.iter().map(|slot| slot.settled.load(SeqCst));
            asked.push((account.file, start, settled.collect::<Vec<_>>(), answer));
        }
    }
    assert!(!asked.is_empty(), "it is asked something");
    tokio::spawn(async move {
        let mut answered = 0;
        for (file, start, settled, answer) in asked {
            let Some(bytes) = answer.await.expect("not aborted") else { continue };
            answered += 1;
            let mut at = start;
            for part in slots(start, &bytes) {
                let found = versions(file, at, part).expect("bytes of this place");
                let earliest = settled[(at / SLOT) as usize];
                assert!(*found.start() >= earliest, "file {file} at {at}: {found:?} < {earliest}");
                at += part.len() as u64;
            }
        }
        answered
    })
}

/// `bytes` from `start` on, cut where slots end.
fn slots(start: u64, mut bytes: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut at) = (Vec::new(), start);
    while !bytes.is_empty() {
        let rest = (SLOT - at % SLOT).min(bytes.len() as u64);
        let (part, behind) = bytes.split_at(rest as usize);
        parts.push(part);
        (at, bytes) = (at + rest, behind);
    }
    parts
}
