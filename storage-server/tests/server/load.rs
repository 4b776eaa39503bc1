//! Many requests at once, and what becomes of those that are under way at a stop or are given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use emberfs_layout::ClientId;

use crate::chain::{Chain, assert_all, pattern};
use crate::client::chunk;
use crate::host::Host;

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
