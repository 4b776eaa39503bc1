//! What is done to all chunks of a file.

use std::sync::Arc;

use emberfs_layout::{ByteLen, ChainId, ChunkId, ChunkIndex, ChunkOffset, DataId, FileLayout};
use emberfs_meta_server_state::cluster;
use emberfs_wire::chunk::ChunkChange;
use emberfs_wire::cluster::ChainTable;
use emberfs_wire::meta::inode::FileData;
use tokio::task::JoinSet;

use super::{Chunks, Lost};

/// Chunks of a chain that are removed at once (a count), before it is asked again for its last: enough
/// to hide the round trips, and the most that is removed in vain where a file has holes.
const REMOVED_AT_ONCE: u32 = 16;

/// A file's chunks, as data id, layout and chains say where they are.
#[derive(Clone, Debug)]
pub(crate) struct File {
    data: DataId,
    layout: FileLayout,
    /// In the order of the stripe.
    chains: Vec<ChainId>,
}

impl File {
    fn chain(&self, index: ChunkIndex) -> ChainId {
        self.chains[self.layout.stripe_place(index) as usize]
    }
}

impl Chunks {
    /// The chunks of the file that has `data`.
    pub(crate) async fn file(&self, data: FileData) -> Result<File, Lost> {
        let FileData { id, layout, .. } = data;
        let table = self.group.read(|view| cluster::table(view, layout.table)).await?;
        let chains = table.and_then(|table| stripe(&table, &layout));
        let chains = chains.ok_or_else(|| Lost::no_such_table(layout.table))?;
        Ok(File { data: id, layout, chains })
    }

    /// Cuts a file's chunks to `len`: when this returns nothing behind it is left.
    pub(crate) async fn truncate(self: &Arc<Self>, file: &File, len: ByteLen) -> Result<(), Lost> {
        let size = u64::from(file.layout.chunk_size.bytes());
        let index = |chunks: u64| u32::try_from(chunks).map_or(ChunkIndex(u32::MAX), ChunkIndex);
        let (full, rest) = (len.get() / size, len.get() % size);
        if rest > 0 {
            let keep = u32::try_from(rest).expect("less than a chunk");
            let (at, change) = (index(full), ChunkChange::Cut(ChunkOffset(keep)));
            let chunk = ChunkId::new(file.data, at);
            self.change(file.chain(at), chunk, file.layout.chunk_size, &change).await?;
        }
        self.remove_from(file, index(full + u64::from(rest > 0))).await
    }

    /// Removes the chunks from `first` on.
    pub(crate) async fn remove_from(
        self: &Arc<Self>,
        file: &File,
        first: ChunkIndex,
    ) -> Result<(), Lost> {
        let mut removing = JoinSet::new();
        for chain in &file.chains {
            removing.spawn(remove_on(self.clone(), file.clone(), *chain, first));
        }
        all(removing).await
    }

    /// Where the last chunk of a file ends.
    pub(crate) async fn end(self: &Arc<Self>, file: &File) -> Result<ByteLen, Lost> {
        let mut asking = JoinSet::new();
        for chain in &file.chains {
            let (chunks, data, chain) = (self.clone(), file.data, *chain);
            asking.spawn(async move { chunks.last(chain, data).await });
        }
        let mut end = ByteLen::ZERO;
        while let Some(last) = asking.join_next().await {
            if let Some(last) = last.expect("no panic, not aborted")?.last {
                let size = u64::from(file.layout.chunk_size.bytes());
                let len = u64::from(last.index.get()) * size + u64::from(last.len.get());
                end = end.max(ByteLen(len));
            }
        }
        Ok(end)
    }
}

/// The chains of a layout in the order of its stripe; `None` if the table has no such version.
fn stripe(table: &ChainTable, layout: &FileLayout) -> Option<Vec<ChainId>> {
    let version = usize::try_from(layout.table_version.get()).ok()?;
    let chains = *table.lengths.get(version.checked_sub(1)?)?;
    let order = layout.stripe_order(chains).ok()?;
    order.iter().map(|place| table.chains.get(*place as usize).copied()).collect()
}

async fn remove_on(
    chunks: Arc<Chunks>,
    file: File,
    chain: ChainId,
    first: ChunkIndex,
) -> Result<(), Lost> {
    let width = file.layout.stripe.get();
    // Removals take effect at the head in the order of all changes: what is under way there is removed too.
    // What a writer that goes on puts behind them again is not looked for a second time.
    let mut below = None;
    loop {
        let reply = chunks.last(chain, file.data).await?;
        let last = reply.last.map(|last| last.index).max(reply.pending);
        let Some(last) = last.map(|last| below.map_or(last, |below: ChunkIndex| last.min(below)))
        else {
            return Ok(());
        };
        let mut removing = JoinSet::new();
        let before = |steps: u32| last.get().checked_sub(steps.checked_mul(width)?);
        let indexes = (0..REMOVED_AT_ONCE).map_while(before).map(ChunkIndex);
        for index in indexes.take_while(|index| *index >= first) {
            below = index.get().checked_sub(width).map(ChunkIndex);
            let (chunks, size) = (chunks.clone(), file.layout.chunk_size);
            let chunk = ChunkId::new(file.data, index);
            removing.spawn(
                async move { chunks.change(chain, chunk, size, &ChunkChange::Remove).await },
            );
        }
        if removing.is_empty() {
            return Ok(());
        }
        all(removing).await?;
        if below.is_none() {
            return Ok(()); // down to the first chunk of the chain
        }
    }
}

/// Waits for all; the first loss ends the rest.
async fn all(mut tasks: JoinSet<Result<(), Lost>>) -> Result<(), Lost> {
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic, not aborted")?;
    }
    Ok(())
}
