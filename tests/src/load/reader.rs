//! A reader: whatever it reads is what was acknowledged or read before, or later.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use emberfs_client::{Client, File, FileOffset, OpenOptions};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::bytes::versions;
use super::ledger::{Ledger, Record, SLOT, SLOTS};
use super::writer::{LOG, home};

pub(super) struct Reader {
    ledger: Arc<Ledger>,
    random: SmallRng,
    mains: Vec<File>,
    log: File,
}

impl Reader {
    pub(super) async fn new(client: &Client, ledger: Arc<Ledger>, seed: u64) -> Self {
        let (fs, reads) = (client.fs(), OpenOptions::new().read(true));
        let mut mains = Vec::new();
        for number in 0..ledger.writers.len() {
            let path = format!("{}/main", home(number));
            mains.push(fs.open(path, &reads).await.expect("it is there"));
        }
        let log = fs.open(LOG, &reads).await.expect("it is there");
        Self { ledger, random: SmallRng::seed_from_u64(seed), mains, log }
    }

    pub(super) async fn run(mut self) {
        while !self.ledger.is_over() {
            match self.random.random_range(0..8) {
                0 => self.record().await,
                _ => self.slot().await,
            }
            self.ledger.reads.fetch_add(1, SeqCst);
        }
    }

    async fn slot(&mut self) {
        let writer = self.random.random_range(0..self.mains.len());
        let slot = self.random.random_range(0..SLOTS);
        let (account, start) = (&self.ledger.writers[writer], slot as u64 * SLOT);
        let known = &account.slots[slot];
        let earliest = known.settled.load(SeqCst);
        let buffer = vec![0; SLOT as usize];
        let (read, buffer) = self.mains[writer].read_at(FileOffset(start), buffer).await;
        let latest = known.begun.load(SeqCst);
        assert_eq!(read, Ok(SLOT as usize), "writer {writer}, slot {slot}");
        let found = versions(account.file, start, &buffer).expect("bytes of this place");
        assert!(
            (earliest..=latest).contains(found.start()) && *found.end() <= latest,
            "writer {writer}, slot {slot}: {found:?} is not within {earliest}..={latest}"
        );
        known.settle(*found.start());
    }

    async fn record(&mut self) {
        let records = self.ledger.log.lock().expect("whole").clone();
        if records.is_empty() {
            return;
        }
        let Record { at, of } = records[self.random.random_range(0..records.len())];
        let (read, buffer) = self.log.read_at(FileOffset(at), vec![0; of.len as usize]).await;
        assert_eq!(read, Ok(of.len as usize), "the record at {at}");
        assert!(buffer == of.contents(), "the record at {at} has other bytes");
    }
}
