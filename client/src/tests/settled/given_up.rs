//! Calls that were dropped: what they had sent goes on, and is waited for.

use emberfs_layout::ByteLen;
use emberfs_wire::Request;
use emberfs_wire::chunk::UpdateChunk;
use emberfs_wire::meta::Mutate;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{at, end_held, hanging, waits};
use crate::ClientError;
use crate::tests::server::Servers;
use crate::tests::world::Fault;
use crate::tests::{CHUNK, both, contents, filled, pattern};

#[tokio::test]
async fn a_dropped_write_goes_on_and_the_close_waits_for_it() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let inode = file.inode();
    drop(hanging(&servers, &file, at(1), pattern(2 * CHUNK, 1), 2).await);
    let other = client.fs().open("b", &both()).await.expect("created");
    let mut closing = Box::pin(file.close());
    waits(&other, &mut closing).await;
    let writers = servers.world.state().namespace.writers.len();
    assert_eq!(writers, 2, "the metadata group knows that the length is in doubt");
    servers.world.gate.add_permits(2);
    closing.await.expect("closed");
    let state = servers.world.state();
    assert_eq!((state.size(inode), state.namespace.writers.len()), (ByteLen(at(3).get()), 1));
    assert_eq!(end_held(&state, inode), at(3).get());
}

#[tokio::test]
async fn what_was_never_sent_ends_with_its_caller() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(10, 0)).await;
    let before = servers.world.calls(UpdateChunk::METHOD);
    // Eight of a call are under way together.
    let (first, rest) = (8, 4);
    drop(hanging(&servers, &file, at(0), pattern((first + rest) * CHUNK, 1), first).await);
    servers.world.gate.add_permits(first);
    file.sync().await.expect("synced");
    assert_eq!(servers.world.calls(UpdateChunk::METHOD) - before, first);
    assert_eq!(servers.world.state().size(file.inode()), ByteLen(at(first).get()));
    // Nobody is there to send it to.
    servers.world.state().serve_only(&[]);
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("there");
    let mut nowhere = Box::pin(file.write_at(at(0), pattern(2 * CHUNK, 2)));
    waits(&file, &mut nowhere).await;
    drop(nowhere);
    file.close().await.expect("nothing is waited for");
}

#[tokio::test]
async fn a_cut_and_an_append_wait_for_what_was_given_up() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(CHUNK, 0)).await;
    drop(hanging(&servers, &file, at(2), pattern(CHUNK, 1), 1).await);
    let mut cut = Box::pin(file.set_len(ByteLen(10)));
    waits(&file, &mut cut).await;
    servers.world.gate.add_permits(1);
    cut.await.expect("cut");
    assert_eq!(servers.world.state().applied.len(), 2, "before the cut");
    assert_eq!(file.stat().await.expect("told").size, ByteLen(10));
    drop(hanging(&servers, &file, at(2), pattern(CHUNK, 1), 1).await);
    let mut append = Box::pin(file.append(pattern(5, 2)));
    waits(&file, &mut append).await;
    servers.world.gate.add_permits(1);
    assert_eq!(append.await, Ok(at(3)));
}

/// A change of the length that is under way still must not cut what is written after it, nor a report
/// undo a cut.
#[tokio::test]
async fn reports_and_cuts_that_were_dropped_keep_their_places() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both().report_late(true)).await.expect("created");
    let dropped = async |call: BoxFuture<'_, Result<(), ClientError>>| {
        servers.world.script(Mutate::METHOD, [Fault::Hang]);
        let hangs = servers.world.until("it hangs", |state| state.faults_left() == 0);
        tokio::select! { _ = call => panic!("it hangs"), () = hangs => {} }
    };
    file.write_at(at(0), pattern(CHUNK, 1)).await.expect("written");
    dropped(file.sync().boxed()).await;
    let mut cut = file.set_len(ByteLen(10)).boxed();
    waits(&file, &mut cut).await;
    servers.world.gate.add_permits(1);
    cut.await.expect("cut");
    assert_eq!(file.stat().await.expect("told").size, ByteLen(10));
    dropped(file.set_len(ByteLen::ZERO).boxed()).await;
    let mut write = file.write_at(at(0), pattern(7, 2)).boxed();
    waits(&file, &mut write).await;
    servers.world.gate.add_permits(1);
    write.await.expect("written");
    assert_eq!(file.stat().await.expect("told").size, ByteLen(7));
    dropped(file.set_len(ByteLen(5)).boxed()).await;
    servers.world.gate.add_permits(1);
    file.write_at(at(0), pattern(3, 2)).await.expect("written after the cut");
    assert_eq!(file.attributes().size, ByteLen(5), "who cut it knows");
}

#[tokio::test]
async fn a_dropped_file_is_closed_when_its_writes_are_settled() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let other = client.fs().open("b", &both()).await.expect("created");
    let inode = file.inode();
    drop(hanging(&servers, &file, at(0), pattern(CHUNK, 1), 1).await);
    drop(file);
    waits(&other, &mut std::future::pending::<()>()).await;
    assert_eq!(servers.world.state().namespace.writers.len(), 2);
    drop((other, client));
    servers.world.gate.add_permits(1);
    let world = &servers.world;
    world.until("all ends", |state| state.open_connections == 0).await;
    let state = world.state();
    assert!(state.namespace.writers.is_empty() && state.namespace.sessions.is_empty());
    assert_eq!(state.size(inode).get(), end_held(&state, inode));
}

#[tokio::test]
async fn a_lost_session_ends_what_was_given_up() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    drop(hanging(&servers, &file, at(0), pattern(CHUNK, 1), 1).await);
    let mut sync = Box::pin(file.sync());
    waits(&file, &mut sync).await;
    servers.world.state().namespace.sessions.clear();
    assert_eq!(sync.await, Err(ClientError::SessionLost));
    servers.world.gate.add_permits(1);
    let again = client.fs().open("a", &both()).await.expect("under a new session");
    again.write_at(at(0), pattern(5, 2)).await.expect("written");
    assert_eq!(contents(&again, CHUNK).await, pattern(5, 2));
}
