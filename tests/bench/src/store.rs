//! One disk: a file of data written in place, a file of records, and the group commit that the chunk engine has.
//!
//! ```text
//!   writes (O_DIRECT, all at once) ─► group ─► data synced ─► one record of 4 KiB ─► record synced ─► all durable
//! ```
//! One group commits at a time; what is written meanwhile is the next. Both files were written from end to end before.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::OFlags;

use crate::block::{ALIGNMENT, Block};
use crate::ring::{Piece, Ring};

/// Size of the file of records, which are written round and round.
const RECORDS_BYTES: u64 = 64 << 20;
/// How much is written ahead at once.
const AHEAD_BYTES: usize = 1 << 20;

/// A step that is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The data of this write is in the file, not synced.
    Written(u64),
    DataSynced,
    Recorded,
    RecordSynced,
}

/// A step of one of several stores, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreEvent {
    pub(crate) store: usize,
    pub(crate) step: Step,
}

/// A disk.
#[derive(Debug)]
pub(crate) struct Store {
    number: usize,
    data: Rc<OwnedFd>,
    records: Rc<OwnedFd>,
    /// Written, in no group yet.
    waiting: Vec<u64>,
    data_waits: bool,
    /// The group that commits.
    group: Vec<u64>,
    commits: bool,
    record: Rc<Block>,
    record_at: u64,
}

/// Makes the files of a disk, written from end to end.
pub(crate) fn prepare(directory: &Path, bytes: u64) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (name, bytes) in [("data", bytes), ("records", RECORDS_BYTES)] {
        let mut file = direct(File::options().create(true).truncate(true), directory, name)?;
        let mut block = Block::new(AHEAD_BYTES);
        for number in 0..bytes / AHEAD_BYTES as u64 {
            block.fill(number);
            file.write_all(block.payload())?;
        }
        file.sync_all()?;
    }
    Ok(())
}

fn direct(options: &mut OpenOptions, directory: &Path, name: &str) -> io::Result<File> {
    let direct = OFlags::DIRECT.bits().cast_signed();
    options.read(true).write(true).custom_flags(direct).open(directory.join(name))
}

impl Store {
    /// Opens one that was prepared.
    pub(crate) fn open(directory: &Path, number: usize) -> io::Result<Self> {
        let open = |name| {
            Ok::<_, io::Error>(Rc::new(direct(&mut File::options(), directory, name)?.into()))
        };
        Ok(Self {
            number,
            data: open("data")?,
            records: open("records")?,
            waiting: Vec::new(),
            data_waits: false,
            group: Vec::new(),
            commits: false,
            record: Rc::new(Block::new(ALIGNMENT)),
            record_at: 0,
        })
    }

    /// The file of data.
    pub(crate) fn data(&self) -> &Rc<OwnedFd> {
        &self.data
    }

    /// Writes the payload of a block.
    pub(crate) fn write<T: From<StoreEvent>>(
        &self,
        ring: &mut Ring<T>,
        block: Rc<Block>,
        at: u64,
        id: u64,
    ) {
        let range = block.payload_range();
        ring.write(&self.data, Piece { block, range }, at, self.event(Step::Written(id)));
    }

    /// Makes a record durable that goes with no data.
    pub(crate) fn append<T: From<StoreEvent>>(&mut self, ring: &mut Ring<T>, id: u64) {
        self.waiting.push(id);
        self.next_group(ring);
    }

    /// Takes in that a step is done; what is durable by that is added.
    pub(crate) fn on<T: From<StoreEvent>>(
        &mut self,
        ring: &mut Ring<T>,
        step: Step,
        durable: &mut Vec<u64>,
    ) {
        match step {
            Step::Written(id) => {
                self.waiting.push(id);
                self.data_waits = true;
            }
            Step::DataSynced => self.write_record(ring),
            Step::Recorded => ring.sync(&self.records, self.event(Step::RecordSynced)),
            Step::RecordSynced => {
                self.commits = false;
                durable.append(&mut self.group);
            }
        }
        self.next_group(ring);
    }

    fn next_group<T: From<StoreEvent>>(&mut self, ring: &mut Ring<T>) {
        if self.commits || self.waiting.is_empty() {
            return;
        }
        self.commits = true;
        self.group = std::mem::take(&mut self.waiting);
        match std::mem::take(&mut self.data_waits) {
            true => ring.sync(&self.data, self.event(Step::DataSynced)),
            false => self.write_record(ring),
        }
    }

    fn write_record<T: From<StoreEvent>>(&mut self, ring: &mut Ring<T>) {
        let (block, range) = (self.record.clone(), self.record.payload_range());
        let at = self.record_at;
        self.record_at = (at + ALIGNMENT as u64) % RECORDS_BYTES;
        ring.write(&self.records, Piece { block, range }, at, self.event(Step::Recorded));
    }

    fn event<T: From<StoreEvent>>(&self, step: Step) -> T {
        StoreEvent { store: self.number, step }.into()
    }
}
