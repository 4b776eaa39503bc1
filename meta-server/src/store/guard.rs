//! The guard: a small file apart from the log that knows what the log must hold.
//!
//! RocksDB's point-in-time recovery drops whatever follows a damaged record without a word. The guard
//! names term, vote and the last entry that were on stable storage, so that a log which ends before them
//! is found out. It is written *after* the log's sync, with each new vote and about every second, so it
//! never names more than was there; only when the log is about to end sooner it is lowered first.
//!
//! So it may know a second less than was there. Where disks keep what they synced nothing rests on that: each append
//! is synced before anybody hears of it, and what recovery drops then stands behind the last sync. It matters where a
//! disk lies, or a block of the WAL goes bad: of entries that were synced within that second and are lost nobody knows,
//! and the member votes as if it had never had them. One that was acknowledged is lost by this if it stood on this member
//! and one other alone, and that is gone before it brought this one up to date. Knowing of each entry would cost a second
//! sync with each append.
//!
//! It knows too whether the member is new: from when its directory is made until a leader has brought it up to date. What
//! such a member voted for and acknowledged before, if it was there before, nobody knows, so it has no vote.
//!
//! Two slots, written in turn, so that a torn write leaves the other. Big-endian; slot 0 at byte 0, slot
//! 1 at byte 4096, the rest zeros:
//!
//! ```text
//!    0  magic "EMBGUARD"          24  term            u64
//!    8  format            u16     32  vote            u64
//!   10  new: 1, else 0    u16     40  last entry      u64
//!   12  zeros                     48  member          u64
//!   16  sequence          u64     56  CRC-32C of bytes 0 to 55
//! ```
//!
//! The valid slot of the higher sequence counts. Assumed of the medium: a write that is torn or fails
//! touches no other 4 KiB block.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use emberfs_buffer::Crc32c;
use emberfs_meta_server_consensus::{Index, MemberId, Term, Vote};

use super::error::OpenError;
use super::sync_point::{SyncPoint, Syncs};

const MAGIC: &[u8; 8] = b"EMBGUARD";
const FORMAT: u16 = 1;
const SLOT_BYTES: usize = 60;
const SLOT_DISTANCE: u64 = 4096;
const SLOTS: u64 = 2;

/// What the guard knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) member: MemberId,
    pub(super) vote: Vote,
    /// The last entry known to be on stable storage.
    pub(super) last: Index,
    /// No leader has brought the member up to date since its directory was made.
    pub(super) is_new: bool,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Guard {
    file: File,
    sequence: u64,
    known: Known,
    syncs: Syncs,
}

impl Guard {
    /// Makes the file; it is whole once its name is there. The caller syncs the directory.
    pub(super) fn create(path: &Path, known: Known, syncs: &Syncs) -> io::Result<Self> {
        let unfinished = path.with_extension("new");
        let file = File::create(&unfinished)?;
        file.set_len(SLOTS * SLOT_DISTANCE)?;
        let mut guard = Self { file, sequence: 0, known, syncs: syncs.clone() };
        guard.write(known)?;
        std::fs::rename(&unfinished, path)?;
        Ok(guard)
    }

    /// Opens the file; `None` if there is none.
    pub(super) fn open(path: &Path, syncs: &Syncs) -> Result<Option<Self>, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(io)?,
        };
        let mut newest: Option<(u64, Known)> = None;
        for slot in 0..SLOTS {
            let mut bytes = [0; SLOT_BYTES];
            match file.read_exact_at(&mut bytes, slot * SLOT_DISTANCE) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                other => other.map_err(io)?,
            }
            let found = decode(&bytes, path)?;
            newest = newest.max_by_sequence(found);
        }
        let what = || "neither slot of the guard is whole".to_owned();
        let (sequence, known) =
            newest.ok_or_else(|| OpenError::Damaged { path: path.to_owned(), what: what() })?;
        Ok(Some(Self { file, sequence, known, syncs: syncs.clone() }))
    }

    /// What it knows.
    pub(super) fn known(&self) -> Known {
        self.known
    }

    /// Writes and syncs, if this is new.
    pub(super) fn set(&mut self, known: Known) -> io::Result<()> {
        if known == self.known { Ok(()) } else { self.write(known) }
    }

    fn write(&mut self, known: Known) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let place = sequence % SLOTS * SLOT_DISTANCE;
        self.file.write_all_at(&encode(sequence, &known), place)?;
        if self.syncs.issues(SyncPoint::Guard) {
            self.file.sync_data()?;
        }
        (self.sequence, self.known) = (sequence, known);
        Ok(())
    }
}

/// Keeps the one that was written last.
trait BySequence {
    fn max_by_sequence(self, other: Self) -> Self;
}

impl BySequence for Option<(u64, Known)> {
    fn max_by_sequence(self, other: Self) -> Self {
        self.into_iter().chain(other).max_by_key(|(sequence, _)| *sequence)
    }
}

fn encode(sequence: u64, known: &Known) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..10].copy_from_slice(&FORMAT.to_be_bytes());
    slot[10..12].copy_from_slice(&u16::from(known.is_new).to_be_bytes());
    let numbers = [
        sequence,
        known.vote.term.get(),
        known.vote.member.get(),
        known.last.get(),
        known.member.get(),
    ];
    for (place, number) in numbers.into_iter().enumerate() {
        slot[16 + 8 * place..][..8].copy_from_slice(&number.to_be_bytes());
    }
    let sum = Crc32c::of(&slot[..56]).0;
    slot[56..].copy_from_slice(&sum.to_be_bytes());
    slot
}

/// `None` for a slot that was never written or is torn.
fn decode(slot: &[u8; SLOT_BYTES], path: &Path) -> Result<Option<(u64, Known)>, OpenError> {
    let sum = Crc32c::of(&slot[..56]).0.to_be_bytes();
    if slot[..8] != *MAGIC || slot[56..] != sum {
        return Ok(None);
    }
    let found = u16::from_be_bytes([slot[8], slot[9]]);
    if found != FORMAT {
        return Err(OpenError::Format { path: path.to_owned(), found, ours: FORMAT });
    }
    let number = |place: usize| {
        let bytes = slot[16 + 8 * place..][..8].try_into().expect("eight bytes");
        u64::from_be_bytes(bytes)
    };
    let vote = Vote { term: Term(number(1)), member: MemberId(number(2)) };
    let (last, member) = (Index(number(3)), MemberId(number(4)));
    let is_new = slot[10..12] != [0; 2];
    Ok(Some((number(0), Known { member, vote, last, is_new })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn known(last: u64) -> Known {
        let vote = Vote { term: Term(0x0102), member: MemberId(3) };
        Known { member: MemberId(1), vote, last: Index(last), is_new: false }
    }

    fn new() -> Known {
        Known { member: MemberId(1), is_new: true, ..Known::default() }
    }

    fn written(upto: u64) -> (TempDir, std::path::PathBuf) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("guard");
        let mut guard = Guard::create(&path, new(), &Syncs::all()).unwrap();
        (1..=upto).for_each(|last| guard.set(known(last)).unwrap());
        (dir, path)
    }

    fn read(path: &Path) -> Option<Known> {
        Guard::open(path, &Syncs::all()).unwrap().map(|guard| guard.known())
    }

    #[test]
    fn what_was_written_last_is_read() {
        let (dir, path) = written(0);
        assert_eq!(read(&path), Some(new()));
        for upto in 1..5 {
            let (_dir, path) = written(upto);
            assert_eq!(read(&path), Some(known(upto)));
        }
        assert_eq!(read(&dir.path().join("other")), None);
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        // Sequences 4 (of entry 3) and 5 (of entry 4) stand in slots 0 and 1.
        let (_dir, path) = written(4);
        let whole = std::fs::read(&path).unwrap();
        for torn in 0..SLOT_BYTES {
            let mut bytes = whole.clone();
            bytes[4096 + torn] ^= 0x40;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(read(&path), Some(known(3)), "torn at {torn}");
        }
        std::fs::write(&path, &whole[..4096]).unwrap();
        assert_eq!(read(&path), Some(known(3)));
    }

    #[test]
    fn two_torn_slots_are_refused() {
        let (_dir, path) = written(4);
        std::fs::write(&path, vec![0; 8192]).unwrap();
        let error = Guard::open(&path, &Syncs::all()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    }

    #[test]
    fn the_bytes_are_pinned() {
        let slot = encode(7, &known(0x0a0b));
        let row =
            |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x} ")).collect::<String>();
        let rows = slot.chunks(16).map(|bytes| row(bytes).trim_end().to_owned() + "\n");
        assert_eq!(rows.collect::<String>(), include_str!("../../golden/guard_1.txt"));
    }
}
