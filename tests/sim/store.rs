//! A model of a target's store: what shows, and what a loss of power leaves of it.
//!
//! A put, install or sweep is durable when it is done; one that is under way when the power goes may have
//! happened or not. Marks of commits and discards show at once, and are durable with a later put of the
//! same chunk, with a flush, or by luck with any other batch. It may have room for so many versions with
//! bytes: each takes a block of its own.
//!
//! That block may be damaged, until the disk is mended: what it holds cannot be read, nor changed in part, but
//! where the change is to leave it damaged.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use emberfs_buffer::{ChunkDigest, Crc32c, Payload};
use emberfs_chain_replication::target::{
    Change, ChunkState, Chunks, EndedSessions, Installed, Loaded, NewVersion, ReadResult,
    StoreError, VersionState, Which,
};
use emberfs_layout::{BlockSize, ByteLen, ChunkId, ChunkOffset, ChunkSize, ChunkVersion, DataId};
use emberfs_wire::chunk::ChunkEnd;
use emberfs_wire::replica::AppliedTag;

/// One version with its bytes.
#[derive(Clone, Debug)]
struct Version {
    state: VersionState,
    bytes: Rc<Vec<u8>>,
    tags: Vec<AppliedTag>,
    damaged: bool,
}

#[derive(Clone, Debug, Default)]
struct Record {
    committed: Option<Version>,
    pending: Option<Version>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    shown: BTreeMap<ChunkId, Record>,
    durable: BTreeMap<ChunkId, Record>,
    /// For how many blocks there is room, if there is a limit.
    pub(crate) blocks_max: Option<usize>,
    /// Puts under way that may take a block.
    promised: usize,
}

/// A change of the store that takes time.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Put(ChunkId, NewVersion),
    Install(ChunkId, Installed),
    Sweep(ChunkId),
    Flush,
}

impl Store {
    /// A change begins that may take room.
    pub(crate) fn begin(&mut self, work: &Work) {
        self.promised += usize::from(work.takes_room());
    }

    /// It has come to nothing.
    pub(crate) fn give_up(&mut self, work: &Work) {
        self.promised -= usize::from(work.takes_room());
    }

    fn blocks(&self) -> usize {
        let has_bytes = |version: &&Version| !version.bytes.is_empty();
        let of = |record: &Record| {
            [&record.committed, &record.pending].into_iter().flatten().filter(has_bytes).count()
        };
        self.shown.values().map(of).sum()
    }

    /// Carries a change out that was begun; for a put, returns the version and the lengths after each
    /// change.
    pub(crate) fn apply(
        &mut self,
        work: Work,
    ) -> Result<Option<(VersionState, Vec<ChunkOffset>)>, StoreError> {
        self.give_up(&work);
        let full = self.blocks_max.is_some_and(|most| self.blocks() >= most);
        if full && work.takes_room() {
            return Err(StoreError::NoSpace);
        }
        match work {
            Work::Put(chunk, new) if !new.keep_damage && self.needs_damaged(chunk, &new) => {
                return Err(StoreError::Corrupt);
            }
            Work::Put(chunk, new) => {
                let stored = self.show(chunk, new);
                self.settle(chunk);
                return Ok(Some(stored));
            }
            Work::Install(chunk, installed) => {
                self.show_installed(chunk, installed);
                self.settle(chunk);
            }
            Work::Sweep(chunk) => {
                self.shown.remove(&chunk);
                self.settle(chunk);
            }
            Work::Flush => self.durable = self.shown.clone(),
        }
        Ok(None)
    }

    /// Whether a change needs a part of a block that cannot be read.
    fn needs_damaged(&self, chunk: ChunkId, new: &NewVersion) -> bool {
        let base = self.shown.get(&chunk).and_then(|record| record.committed.as_ref());
        let Some(base) = base.filter(|base| base.damaged) else { return false };
        let needs = |(_, change): &(_, Change)| match change {
            Change::Write(_) => Some(true),
            Change::Cut(len) if len.get() == 0 => Some(false),
            Change::Cut(len) => (*len < base.state.len).then_some(true),
            Change::Remove => Some(false),
        };
        new.changes.iter().find_map(needs).unwrap_or(false)
    }

    /// The block of a chunk cannot be read from now on.
    pub(crate) fn damage(&mut self, chunk: ChunkId) {
        let of = |records: &mut BTreeMap<ChunkId, Record>| {
            let record = records.get_mut(&chunk).into_iter();
            let versions = record.flat_map(|record| [&mut record.committed, &mut record.pending]);
            versions.flatten().for_each(|version| version.damaged = !version.bytes.is_empty());
        };
        of(&mut self.shown);
        of(&mut self.durable);
    }

    /// All blocks can be read again.
    pub(crate) fn mend(&mut self) {
        for record in self.shown.values_mut().chain(self.durable.values_mut()) {
            let versions = [&mut record.committed, &mut record.pending].into_iter().flatten();
            versions.for_each(|version| version.damaged = false);
        }
    }

    /// A put that shows before it is durable: what [`Store::settle`] is for.
    pub(crate) fn show(
        &mut self,
        chunk: ChunkId,
        new: NewVersion,
    ) -> (VersionState, Vec<ChunkOffset>) {
        let record = self.shown.entry(chunk).or_default();
        let base = record.committed.as_ref();
        let at = base.map_or(ChunkVersion::NONE, |base| base.state.version);
        assert_eq!(at.next(), new.version, "a put of {chunk} on {at}");
        let mut bytes = base.map_or_else(Vec::new, |base| base.bytes.to_vec());
        let mut removed = base.is_none_or(|base| base.state.removed);
        let mut damaged = base.is_some_and(|base| base.damaged);
        let (mut lens, mut tags) = (Vec::new(), new.kept);
        for (tag, change) in new.changes {
            match change {
                Change::Write(payload) => {
                    removed = false;
                    let (start, end) = (payload.start().get(), payload.end().get());
                    bytes.resize(bytes.len().max(end as usize), 0);
                    bytes[start as usize..end as usize].copy_from_slice(payload.bytes());
                }
                Change::Cut(len) => bytes.truncate(len.get() as usize),
                Change::Remove => (removed, bytes) = (true, Vec::new()),
            }
            damaged &= !bytes.is_empty();
            let chunk_len = length(&bytes);
            lens.push(chunk_len);
            tags.push(AppliedTag { tag, version: new.version, chunk_len });
        }
        let state = VersionState {
            version: new.version,
            len: length(&bytes),
            digest: digest(&bytes, removed),
            written_in: new.written_in,
            removed,
        };
        let version = Version { state, bytes: Rc::new(bytes), tags, damaged };
        if new.commit {
            *record = Record { committed: Some(version), pending: None };
        } else {
            record.pending = Some(version);
        }
        (state, lens)
    }

    /// An install that shows before it is durable.
    pub(crate) fn show_installed(&mut self, chunk: ChunkId, installed: Installed) {
        let Installed { state, tags, data, .. } = installed;
        let bytes = data.map_or_else(Vec::new, |data| data.bytes().to_vec());
        assert_eq!(digest(&bytes, state.removed), state.digest, "installed bytes");
        let version = Version { state, bytes: Rc::new(bytes), tags, damaged: false };
        self.shown.insert(chunk, Record { committed: Some(version), pending: None });
    }

    /// The latest version of a chunk that no loss of power takes.
    pub(crate) fn durable_version(&self, chunk: ChunkId) -> ChunkVersion {
        let record = self.durable.get(&chunk);
        let latest =
            record.and_then(|record| record.pending.as_ref().or(record.committed.as_ref()));
        latest.map_or(ChunkVersion::NONE, |version| version.state.version)
    }

    /// What shows of a chunk is durable.
    pub(crate) fn settle(&mut self, chunk: ChunkId) {
        match self.shown.get(&chunk) {
            Some(record) => drop(self.durable.insert(chunk, record.clone())),
            None => drop(self.durable.remove(&chunk)),
        }
    }

    pub(crate) fn commit(&mut self, chunk: ChunkId, version: ChunkVersion) {
        let record = self.shown.get_mut(&chunk).expect("a commit of what was put");
        if record.pending.as_ref().is_some_and(|pending| pending.state.version == version) {
            record.committed = record.pending.take();
        }
    }

    pub(crate) fn discard(&mut self, chunk: ChunkId) {
        if let Some(record) = self.shown.get_mut(&chunk) {
            record.pending = None;
            if record.committed.is_none() {
                self.shown.remove(&chunk);
            }
        }
    }

    /// The power goes: what is not durable is lost.
    pub(crate) fn lose_power(&mut self) {
        self.promised = 0;
        self.shown = self.durable.clone();
    }

    /// What a server finds at its start.
    pub(crate) fn load(&self, ended: EndedSessions) -> Loaded {
        let pending = self
            .shown
            .iter()
            .filter_map(|(chunk, record)| Some((*chunk, record.pending.as_ref()?.state.version)));
        let tags = self.shown.iter().flat_map(|(chunk, record)| {
            let latest = record.pending.as_ref().or(record.committed.as_ref());
            latest.into_iter().flat_map(|v| v.tags.iter().map(|applied| (*chunk, *applied)))
        });
        Loaded { pending: pending.collect(), tags: tags.collect(), ended }
    }

    pub(crate) fn read(
        &self,
        chunk: ChunkId,
        which: Which,
        start: ChunkOffset,
        len: ChunkOffset,
    ) -> Result<ReadResult, StoreError> {
        let record = self.shown.get(&chunk).ok_or(StoreError::Missing)?;
        let version = match which {
            Which::Committed => record.committed.as_ref(),
            Which::Pending => record.pending.as_ref(),
        };
        let version = version.filter(|v| !v.state.removed).ok_or(StoreError::Missing)?;
        if version.damaged {
            return Err(StoreError::Corrupt);
        }
        let end = start.get().saturating_add(len.get()).min(version.state.len.get());
        let data = (start.get() < end).then(|| {
            let part = &version.bytes[start.get() as usize..end as usize];
            Payload::compute(Bytes::copy_from_slice(part), start, BlockSize::MIN).expect("small")
        });
        Ok(ReadResult { state: version.state, data })
    }

    /// A chunk as another store would install it, if it is committed and can be read.
    pub(crate) fn to_install(&self, chunk: ChunkId) -> Option<Installed> {
        let version = self.shown.get(&chunk)?.committed.as_ref().filter(|found| !found.damaged)?;
        let data = (!version.bytes.is_empty()).then(|| {
            let bytes = Bytes::copy_from_slice(&version.bytes);
            Payload::compute(bytes, ChunkOffset(0), BlockSize::MIN).expect("small")
        });
        let tags = version.tags.clone();
        Some(Installed { state: version.state, chunk_size: ChunkSize::MIN, tags, data })
    }

    /// What a store that looks at no sums would read of a damaged chunk.
    pub(crate) fn read_unchecked(
        &self,
        chunk: ChunkId,
        which: Which,
    ) -> Result<ReadResult, StoreError> {
        let mut sound = Self { shown: self.shown.clone(), ..Self::default() };
        sound.mend();
        let all = ChunkOffset(ChunkSize::MIN.bytes());
        let mut found = sound.read(chunk, which, ChunkOffset(0), all)?;
        found.data = found.data.map(|data| {
            let bytes = data.bytes().iter().map(|byte| !byte).collect::<Vec<u8>>();
            Payload::compute(bytes.into(), ChunkOffset(0), BlockSize::MIN).expect("small")
        });
        Ok(found)
    }

    /// All that is committed and whether anything is pending, to compare replicas.
    pub(crate) fn summary(&self) -> (Vec<(ChunkId, ChunkVersion, ChunkDigest, bool)>, bool) {
        let committed = self.shown.iter().filter_map(|(chunk, record)| {
            let state = record.committed.as_ref()?.state;
            Some((*chunk, state.version, state.digest, state.removed))
        });
        (committed.collect(), self.shown.values().any(|record| record.pending.is_some()))
    }
}

impl Chunks for Store {
    fn state(&self, chunk: ChunkId) -> Option<ChunkState> {
        self.shown.get(&chunk).map(state_of)
    }

    fn page(&self, after: Option<ChunkId>, limit: usize) -> Vec<(ChunkId, ChunkState)> {
        let behind = self.shown.iter().filter(|(chunk, _)| after.is_none_or(|at| **chunk > at));
        behind.take(limit).map(|(chunk, record)| (*chunk, state_of(record))).collect()
    }

    fn last_chunk(&self, data: DataId) -> Option<ChunkEnd> {
        let of = self.shown.iter().filter(|(chunk, _)| chunk.data == data);
        let mut there = of.filter_map(|(chunk, record)| {
            let state = record.committed.as_ref()?.state;
            (!state.removed).then_some(ChunkEnd { index: chunk.index, len: state.len })
        });
        there.next_back()
    }

    fn has_room(&self, room: ByteLen, block: BlockSize) -> bool {
        let wanted =
            self.promised + usize::try_from(room.get()).expect("small") / block.bytes() as usize;
        let fits = |most| self.blocks() + wanted <= most;
        room == ByteLen::ZERO || self.blocks_max.is_none_or(fits)
    }
}

impl Work {
    /// Whether it takes a block.
    pub(crate) fn takes_room(&self) -> bool {
        match self {
            Self::Put(_, new) => {
                let takes = |(_, change): &(_, Change)| match change {
                    Change::Write(_) => true,
                    Change::Cut(len) => *len != ChunkOffset(0),
                    Change::Remove => false,
                };
                new.changes.iter().any(takes)
            }
            Self::Install(_, installed) => installed.data.is_some(),
            Self::Sweep(_) | Self::Flush => false,
        }
    }
}

fn state_of(record: &Record) -> ChunkState {
    let state = |version: &Option<Version>| version.as_ref().map(|version| version.state);
    ChunkState {
        committed: state(&record.committed),
        pending: state(&record.pending),
        chunk_size: ChunkSize::MIN,
    }
}

fn length(bytes: &[u8]) -> ChunkOffset {
    ChunkOffset(u32::try_from(bytes.len()).expect("small"))
}

fn digest(bytes: &[u8], removed: bool) -> ChunkDigest {
    if removed {
        return ChunkDigest::EMPTY;
    }
    let mut block = bytes.to_vec();
    block.resize(BlockSize::MIN.bytes() as usize, 0);
    let sum = Crc32c::of(&block);
    ChunkDigest::EMPTY.with(0, sum, BlockSize::MIN).resized(ChunkOffset(0), length(bytes))
}
