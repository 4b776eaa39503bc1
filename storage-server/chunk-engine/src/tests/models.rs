//! Engines on models of a disk and of records, and versions of one small chunk.

use emberfs_layout::{ByteLen, ChunkOffset, ChunkSize};

use super::reference::PlainChange;
use super::steps::new_version;
use super::{CHUNKS, open};
use crate::model::{ModelDisk, ModelRecords, Power};
use crate::{ChunkKey, Engine, EngineError, NewVersion, Which};

pub(super) type ModelEngine = Engine<ModelDisk, ModelRecords>;

pub(super) const KEY: ChunkKey = CHUNKS[0].0;

pub(super) const OTHER: ChunkKey = CHUNKS[1].0;

pub(super) const SIZE: ChunkSize = ChunkSize::MIN;

pub(super) fn models(size: u64) -> (ModelDisk, ModelRecords) {
    let power = Power::steady();
    (ModelDisk::new(power.clone(), ByteLen(size)), ModelRecords::new(power))
}

pub(super) async fn model() -> (ModelEngine, ModelDisk) {
    let (disk, records) = models(64 << 20);
    (open(disk.clone(), records).await, disk)
}

pub(super) fn write(version: u64, start: usize, bytes: Vec<u8>, commit: bool) -> NewVersion {
    let change = PlainChange::Write { start, bytes, aligned: true };
    new_version(None, version, SIZE, &[change], commit)
}

pub(super) fn remove(version: u64) -> NewVersion {
    new_version(None, version, SIZE, &[PlainChange::Remove], true)
}

pub(super) async fn read_all(engine: &ModelEngine, key: ChunkKey) -> Result<Vec<u8>, EngineError> {
    let read = engine.read(key, Which::Committed, ChunkOffset(0), ChunkOffset(u32::MAX)).await?;
    Ok(read.data.bytes().to_vec())
}
