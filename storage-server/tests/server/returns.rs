//! Members that go and come back: all at once, and one by one.

use emberfs_layout::{ChainVersion, ChunkIndex, ChunkOffset};
use emberfs_wire::WireError;
use emberfs_wire::chunk::{ChunkChange, ChunkEnd};
use emberfs_wire::cluster::PublicState;

use crate::chain::{Chain, assert_all, pattern};
use crate::client::{chunk, replicas};

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
