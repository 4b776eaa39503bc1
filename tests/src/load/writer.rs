//! A writer: one session that does one thing after the other and notes what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use emberfs_client::{ByteLen, ChunkSize, Client, File, FileOffset, OpenOptions};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::bytes::bytes;
use super::ledger::{Account, Ledger, Other, Record, SLOT, SLOTS};

/// The file to which all writers append.
pub(crate) const LOG: &str = "load/log";
/// Other files that a writer keeps at most (a count).
const OTHERS_MAX: usize = 12;
/// Longest other file or record, in bytes: a few of the smallest chunks.
const LEN_MAX: u64 = 200_000;

pub(super) struct Writer {
    client: Client,
    ledger: Arc<Ledger>,
    number: usize,
    random: SmallRng,
    main: File,
    log: File,
    made: u32,
}

/// The directory of a writer.
pub(crate) fn home(number: usize) -> String {
    format!("load/writer-{number}")
}

/// Small chunks, so that a file lies on several chains.
fn writable() -> OpenOptions {
    OpenOptions::new().read(true).write(true).create(true).chunk_size(ChunkSize::MIN)
}

impl Writer {
    /// Makes its directory and its files, every slot at its first version.
    pub(super) async fn new(client: Client, ledger: Arc<Ledger>, number: usize) -> Self {
        let (fs, home) = (client.fs(), home(number));
        fs.mkdir_all(&home).await.expect("a directory");
        let main = fs.open(format!("{home}/main"), &writable()).await.expect("a file");
        let log = fs.open(LOG, &writable()).await.expect("the log");
        let random = SmallRng::seed_from_u64(number as u64);
        let writer = Self { client, ledger, number, random, main, log, made: 0 };
        for slot in 0..SLOTS {
            writer.overwrite(slot).await;
        }
        writer
    }

    /// Works until all is over, and closes what it has open.
    pub(super) async fn run(mut self) {
        while !self.ledger.is_over() {
            self.step().await;
            self.account().done.fetch_add(1, SeqCst);
        }
        self.main.close().await.expect("closed");
        self.log.close().await.expect("closed");
        self.client.close().await.expect("left");
    }

    async fn step(&mut self) {
        match self.random.random_range(0..12) {
            0 => self.append().await,
            1 => self.create().await,
            2 => self.rename().await,
            3 => self.remove().await,
            4 => self.cut().await,
            _ => {
                let slot = self.random.random_range(0..SLOTS);
                self.overwrite(slot).await;
            }
        }
    }

    async fn overwrite(&self, slot: usize) {
        let known = &self.account().slots[slot];
        let (version, start) = (known.begin(), slot as u64 * SLOT);
        let new = bytes(self.account().file, version, start..start + SLOT);
        self.main.write_at(FileOffset(start), new).await.expect("written");
        known.settle(version);
    }

    async fn append(&mut self) {
        let of = self.other();
        let at = self.log.append(bytes(of.file, 1, 0..of.len)).await.expect("appended").0;
        self.ledger.log.lock().expect("whole").push(Record { at, of });
    }

    /// A new file, in two writes; mostly it does not end with a block.
    async fn create(&mut self) {
        let (other, name) = (self.other(), self.new_name());
        if self.account().others.lock().expect("whole").len() >= OTHERS_MAX {
            return self.remove().await;
        }
        let new = writable().create_new(true);
        let file = self.client.fs().open(self.path(&name), &new).await.expect("a new file");
        let middle = self.random.random_range(0..=other.len);
        for (start, end) in [(0, middle), (middle, other.len)] {
            let part = bytes(other.file, 1, start..end);
            file.write_at(FileOffset(start), part).await.expect("written");
        }
        file.close().await.expect("closed");
        self.account().others.lock().expect("whole").insert(name, other);
    }

    async fn rename(&mut self) {
        // Half of the time over another one.
        let (Some((from, other)), over) = (self.one(), self.one()) else { return };
        let to = match over {
            Some((over, _)) if over != from && self.random.random() => over,
            _ => self.new_name(),
        };
        self.client.fs().rename(self.path(&from), self.path(&to)).await.expect("renamed");
        let mut others = self.account().others.lock().expect("whole");
        others.remove(&from);
        others.insert(to, other);
    }

    async fn remove(&mut self) {
        let Some((name, _)) = self.one() else { return };
        self.client.fs().remove(self.path(&name)).await.expect("removed");
        self.account().others.lock().expect("whole").remove(&name);
    }

    /// Makes a file shorter, and half of the time longer again: what was cut off must not come back.
    async fn cut(&mut self) {
        let Some((name, other)) = self.one() else { return };
        let written = OpenOptions::new().write(true);
        let file = self.client.fs().open(self.path(&name), &written).await.expect("opened");
        let kept = self.random.random_range(0..=other.len);
        let zeros = if self.random.random() { self.random.random_range(0..LEN_MAX) } else { 0 };
        for len in [kept, kept + zeros] {
            file.set_len(ByteLen(len)).await.expect("cut");
        }
        file.close().await.expect("closed");
        let cut = Other { len: kept, zeros, ..other };
        self.account().others.lock().expect("whole").insert(name, cut);
    }

    fn account(&self) -> &Account {
        &self.ledger.writers[self.number]
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", home(self.number))
    }

    fn other(&mut self) -> Other {
        let len = self.random.random_range(1..LEN_MAX);
        Other { file: self.ledger.new_file(), len, zeros: 0 }
    }

    fn new_name(&mut self) -> String {
        self.made += 1;
        format!("other-{}", self.made)
    }

    fn one(&mut self) -> Option<(String, Other)> {
        let others = self.ledger.writers[self.number].others.lock().expect("whole");
        let place = self.random.random_range(0..others.len().max(1));
        others.iter().nth(place).map(|(name, other)| (name.clone(), *other))
    }
}
