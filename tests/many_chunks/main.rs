//! `many-chunks DISK COUNT TARGET…`: puts so many chunks of 4 KiB on a disk that no server uses, evenly over its targets,
//! by the engine of a storage server: what `cargo xtask bench` starts one with.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use emberfs_buffer::{Payload, Pool};
use emberfs_layout::{
    ByteLen, ChainVersion, ChunkId, ChunkIndex, ChunkOffset, ChunkSize, ChunkVersion, ClientId,
    DataId, Sequence, TargetId,
};
use emberfs_storage_server_chunk_engine::{
    Change, ChunkKey, FileEngine, NewVersion, Options, TaggedChange, open_directory,
};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};

/// How many are under way: a sync is for all that have gathered meanwhile.
const AT_ONCE: usize = 1024;
/// How many chunks each file has.
const FILE_CHUNKS: u64 = 16;
/// Above the numbers that a young cluster gives.
const FIRST_FILE: u64 = 1 << 40;
const BUFFERS: ByteLen = ByteLen(256 << 20);

fn main() -> Result<()> {
    let mut words = std::env::args_os().skip(1);
    let disk = PathBuf::from(words.next().context("many-chunks DISK COUNT TARGET...")?);
    let numbers = words.map(|word| word.to_string_lossy().parse().context("a number"));
    let numbers: Vec<u64> = numbers.collect::<Result<_>>()?;
    let (count, targets) = numbers.split_first().context("how many chunks?")?;
    let targets: Vec<TargetId> =
        targets.iter().map(|id| Ok(TargetId((*id).try_into()?))).collect::<Result<_>>()?;
    ensure!(!targets.is_empty(), "on which targets?");
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, fill(disk, *count, targets))
}

async fn fill(disk: PathBuf, count: u64, targets: Vec<TargetId>) -> Result<()> {
    let pool = Pool::new(BUFFERS);
    let bytes = pool.take(4096).context("memory")?.freeze();
    let block = ChunkSize::MIN.block_size();
    let payload = Payload::compute(bytes, ChunkOffset(0), block).context("a whole block")?;
    let engine = open_directory(&disk, Options::new(pool)).await?;
    let (next, targets) = (Rc::new(Cell::new(0)), Rc::new(targets));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (engine, next, targets) = (engine.clone(), next.clone(), targets.clone());
        let payload = payload.clone();
        workers.spawn_local(async move {
            while next.get() < count {
                let number = next.replace(next.get() + 1);
                let target = targets[(number / FILE_CHUNKS) as usize % targets.len()];
                put(&engine, target, number, payload.clone()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(engine.close().await?)
}

/// Makes one chunk, of one block, as its chain's tail would.
async fn put(engine: &FileEngine, target: TargetId, number: u64, payload: Payload) -> Result<()> {
    let index = u32::try_from(number % FILE_CHUNKS)?;
    let chunk = ChunkId::new(DataId(FIRST_FILE + number / FILE_CHUNKS), ChunkIndex(index));
    let change = TaggedChange {
        client: ClientId(1),
        sequence: Sequence(number + 1),
        change: Change::Write(payload),
    };
    let new = NewVersion {
        version: ChunkVersion(1),
        written_in: ChainVersion(1),
        chunk_size: ChunkSize::MIN,
        changes: vec![change],
        kept_tags: Vec::new(),
        commit: true,
        keep_damage: false,
        sure_of_room: false,
    };
    engine.put(ChunkKey { target, chunk }, new).await?;
    Ok(())
}
