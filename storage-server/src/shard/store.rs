//! A target's part of its disk, in the core's words.
//!
//! The core and the engine each have their own nouns for versions and changes, as neither may know the
//! other; here one is turned into the other, and nothing else happens.

use std::time::Duration;

use emberfs_chain_replication::target::{
    Change, ChunkState, Chunks, Durable, EndedSessions, Installed, Loaded, NewVersion, ReadResult,
    StoreError, VersionState, Which,
};
use emberfs_layout::{BlockSize, ByteLen, ChunkId, ChunkOffset, ChunkVersion, DataId, TargetId};
use emberfs_storage_server_chunk_engine as engine;
use emberfs_wire::Tag;
use emberfs_wire::chunk::ChunkEnd;
use emberfs_wire::replica::AppliedTag;
use engine::{ChunkKey, EngineError, FileEngine};
use tokio::time::sleep;

/// How long to wait before a pool that is used up is asked again. What holds its memory are reads that
/// are being sent, so it comes back by itself.
const MEMORY_PAUSE: Duration = Duration::from_millis(1);

/// Chunks looked at in one go when a target begins (a count): a page of the index that fits the caches.
const LOAD_PAGE: usize = 4096;

/// One target on a disk; clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    engine: FileEngine,
    target: TargetId,
}

impl Store {
    pub(crate) fn new(engine: FileEngine, target: TargetId) -> Self {
        Self { engine, target }
    }

    pub(crate) fn target(&self) -> TargetId {
        self.target
    }

    fn key(&self, chunk: ChunkId) -> ChunkKey {
        ChunkKey { target: self.target, chunk }
    }

    pub(crate) fn put(
        &self,
        chunk: ChunkId,
        new: NewVersion,
    ) -> impl Future<Output = Result<Durable, StoreError>> + use<> {
        let put = self.engine.put(self.key(chunk), new_version(new));
        async move {
            let engine::PutResult { state, lens } = put.await.map_err(store_error)?;
            Ok(Durable::put(version(state), lens))
        }
    }

    pub(crate) fn install(
        &self,
        chunk: ChunkId,
        installed: Installed,
    ) -> impl Future<Output = Result<Durable, StoreError>> + use<> {
        let Installed { state, chunk_size, tags, data } = installed;
        let VersionState { version, len, digest, written_in, removed } = state;
        let state = engine::VersionState { version, len, digest, written_in, removed };
        let tags = tags.into_iter().map(engine_tag).collect();
        let installed = engine::Installed { state, chunk_size, tags, data };
        let install = self.engine.install(self.key(chunk), installed);
        async move { install.await.map(|()| Durable::done()).map_err(store_error) }
    }

    pub(crate) async fn sweep(&self, chunk: ChunkId) -> Result<Durable, StoreError> {
        self.engine.forget(self.key(chunk)).await.map(|()| Durable::done()).map_err(store_error)
    }

    pub(crate) async fn flush(&self) -> Result<Durable, StoreError> {
        self.engine.flush().await.map(|()| Durable::done()).map_err(store_error)
    }

    pub(crate) fn commit(&self, chunk: ChunkId, version: ChunkVersion) {
        self.engine.commit(self.key(chunk), version);
    }

    pub(crate) fn discard(&self, chunk: ChunkId) {
        self.engine.discard(self.key(chunk));
    }

    pub(crate) async fn read(
        &self,
        chunk: ChunkId,
        which: Which,
        start: ChunkOffset,
        len: ChunkOffset,
    ) -> Result<ReadResult, StoreError> {
        let which = match which {
            Which::Committed => engine::Which::Committed,
            Which::Pending => engine::Which::Pending,
        };
        let read = with_memory(|| self.engine.read(self.key(chunk), which, start, len)).await;
        let engine::ReadResult { version: state, data } = read.map_err(store_error)?;
        let data = Some(data).filter(|data| !data.is_empty());
        Ok(ReadResult { state: version(state), data })
    }

    /// What a core begins with.
    pub(crate) async fn load(&self, ended: EndedSessions) -> Result<Loaded, EngineError> {
        let tags = self.engine.tags(self.target).await?;
        let tags = tags.into_iter().map(|(chunk, tag)| (chunk, core_tag(tag))).collect();
        let mut pending = Vec::new();
        let mut after = None;
        loop {
            let page = self.engine.chunks(self.target, after, LOAD_PAGE);
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            let found = |(chunk, state): &(ChunkId, engine::ChunkState)| {
                state.pending.map(|pending| (*chunk, pending.version))
            };
            pending.extend(page.iter().filter_map(found));
        }
        Ok(Loaded { pending, tags, ended })
    }
}

impl Chunks for Store {
    fn state(&self, chunk: ChunkId) -> Option<ChunkState> {
        self.engine.state(self.key(chunk)).map(state)
    }

    fn page(&self, after: Option<ChunkId>, limit: usize) -> Vec<(ChunkId, ChunkState)> {
        let chunks = self.engine.chunks(self.target, after, limit);
        chunks.into_iter().map(|(chunk, found)| (chunk, state(found))).collect()
    }

    fn last_chunk(&self, data: DataId) -> Option<ChunkEnd> {
        let (index, len) = self.engine.last_chunk(self.target, data)?;
        Some(ChunkEnd { index, len })
    }

    fn has_room(&self, room: ByteLen, block: BlockSize) -> bool {
        self.engine.has_room(room, block)
    }
}

/// Does `work` again as long as there is no memory for it: nothing has changed then.
async fn with_memory<T, F: Future<Output = Result<T, EngineError>>>(
    work: impl Fn() -> F,
) -> Result<T, EngineError> {
    loop {
        match work().await {
            Err(EngineError::Memory(error)) if is_passing(&error) => sleep(MEMORY_PAUSE).await,
            outcome => return outcome,
        }
    }
}

fn is_passing(error: &emberfs_buffer::PoolError) -> bool {
    matches!(error, emberfs_buffer::PoolError::Exhausted { .. })
}

fn state(state: engine::ChunkState) -> ChunkState {
    let engine::ChunkState { committed, pending, chunk_size } = state;
    ChunkState { committed: committed.map(version), pending: pending.map(version), chunk_size }
}

fn version(state: engine::VersionState) -> VersionState {
    let engine::VersionState { version, len, digest, written_in, removed } = state;
    VersionState { version, len, digest, written_in, removed }
}

fn new_version(new: NewVersion) -> engine::NewVersion {
    let NewVersion {
        version,
        written_in,
        chunk_size,
        changes,
        kept,
        commit,
        keep_damage,
        sure_of_room,
    } = new;
    let tagged = |(Tag { client, sequence }, change): (Tag, Change)| {
        let change = match change {
            Change::Write(payload) => engine::Change::Write(payload),
            Change::Cut(len) => engine::Change::Cut(len),
            Change::Remove => engine::Change::Remove,
        };
        engine::TaggedChange { client, sequence, change }
    };
    let changes = changes.into_iter().map(tagged).collect();
    let kept_tags = kept.into_iter().map(engine_tag).collect();
    engine::NewVersion {
        version,
        written_in,
        chunk_size,
        changes,
        kept_tags,
        commit,
        keep_damage,
        sure_of_room,
    }
}

fn engine_tag(tag: AppliedTag) -> engine::AppliedTag {
    let AppliedTag { tag: Tag { client, sequence }, version, chunk_len } = tag;
    engine::AppliedTag { client, sequence, version, chunk_len }
}

fn core_tag(tag: engine::AppliedTag) -> AppliedTag {
    let engine::AppliedTag { client, sequence, version, chunk_len } = tag;
    AppliedTag { tag: Tag { client, sequence }, version, chunk_len }
}

fn store_error(error: EngineError) -> StoreError {
    match error {
        EngineError::NoSpace { .. } => StoreError::NoSpace,
        EngineError::Disk(error) if error.is_full() => StoreError::NoSpace,
        EngineError::Corrupt { .. } | EngineError::OtherDigest { .. } => StoreError::Corrupt,
        EngineError::Absent { .. } => StoreError::Missing,
        // Neither may happen to a core that keeps to one version a chunk, nor to a disk that works: what
        // is stored is not known any more.
        other => StoreError::Failed { text: other.to_string() },
    }
}
