//! Writes and reads through chains of one, two and three.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use emberfs_layout::{ChainId, ChainVersion, ChunkIndex, ChunkOffset, ClientId, TargetId};
use emberfs_wire::chunk::{ChunkChange, ChunkEnd, ChunkRead, ReadOutcome, Replica};
use emberfs_wire::cluster::PublicState;
use emberfs_wire::{PayloadSums, WireError};

use crate::client::{Client, SIZE, chunk, replicas};
use crate::host::{CLUSTER, Host};
use crate::meta::Meta;

/// A chain over servers of one disk each, a client at each.
struct Chain {
    meta: Meta,
    hosts: Vec<Host>,
    members: (ChainId, ChainVersion, Vec<TargetId>),
}

impl Chain {
    fn of(len: usize) -> Self {
        let meta = Meta::start(CLUSTER);
        let hosts: Vec<Host> = (0..len).map(|i| Host::start(&format!("s{i}"), 1, &meta)).collect();
        let members = Self::members(&meta, &hosts);
        Self { meta, hosts, members }
    }

    fn members(meta: &Meta, hosts: &[Host]) -> (ChainId, ChainVersion, Vec<TargetId>) {
        Self::stated(meta, hosts, &[PublicState::Serving; 3])
    }

    fn stated(
        meta: &Meta,
        hosts: &[Host],
        states: &[PublicState],
    ) -> (ChainId, ChainVersion, Vec<TargetId>) {
        let member = |(host, state): (&Host, &_)| (host.node, host.disks[0], *state);
        meta.make_chain(&hosts.iter().zip(states).map(member).collect::<Vec<_>>())
    }

    /// A client of this number at each member, with the member's name.
    async fn clients(&self, id: u64) -> Vec<(Client, Replica)> {
        let mut clients = Vec::new();
        for (host, replica) in self.hosts.iter().zip(replicas(&self.members)) {
            clients.push((Client::connect(id, host).await, replica));
        }
        clients
    }

    fn restart(&mut self) {
        self.hosts.iter_mut().for_each(Host::stop);
        self.hosts.iter_mut().for_each(|host| host.restart(&self.meta));
        self.members = Self::members(&self.meta, &self.hosts);
    }
}

/// Bytes that differ everywhere.
fn pattern(len: usize, seed: u32) -> Vec<u8> {
    let words = (0..).map(|i: u32| (i ^ seed).wrapping_mul(0x9e37_79b1).to_le_bytes());
    words.flatten().take(len).collect()
}

/// What every member must answer for a chunk.
async fn assert_all(clients: &[(Client, Replica)], data: u64, expected: Option<&[u8]>) {
    for (client, replica) in clients {
        let found = client.read(*replica, chunk(data, 0)).await.expect("it serves");
        assert!(found.as_deref() == expected, "{} answers something else", replica.target);
    }
}

async fn write_read_cut_and_remove(len: usize) {
    let chain = Chain::of(len);
    let clients = chain.clients(1).await;
    let (head, at) = &clients[0];
    assert_all(&clients, 1, None).await;

    let mut model = pattern(300_000, 1);
    let reply = head.write(*at, 1, chunk(1, 0), 0, &model).await.expect("written");
    assert_eq!(reply.chunk_len, ChunkOffset(300_000));
    assert_all(&clients, 1, Some(&model)).await;

    // Over the middle, unaligned, and behind a gap.
    let middle = pattern(5001, 2);
    head.write(*at, 2, chunk(1, 0), 4095, &middle).await.expect("written");
    model[4095..4095 + 5001].copy_from_slice(&middle);
    let tail = pattern(10, 3);
    head.write(*at, 3, chunk(1, 0), 400_001, &tail).await.expect("written");
    model.resize(400_001, 0);
    model.extend(&tail);
    assert_all(&clients, 1, Some(&model)).await;

    let cut = ChunkChange::Cut(ChunkOffset(4097));
    let reply = head.change(*at, 4, chunk(1, 0), cut).await.expect("cut");
    assert_eq!(reply.chunk_len, ChunkOffset(4097));
    model.truncate(4097);
    assert_all(&clients, 1, Some(&model)).await;
    head.write(*at, 5, chunk(1, 0), 5000, b"x").await.expect("written");
    model.resize(5000, 0);
    model.push(b'x');
    assert_all(&clients, 1, Some(&model)).await;

    head.write(*at, 6, chunk(1, 7), 0, &pattern(77, 4)).await.expect("written");
    for (client, replica) in &clients {
        let end = ChunkEnd { index: ChunkIndex(7), len: ChunkOffset(77) };
        assert_eq!(client.last(*replica, 1).await, Some(end));
        assert_eq!(client.last(*replica, 2).await, None);
    }
    head.change(*at, 7, chunk(1, 0), ChunkChange::Remove).await.expect("removed");
    assert_all(&clients, 1, None).await;
}

#[tokio::test]
async fn a_chain_of_one() {
    write_read_cut_and_remove(1).await;
}

#[tokio::test]
async fn a_chain_of_two() {
    write_read_cut_and_remove(2).await;
}

#[tokio::test]
async fn a_chain_of_three() {
    write_read_cut_and_remove(3).await;
}

#[tokio::test]
async fn a_batch_of_reads_is_answered_in_order() {
    let chain = Chain::of(1);
    let clients = chain.clients(1).await;
    let (client, at) = &clients[0];
    for index in 0..4 {
        let bytes = pattern(10_000, index);
        let sequence = u64::from(index) + 1;
        client.write(*at, sequence, chunk(1, index), 0, &bytes).await.expect("written");
    }
    let read = |index, start, len| {
        let (start, len) = (ChunkOffset(start), ChunkOffset(len));
        ChunkRead { replica: *at, chunk: chunk(1, index), start, len }
    };
    let reads = vec![read(3, 0, 100), read(9, 0, 1), read(0, 9_990, 100), read(1, 20_000, 5)];
    let found = client.read_all(reads).await.expect("an answer");
    assert_eq!(found[0].1, pattern(100, 3));
    assert_eq!(found[1].0, ReadOutcome::Absent);
    assert_eq!(found[2].1, pattern(10_000, 0)[9_990..]);
    assert!(matches!(&found[3], (ReadOutcome::Found { .. }, none) if none.is_empty()));
    let too_much = vec![read(0, 0, SIZE.bytes()); 65];
    assert!(matches!(client.read_all(too_much).await, Err(WireError::Bug { .. })));
}

/// A retry, also one after a later change and after a restart of all, answers as the first did, and does
/// nothing.
#[tokio::test]
async fn a_retry_answers_the_same() {
    let mut chain = Chain::of(3);
    let clients = chain.clients(1).await;
    let (head, at) = &clients[0];
    let first = head.write(*at, 1, chunk(1, 0), 0, b"first").await.expect("written");
    head.write(*at, 2, chunk(1, 0), 0, b"second, longer").await.expect("written");
    let again = head.write(*at, 1, chunk(1, 0), 0, b"first").await.expect("answered");
    assert_eq!(again, first);
    assert_all(&clients, 1, Some(b"second, longer")).await;

    chain.restart();
    let clients = chain.clients(1).await;
    let (head, at) = &clients[0];
    let again = head.write(*at, 1, chunk(1, 0), 0, b"first").await.expect("answered");
    assert_eq!(again, first);
    assert_all(&clients, 1, Some(b"second, longer")).await;
}

#[tokio::test]
async fn a_restart_keeps_the_data() {
    let mut chain = Chain::of(3);
    let mut model = pattern(900_000, 5);
    let old = chain.clients(1).await;
    let (head, at) = &old[0];
    head.write(*at, 1, chunk(1, 0), 0, &model).await.expect("written");
    head.write(*at, 2, chunk(2, 0), 0, &model).await.expect("written");
    head.change(*at, 3, chunk(2, 0), ChunkChange::Remove).await.expect("removed");
    chain.restart();
    let clients = chain.clients(2).await;
    assert_all(&clients, 1, Some(&model)).await;
    assert_all(&clients, 2, None).await;
    let (head, at) = &clients[0];
    head.write(*at, 1, chunk(1, 0), 100, b"after the restart").await.expect("written");
    model[100..117].copy_from_slice(b"after the restart");
    assert_all(&clients, 1, Some(&model)).await;
    let stale = replicas(&(chain.members.0, ChainVersion(1), chain.members.2.clone()))[0];
    let refused = head.read(stale, chunk(1, 0)).await;
    assert!(matches!(refused, Err(WireError::RefreshRouting { .. })), "{refused:?}");
}

/// While one client overwrites a chunk, what others read from any member is one version, whole, and never
/// older than what was acknowledged before they asked.
#[tokio::test]
async fn dirty_reads_are_whole_and_never_go_back() {
    const WRITES: u64 = 60;
    let chain = Chain::of(3);
    let clients = chain.clients(1).await;
    let (head, at) = clients[0].clone();
    let numbered = |number: u64| number.to_le_bytes().repeat(8_000);
    head.write(at, 1, chunk(1, 0), 0, &numbered(0)).await.expect("written");
    let acknowledged = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = clients
        .into_iter()
        .map(|(client, replica)| {
            let acknowledged = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                let mut reads = 0;
                loop {
                    let before = acknowledged.load(Ordering::SeqCst);
                    let found = client.read(replica, chunk(1, 0)).await.expect("it serves");
                    let found = found.expect("it was written");
                    let number = u64::from_le_bytes(found[..8].try_into().expect("eight"));
                    assert!(found == number.to_le_bytes().repeat(8_000), "two versions in one");
                    assert!(number >= before, "{number} was read after {before} was acknowledged");
                    reads += 1;
                    if number == WRITES {
                        return reads;
                    }
                }
            })
        })
        .collect();
    for number in 1..=WRITES {
        head.write(at, number + 1, chunk(1, 0), 0, &numbered(number)).await.expect("written");
        acknowledged.store(number, Ordering::SeqCst);
    }
    for reader in readers {
        let reads: u64 = reader.await.expect("it held");
        assert!(reads > 1);
    }
}

/// Many changes of one chunk at once go together into versions; none is lost.
#[tokio::test]
async fn concurrent_writes_of_one_chunk_all_arrive() {
    const WRITES: u32 = 40;
    let chain = Chain::of(2);
    let clients = chain.clients(1).await;
    let (head, at) = &clients[0];
    let writes: Vec<_> = (0..WRITES)
        .map(|i| {
            let (head, at) = (head.clone(), *at);
            tokio::spawn(async move {
                let bytes = pattern(1000, i);
                let sequence = u64::from(i) + 9;
                head.write(at, sequence, chunk(1, 0), i * 1000, &bytes).await
            })
        })
        .collect();
    for write in writes {
        write.await.expect("no panic").expect("written");
    }
    let expected: Vec<u8> = (0..WRITES).flat_map(|i| pattern(1000, i)).collect();
    assert_all(&clients, 1, Some(&expected)).await;
}

#[tokio::test]
async fn a_damaged_payload_changes_nothing() {
    let chain = Chain::of(1);
    let clients = chain.clients(1).await;
    let (client, at) = &clients[0];
    client.write(*at, 1, chunk(1, 0), 0, b"good").await.expect("written");
    let other = emberfs_buffer::Payload::compute(
        Bytes::from_static(b"evil"),
        ChunkOffset(0),
        SIZE.block_size(),
    );
    let sums = PayloadSums::of(&other.expect("within a chunk"));
    let update = client.update(*at, 2, chunk(1, 0), ChunkChange::Write(sums.clone()));
    let damaged = client.ask(&update, Bytes::from_static(b"evyl")).await;
    let error = damaged.expect_err("other bytes than the sums say");
    assert!(error.is_transient() && error.to_string().contains("damaged"), "{error}");
    let short = client.ask(&update, Bytes::from_static(b"evi")).await;
    assert!(matches!(short, Err(WireError::Bug { .. })), "{short:?}");
    let remove = client.update(*at, 3, chunk(1, 0), ChunkChange::Remove);
    let surplus = client.ask(&remove, Bytes::from_static(b"x")).await;
    assert!(matches!(surplus, Err(WireError::Bug { .. })), "{surplus:?}");
    assert_all(&clients, 1, Some(b"good")).await;
}

/// What was acknowledged before a clean stop is there after it, whatever was under way.
#[tokio::test]
async fn a_stop_under_load_loses_nothing() {
    let mut chain = Chain::of(2);
    let clients = chain.clients(1).await;
    let (head, at) = clients[0].clone();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&acknowledged);
    let writer = tokio::spawn(async move {
        for number in 1.. {
            let index = u32::try_from(number).expect("a few");
            match head.write(at, number, chunk(1, index), 0, &pattern(5000, index)).await {
                Ok(_) => count.store(number, Ordering::SeqCst),
                Err(_) => return,
            }
        }
    });
    while acknowledged.load(Ordering::SeqCst) < 20 {
        tokio::task::yield_now().await;
    }
    let mut hosts = std::mem::take(&mut chain.hosts);
    chain.hosts = tokio::task::spawn_blocking(move || {
        hosts.iter_mut().for_each(Host::stop);
        hosts
    })
    .await
    .expect("no panic");
    writer.await.expect("no panic");
    chain.hosts.iter_mut().for_each(|host| host.restart(&chain.meta));
    chain.members = Chain::members(&chain.meta, &chain.hosts);
    for (client, replica) in chain.clients(2).await {
        assert_eq!(client.id, ClientId(2));
        for number in 1..=acknowledged.load(Ordering::SeqCst) {
            let index = u32::try_from(number).expect("a few");
            let found = client.read(replica, chunk(1, index)).await.expect("it serves");
            assert!(found == Some(pattern(5000, index)), "chunk {index} of {}", replica.target);
        }
    }
}

/// A write that waits for a member which is away ends when the chain goes on without it; the member comes
/// back by resync, while the chain is written to, and then answers what the others do.
#[tokio::test]
async fn a_member_goes_and_comes_back() {
    let mut chain = Chain::of(2);
    let clients = chain.clients(1).await;
    let (head, at) = clients[0].clone();
    let mut model = pattern(200_000, 1);
    head.write(at, 1, chunk(1, 0), 0, &model).await.expect("written");
    head.write(at, 2, chunk(2, 0), 0, b"to be removed").await.expect("written");
    chain.hosts[1].stop();
    let (writer, bytes) = (head.clone(), pattern(5000, 2));
    model[100..5100].copy_from_slice(&bytes);
    let waiting = tokio::spawn(async move { writer.write(at, 3, chunk(1, 0), 100, &bytes).await });
    tokio::task::yield_now().await;
    let alone = [PublicState::Serving, PublicState::Offline];
    chain.members = Chain::stated(&chain.meta, &chain.hosts, &alone);
    let written = waiting.await.expect("no panic");
    let at = replicas(&chain.members)[0];
    if written.is_err() {
        // It had not come as far as the head's disk when the chain changed.
        head.write(at, 3, chunk(1, 0), 100, &pattern(5000, 2)).await.expect("written");
    }
    head.change(at, 4, chunk(2, 0), ChunkChange::Remove).await.expect("removed");

    chain.hosts[1].restart(&chain.meta);
    let joining = [PublicState::Serving, PublicState::Syncing];
    chain.members = Chain::stated(&chain.meta, &chain.hosts, &joining);
    let at = replicas(&chain.members)[0];
    head.write(at, 5, chunk(1, 0), 9000, b"while it syncs").await.expect("written");
    model[9000..9014].copy_from_slice(b"while it syncs");
    chain.meta.up_to_date(chain.members.2[1], chain.members.1);
    chain.members = Chain::members(&chain.meta, &chain.hosts);
    let clients = chain.clients(2).await;
    assert_all(&clients, 1, Some(&model)).await;
    assert_all(&clients, 2, None).await;
}

/// A member that comes back keeps nothing that its predecessor lacks: a chunk that the others never had
/// must not be there again, nor stand in the way of the next one's first version.
#[tokio::test]
async fn what_the_predecessor_lacks_is_removed() {
    use PublicState::{LastServing, Serving, Syncing};
    let mut chain = Chain::of(2);
    let last = chain.clients(1).await[1].0.clone();
    chain.members = Chain::stated(&chain.meta, &chain.hosts, &[LastServing, Serving]);
    let at = replicas(&chain.members)[1];
    for index in 0..3 {
        last.write(at, 1 + u64::from(index), chunk(1, index), 0, b"alone").await.expect("written");
    }
    chain.members = Chain::stated(&chain.meta, &chain.hosts, &[Serving, Syncing]);
    chain.meta.up_to_date(chain.members.2[1], chain.members.1);
    chain.members = Chain::members(&chain.meta, &chain.hosts);
    let clients = chain.clients(2).await;
    assert_all(&clients, 1, None).await;
    let (head, at) = &clients[0];
    head.write(*at, 1, chunk(1, 0), 0, b"both").await.expect("written");
    assert_all(&clients, 1, Some(b"both")).await;
    chain.restart();
    for (client, at) in chain.clients(2).await {
        let end = ChunkEnd { index: ChunkIndex(0), len: ChunkOffset(4) };
        assert_eq!(client.last(at, 1).await, Some(end), "{} has more", at.target);
    }
}

/// A client that goes in the middle of its write leaves a chain that works; its retry is applied once.
#[tokio::test]
async fn a_client_that_gives_up_undoes_nothing() {
    let chain = Chain::of(2);
    let clients = chain.clients(1).await;
    let (head, at) = &clients[0];
    for sequence in 1..40 {
        let bytes = pattern(70_000, 7);
        let mut write = std::pin::pin!(head.write(*at, sequence, chunk(1, 0), 0, &bytes));
        // Sent, and given up at any place of its way.
        for _ in 0..sequence {
            let once = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(write.as_mut().poll(cx).is_ready())
            });
            if once.await {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let last = pattern(300, 8);
    let first = head.write(*at, 50, chunk(1, 0), 0, &last).await.expect("written");
    let again = head.write(*at, 50, chunk(1, 0), 0, &last).await.expect("written");
    assert_eq!(first, again);
    let mut expected = pattern(70_000, 7);
    expected[..300].copy_from_slice(&last);
    let found = head.read(*at, chunk(1, 0)).await.expect("read").expect("there");
    assert!(found == expected || found == last, "a part of a write");
    assert_all(&clients, 1, Some(&found)).await;
}
