//! Files whose chunks are behind their inodes: truncation, removal, a dead writer's length.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use emberfs_layout::{ByteLen, ChunkId, ChunkIndex, ChunkOffset, FileOffset, InodeId, Sequence};
use emberfs_wire::chunk::ChunkChange;
use emberfs_wire::cluster::{Chain, ChainTable};
use emberfs_wire::meta::inode::FileData;
use emberfs_wire::meta::{
    AttributeChange, EndSession, HandleId, Mutation, Place, RemoveKind, WrittenRange,
};

use crate::cluster::{beat_all, three};
use crate::member::{Client, Member, PATIENCE, ROOT, attributes, call, create, name, until};
use crate::storage::Storage;

/// Bytes of a chunk.
const MIB: u64 = 1 << 20;

/// Beats for the servers while `work` goes on.
async fn alive<T>(storages: &[Storage], work: impl Future<Output = T>) -> T {
    let done = AtomicBool::new(false);
    let beats = async {
        while !done.load(Ordering::SeqCst) {
            beat_all(storages).await;
            tokio::task::yield_now().await;
        }
    };
    let work = async {
        let outcome = tokio::time::timeout(PATIENCE, work).await;
        done.store(true, Ordering::SeqCst);
        outcome.expect("within a minute")
    };
    tokio::join!(work, beats).0
}

/// A file `f` that a client has open for writing under handle 1, on three storage servers.
struct Example {
    member: Member,
    storages: [Storage; 3],
    table: ChainTable,
    client: Client,
    inode: InodeId,
    data: FileData,
}

impl Example {
    /// With chunks of these lengths, and as long as they are.
    async fn new(lens: &[u64]) -> Self {
        let example = Self::of(lens.iter().sum()).await;
        example.put(lens);
        example
    }

    /// Of so many bytes, as its writer says; the servers have none of them.
    async fn of(len: u64) -> Self {
        let member = Member::new().await;
        let (storages, table) = three(&member).await;
        let mut client = member.client().await;
        let inode = attributes(client.mutate(create("f", 1)).await).inode;
        let file = attributes(client.mutate(report(inode, 0..len, None)).await);
        let data = file.data.expect("a file");
        assert!(!data.exact, "it is open for writing");
        Self { member, storages, table, client, inode, data }
    }

    /// Puts chunks of these lengths where the client would have written them.
    fn put(&self, lens: &[u64]) {
        let Self { storages, table, data, .. } = self;
        let chains = u32::try_from(table.chains.len()).expect("a few");
        let stripe = data.layout.stripe_order(chains).expect("it fits");
        for (index, len) in (0..).zip(lens) {
            let place = data.layout.stripe_place(ChunkIndex(index)) as usize;
            let chain = table.chains[stripe[place] as usize];
            let chunk = ChunkId::new(data.id, ChunkIndex(index));
            for storage in storages {
                let mut known = storage.known();
                let chains = known.chains.iter().filter(|known| known.id == chain);
                let targets: Vec<_> =
                    chains.flat_map(|chain| &chain.members).map(|m| m.target).collect();
                let len = ChunkOffset(u32::try_from(*len).expect("of a chunk"));
                known.chunks.extend(targets.into_iter().map(|target| ((target, chunk), len)));
            }
        }
    }

    /// What the heads of its chains hold of it: chunk numbers and lengths.
    fn at_heads(&self) -> BTreeSet<(u32, u32)> {
        let of = |storage: &Storage| -> Vec<(u32, u32)> {
            let known = storage.known();
            let heads: Vec<_> = known.chains.iter().map(|chain| chain.members[0].target).collect();
            let own = storage.targets(&known);
            let here = known.chunks.iter().filter(|((target, chunk), _)| {
                chunk.data == self.data.id && heads.contains(target) && own.contains(target)
            });
            here.map(|((_, chunk), len)| (chunk.index.get(), len.get())).collect()
        };
        self.storages.iter().flat_map(of).collect()
    }

    /// Heads that do not know their chains refuse: nothing gets done, and nobody learns anything of them. What they
    /// knew.
    fn silence(&self) -> Vec<Vec<Chain>> {
        self.storages.iter().map(|storage| std::mem::take(&mut storage.known().chains)).collect()
    }

    /// With its metadata server started again, and heads that know their chains.
    async fn restarted(self, chains: Vec<Vec<Chain>>) -> Self {
        let Self { member, mut storages, mut client, .. } = self;
        let member = member.restarted().await;
        for (storage, chains) in storages.iter_mut().zip(chains) {
            storage.known().chains = chains;
            storage.connect(&member).await;
        }
        client.peer = member.peer(client.holds.clone()).await;
        Self { member, storages, client, ..self }
    }
}

/// Of bytes that were written under handle 1, whose writer had heard of the cut `since`.
fn report(inode: InodeId, bytes: Range<u64>, since: Option<Sequence>) -> Mutation {
    let (start, end) = (FileOffset(bytes.start), FileOffset(bytes.end));
    let written = Some(WrittenRange { start, end, since });
    Mutation::Report { inode, handle: HandleId(1), written, close: false }
}

fn truncate(file: &str, len: u64) -> Mutation {
    let change = AttributeChange { size: Some(ByteLen(len)), ..AttributeChange::default() };
    Mutation::SetAttributes { of: Place::entry(ROOT, &name(file)), follow: true, change }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncation_is_done_when_it_is_answered() {
    let lens: Vec<u64> = (0..=40).map(|i| if i < 40 { MIB } else { 100 }).collect();
    let mut example = Example::new(&lens).await;
    let Example { storages, client, .. } = &mut example;
    let cut = attributes(alive(storages, client.mutate(truncate("f", 2 * MIB + 7))).await);
    assert_eq!(cut.size, ByteLen(2 * MIB + 7));
    let mib = u32::try_from(MIB).expect("small");
    assert_eq!(example.at_heads(), BTreeSet::from([(0, mib), (1, mib), (2, 7)]));

    let storages = example.storages.iter();
    let (tags, marks): (Vec<_>, Vec<_>) = storages
        .flat_map(|storage| storage.known().changes.clone())
        .map(|(tag, chunk, change)| (tag, (chunk, change)))
        .unzip();
    let names: BTreeSet<_> = tags.iter().map(|tag| (tag.client, tag.sequence)).collect();
    assert_eq!(names.len(), marks.len(), "each change has a name of its own");
    assert!(names.iter().all(|(client, _)| *client != example.client.client));
    assert!(!marks.iter().any(|(_, change)| matches!(change, ChunkChange::Write(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncation_that_was_refused_is_done_once_there_is_room() {
    let mut example = Example::new(&[MIB, MIB]).await;
    let Example { storages, client, .. } = &mut example;
    storages.iter().for_each(|storage| storage.known().is_full = true);
    let refused = || storages.iter().any(|storage| !storage.known().refused.is_empty());
    let makes_room = async {
        until(async || refused().then_some(())).await;
        storages.iter().for_each(|storage| storage.known().is_full = false);
    };
    let work = async { tokio::join!(client.mutate(truncate("f", 7)), makes_room).0 };
    assert_eq!(attributes(alive(storages, work).await).size, ByteLen(7));
    assert_eq!(example.at_heads(), BTreeSet::from([(0, 7)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncation_goes_on_after_a_restart() {
    let mut example = Example::new(&[MIB, MIB, MIB]).await;
    let chains = example.silence();
    let request = example.client.next(truncate("f", 0));
    let reader = example.member.client().await;
    let cut = async || reader.stat("f").await.ok().filter(|seen| seen.size.get() == 0);
    let seen = tokio::select! {
        early = call(&example.client.peer, &request) => panic!("answered before it was done: {early:?}"),
        seen = until(cut) => seen,
    };
    assert_eq!(seen.inode, example.inode);
    let example = example.restarted(chains).await;
    let asked = call(&example.client.peer, &request);
    assert_eq!(attributes(alive(&example.storages, asked).await).size, ByteLen(0));
    assert!(example.at_heads().is_empty(), "done before it was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_writer_s_length_is_asked_of_the_chains() {
    let example = Example::of(MIB).await;
    example.put(&[MIB, MIB, 17]);
    let (writer, reader) = (&example.client, example.member.client().await);
    call(&writer.peer, &EndSession { client: writer.client }).await.expect("ended");
    let seen = alive(&example.storages, reader.stat("f")).await.expect("there");
    assert_eq!(seen.size, ByteLen(2 * MIB + 17));
    assert!(seen.data.expect("a file").exact);
    let told = |storage: &Storage| storage.known().ended.contains(&writer.client);
    let all = example.storages.iter().all(told);
    assert!(all, "servers refuse its late writes before they are asked");
}

/// Cut away, or written after the cut by whoever had not heard of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_report_from_before_a_cut_speaks_of_is_asked_of_the_chains() {
    let mut example = Example::new(&[MIB, MIB, MIB]).await;
    let mut other = example.member.client().await;
    let Example { storages, client: writer, inode, .. } = &mut example;
    let cut = attributes(alive(storages, other.mutate(truncate("f", 10))).await);
    assert_eq!(cut.size, ByteLen(10));

    let away = report(*inode, MIB..2 * MIB, None);
    let said = attributes(writer.mutate(away.clone()).await);
    assert_eq!((said.size, said.data.expect("a file").exact), (ByteLen(10), false));
    let seen = alive(storages, other.stat("f")).await.expect("there");
    assert_eq!(seen.size, ByteLen(10), "it was cut away");

    example.put(&[10, 60]);
    let chains = example.silence();
    let Example { client: writer, inode, .. } = &mut example;
    let said = attributes(writer.mutate(report(*inode, MIB..MIB + 60, None)).await);
    assert_eq!(said.size, ByteLen(10), "a report waits for no chain");
    attributes(writer.mutate(away).await);
    let mut example = example.restarted(chains).await;
    other.peer = example.member.peer(other.holds.clone()).await;
    let seen = alive(&example.storages, other.stat("f")).await.expect("there");
    assert_eq!(seen.size, ByteLen(MIB + 60), "it was written after the cut");

    example.silence();
    let since = seen.data.expect("a file").cut;
    let heard = report(example.inode, MIB..3 * MIB, since);
    let heard = attributes(example.client.mutate(heard).await);
    assert_eq!(heard.size, ByteLen(3 * MIB), "its writer had heard of the cut");
    assert_eq!(other.stat("f").await.expect("there").size, heard.size);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_file_s_chunks_go_when_nobody_holds_it() {
    let mut example = Example::new(&[MIB, MIB]).await;
    let (inode, handle) = (example.inode, HandleId(1));
    let client = &mut example.client;
    let close = Mutation::Report { inode, handle, written: None, close: true };
    attributes(client.mutate(close).await);
    client.holds.set(&[inode]);
    let remove =
        Mutation::Remove { parent: Place::inode(ROOT), name: name("f"), kind: RemoveKind::File };
    client.mutate(remove).await.expect("removed");
    // It is asked about, and held: asked a second time, it was spared the first.
    let asked = client.holds.clone();
    let storages = &example.storages;
    alive(storages, until(async || (asked.asked_for(inode) >= 2).then_some(()))).await;
    assert_eq!(example.at_heads().len(), 2);
    example.client.holds.set(&[]);
    let gone = async || example.at_heads().is_empty().then_some(());
    alive(storages, until(gone)).await;
}
