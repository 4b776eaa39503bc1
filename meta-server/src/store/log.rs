//! The log on disk: vote and entries, each synced before anything depends on it.
//!
//! | key | value (CBOR, numbered fields) |
//! | --- | --- |
//! | `\0format` | format and member: `format.rs` |
//! | `C` | where the log was cut: a position |
//! | `E`, index (u64, big-endian) | an entry: its term and its data |
//! | `S` | a state is being installed that has taken in this much, a position: [`install`](super::install) |
//! | `V` | the vote: term and member |
//!
//! One RocksDB of its own with a recycled WAL, whose sync overwrites blocks instead of making a file grow;
//! point-in-time recovery is the only mode that goes with it, and what that may drop is what the guard
//! is for. What recovery brings back is written to tables, and synced, before the store is open: so
//! all that is read at a start is on stable storage, also what a killed process had not synced.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use emberfs_meta_server_consensus::{
    Append, Durable, Entry, Index, MemberId, Position, Term, Vote,
};
use minicbor::{Decode, Encode};
use rocksdb::{
    DB, DBCompressionType, DBRecoveryMode, Direction, IteratorMode, Options, WriteBatch,
    WriteOptions,
};

use super::error::{OpenError, WriteError};
use super::format::{self, FORMAT_KEY, FormatRecord, Whose};
use super::guard::{Guard, Known};
use super::sync_point::{SyncPoint, Syncs};

const CUT_KEY: &[u8] = b"C";
const INSTALL_KEY: &[u8] = b"S";
const VOTE_KEY: &[u8] = b"V";
const ENTRY_PREFIX: u8 = b'E';

/// WAL files that are kept to be written over.
const RECYCLED_FILES: usize = 4;
/// RocksDB's own log files that are kept.
const REPORT_FILES: usize = 4;
/// Size of a memtable, and so of a WAL file.
const MEMTABLE_BYTES: usize = 32 << 20;

#[derive(Encode, Decode)]
struct EntryRecord<'b> {
    #[n(0)]
    term: Term,
    #[b(1)]
    #[cbor(with = "minicbor::bytes")]
    data: &'b [u8],
}

/// The open log with its guard. One thread owns it.
#[derive(Debug)]
pub struct LogStore {
    db: DB,
    guard: Guard,
    vote: Vote,
    /// The last entry on stable storage.
    last: Index,
    /// Up to where the guard knows entries that the log has lost; none once it holds as much again.
    lost: Index,
    /// No leader has brought the member up to date since its directory was made.
    is_new: bool,
    syncs: Syncs,
}

/// What the log holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) vote: Vote,
    pub(super) cut: Position,
    pub(super) entries: Vec<Entry>,
    /// The state that was being installed when the member ended.
    pub(super) installing: Option<Position>,
    /// No leader has brought the member up to date since its directory was made.
    pub(super) is_new: bool,
    /// Up to where the log has lost what was in it; none if it has lost nothing.
    pub(super) lost: Index,
}

impl Found {
    pub(super) fn last(&self) -> Index {
        self.entries.last().map_or(self.cut, |entry| entry.position).index
    }

    fn is_empty(&self) -> bool {
        self.vote == Vote::default() && self.last() == Index::NONE
    }
}

/// Where the guard stands in a member's directory: without one the member never ran.
pub(super) fn guard_path(dir: &Path) -> PathBuf {
    dir.join("guard")
}

impl LogStore {
    /// Opens the log and its guard in `dir`, and holds the one against the other.
    pub(super) fn open(
        dir: &Path,
        whose: Whose,
        syncs: &Syncs,
    ) -> Result<(Self, Found), OpenError> {
        let path = dir.join("log");
        let db = DB::open(&db_options(), &path).map_err(|error| format::rocks(&path, &error))?;
        let made = format::check(&db, &path, whose)?;
        let guard = Guard::open(&guard_path(dir), syncs)?;
        if guard.is_some() && !made {
            return Err(OpenError::Missing { path });
        }
        let mut found = read(&db, &path)?;
        if guard.is_none() && !found.is_empty() {
            return Err(OpenError::Missing { path: guard_path(dir) });
        }
        let guard = match guard {
            Some(guard) => {
                hold_against(&path, whose, &mut found, guard.known())?;
                guard
            }
            None => make(dir, &db, &path, whose, syncs)?,
        };
        // Who holds nothing is as good as new, however often it was started.
        let empty = whose.members > 1 && found.last() == Index::NONE;
        found.is_new = guard.known().is_new || empty;
        let (vote, last, lost, is_new) = (found.vote, found.last(), found.lost, found.is_new);
        let mut log = Self { db, guard, vote, last, lost, is_new, syncs: syncs.clone() };
        log.write_guard().map_err(OpenError::io(&guard_path(dir)))?;
        Ok((log, found))
    }

    /// Writes appends, in order, and a cut; all is on stable storage when it returns. The token stands
    /// for all of them.
    ///
    /// # Errors
    /// [`WriteError`]; nothing is known then about what is on the disk.
    pub fn append(
        &mut self,
        appends: Vec<Append>,
        cut: Option<Position>,
    ) -> Result<Option<Durable>, WriteError> {
        let mut batch = WriteBatch::default();
        let (mut vote, mut last) = (self.vote, self.last);
        for append in &appends {
            if let Some(new) = append.vote() {
                vote = new;
                batch.put(VOTE_KEY, format::encode(&vote));
            }
            last = self.put_entries(&mut batch, append.entries(), last)?;
        }
        if let Some(cut) = cut {
            batch.put(CUT_KEY, format::encode(&cut));
            batch.delete_range(entry_key(Index::NONE), entry_key(cut.index.next()));
        }
        // A cut alone may be lost: the entries are then there again.
        self.write(batch, !appends.is_empty())?;
        self.last = last;
        if vote != self.vote {
            self.vote = vote;
            self.write_guard()?;
        }
        Ok(appends.into_iter().next_back().map(Append::synced))
    }

    /// Says on stable storage that the state which is received and has taken in `at` is about to take the
    /// place of the present one, and keeps the vote that came with it.
    ///
    /// # Errors
    /// [`WriteError`], as for [`Self::append`].
    pub fn begin_install(&mut self, at: Position, vote: Option<Vote>) -> Result<(), WriteError> {
        let mut batch = WriteBatch::default();
        batch.put(INSTALL_KEY, format::encode(&at));
        if let Some(vote) = vote {
            batch.put(VOTE_KEY, format::encode(&vote));
        }
        self.write(batch, true)?;
        if let Some(vote) = vote {
            self.vote = vote;
            self.write_guard()?;
        }
        Ok(())
    }

    /// The state has taken its place: forgets all entries, and begins behind `at` with these.
    ///
    /// # Errors
    /// [`WriteError`], as for [`Self::append`].
    pub fn finish_install(&mut self, at: Position, entries: &[Entry]) -> Result<(), WriteError> {
        self.lower_guard(at.index)?;
        let mut batch = WriteBatch::default();
        batch.delete(INSTALL_KEY);
        batch.put(CUT_KEY, format::encode(&at));
        batch.delete_range(entry_key(Index::NONE), [ENTRY_PREFIX + 1].to_vec());
        let last = self.put_entries(&mut batch, entries, at.index)?;
        self.write(batch, true)?;
        self.last = last;
        Ok(self.write_guard()?)
    }

    /// The state has taken in `at` and no entry of the log is of use to it: forgets all entries, and begins behind `at`,
    /// in debt for all up to `held`.
    ///
    /// # Errors
    /// [`WriteError`], as for [`Self::append`].
    pub(super) fn begin_anew(&mut self, at: Position, held: Index) -> Result<(), WriteError> {
        // The debt first: a log that ends sooner than its guard knows is in debt at the next start too.
        self.is_new |= at.index == Index::NONE;
        self.owe(held)?;
        self.finish_install(at, &[])
    }

    /// The log is found to have held this much: the member is in debt for it, also at the next start, until the log ends
    /// there again.
    ///
    /// # Errors
    /// [`WriteError::Guard`].
    pub fn owe(&mut self, held: Index) -> Result<(), WriteError> {
        self.lost = self.lost.max(held);
        let (known, is_new) = (self.guard.known(), self.is_new);
        Ok(self.guard.set(Known { last: known.last.max(self.lost), is_new, ..known })?)
    }

    /// A leader has brought the member up to date, and all of that is on stable storage.
    ///
    /// # Errors
    /// [`WriteError::Guard`].
    pub fn brought_up(&mut self) -> Result<(), WriteError> {
        self.is_new = false;
        Ok(self.write_guard()?)
    }

    /// Takes what the log has lost for lost: the member is in debt for nothing any more.
    pub(super) fn accept_loss(&mut self) -> std::io::Result<()> {
        (self.lost, self.is_new) = (Index::NONE, false);
        self.write_guard()
    }

    fn write(&self, batch: WriteBatch, sync: bool) -> Result<(), WriteError> {
        let mut options = WriteOptions::default();
        options.set_sync(sync && self.syncs.issues(SyncPoint::Log));
        let rocks = |source| WriteError::Rocks { what: "log", source };
        self.db.write_opt(batch, &options).map_err(rocks)
    }

    /// Says where the log ends with `entries` behind `last`.
    fn put_entries(
        &mut self,
        batch: &mut WriteBatch,
        entries: &[Entry],
        last: Index,
    ) -> Result<Index, WriteError> {
        let Some(first) = entries.first().map(|entry| entry.position.index) else {
            return Ok(last);
        };
        if first <= last {
            self.lower_guard(Index(first.get() - 1))?;
            batch.delete_range(entry_key(first), [ENTRY_PREFIX + 1].to_vec());
        }
        for Entry { position, data } in entries {
            let record = EntryRecord { term: position.term, data };
            batch.put(entry_key(position.index), format::encode(&record));
        }
        Ok(entries.last().map_or(last, |entry| entry.position.index))
    }

    /// The log is about to end there, which may be sooner than the guard knows. What the guard knows of entries
    /// that are lost stays: they are not there to be overwritten.
    fn lower_guard(&mut self, last: Index) -> std::io::Result<()> {
        let known = self.guard.known();
        let last = last.min(known.last).max(self.lost);
        self.guard.set(Known { last, ..known })
    }

    /// Brings the guard up to what is on stable storage; to be called about every second.
    ///
    /// # Errors
    /// [`WriteError::Guard`].
    pub fn refresh_guard(&mut self) -> Result<(), WriteError> {
        Ok(self.write_guard()?)
    }

    fn write_guard(&mut self) -> std::io::Result<()> {
        if self.last >= self.lost {
            self.lost = Index::NONE;
        }
        let member = self.guard.known().member;
        let last = self.last.max(self.lost);
        self.guard.set(Known { member, vote: self.vote, last, is_new: self.is_new })
    }
}

/// A new member: the log says that it was made, then the guard appears.
fn make(dir: &Path, db: &DB, path: &Path, whose: Whose, syncs: &Syncs) -> Result<Guard, OpenError> {
    let mut options = WriteOptions::default();
    options.set_sync(syncs.issues(SyncPoint::Log));
    let record = format::encode(&FormatRecord::new(whose));
    db.put_opt(FORMAT_KEY, record, &options).map_err(|error| format::rocks(path, &error))?;
    let guard_path = guard_path(dir);
    let known = Known { member: whose.member, is_new: whose.members > 1, ..Known::default() };
    let guard = Guard::create(&guard_path, known, syncs).map_err(OpenError::io(&guard_path))?;
    super::sync_directory(dir, syncs)?;
    Ok(guard)
}

/// The log must hold all that the guard knows. Where others have it too the member may begin without: with the vote
/// that the guard knows, and in debt for the entries.
fn hold_against(
    path: &Path,
    Whose { member, members }: Whose,
    found: &mut Found,
    known: Known,
) -> Result<(), OpenError> {
    let path = path.to_owned();
    if known.member != member {
        return Err(OpenError::OtherMember { path, found: known.member, wanted: member });
    }
    let alone = members == 1;
    let (term, synced) = (found.vote.term, known.vote.term);
    let voted_for_another =
        known.vote.member != MemberId::NONE && known.vote.member != found.vote.member;
    if term < synced || (term == synced && voted_for_another) {
        if alone {
            return Err(OpenError::VoteLost { path, found: term, synced });
        }
        tracing::warn!(log = %path.display(), term = synced.get(), "the log has lost the member's vote");
        found.vote = known.vote;
    }
    let last = found.last();
    if last < known.last {
        if alone {
            return Err(OpenError::LogShortened { path, last, synced: known.last });
        }
        let (last, synced) = (last.get(), known.last.get());
        tracing::warn!(log = %path.display(), last, synced, "the log has lost its end: the others have it");
        found.lost = known.last;
    }
    Ok(())
}

fn read(db: &DB, path: &Path) -> Result<Found, OpenError> {
    let vote = format::get(db, path, VOTE_KEY)?.unwrap_or_default();
    let cut: Position = format::get(db, path, CUT_KEY)?.unwrap_or_default();
    let installing = format::get(db, path, INSTALL_KEY)?;
    let mut found = Found { vote, cut, installing, ..Found::default() };
    let first = entry_key(cut.index.next());
    for pair in db.iterator(IteratorMode::From(&first, Direction::Forward)) {
        let (key, value) = pair.map_err(|error| format::rocks(path, &error))?;
        if key.first() != Some(&ENTRY_PREFIX) {
            break;
        }
        let index = found.last().next();
        if *key != entry_key(index) {
            let what = format!("entry {index} is missing before {}", key.escape_ascii());
            return Err(OpenError::Damaged { path: path.to_owned(), what });
        }
        let record: EntryRecord<'_> = format::decode(&value, path, &key)?;
        let position = Position { index, term: record.term };
        found.entries.push(Entry { position, data: Bytes::copy_from_slice(record.data) });
    }
    Ok(found)
}

fn entry_key(index: Index) -> Vec<u8> {
    let mut key = vec![ENTRY_PREFIX];
    key.extend_from_slice(&index.get().to_be_bytes());
    key
}

fn db_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_recycle_log_file_num(RECYCLED_FILES);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_keep_log_file_num(REPORT_FILES);
    // Entries are read again at a start alone, and most are cut soon.
    options.set_compression_type(DBCompressionType::None);
    options
}
