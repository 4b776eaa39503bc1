//! Copies of a write that come late: never over what was written after it.

use emberfs_layout::ChunkIndex;
use emberfs_wire::chunk::UpdateChunk;
use emberfs_wire::cluster::GetRouting;
use emberfs_wire::{Request, WireError};

use super::{at, hanging};
use crate::FsError;
use crate::tests::server::Servers;
use crate::tests::world::Fault;
use crate::tests::{CHUNK, both, contents, filled, pattern};

/// A copy may be on its way still: it is shut out before another write to the chunk is done.
#[tokio::test]
async fn a_refused_write_never_comes_over_a_later_one() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(3 * CHUNK, 0)).await;
    // Chunks 0, 2 and 4 are on one chain.
    let mut slow = hanging(&servers, &file, at(0), pattern(CHUNK, 1), 1).await;
    let full = Err(FsError::NoSpace.into());
    servers.world.script(UpdateChunk::METHOD, [Fault::Full]);
    assert_eq!(file.write_at(at(2), pattern(CHUNK, 2)).await, full);
    file.write_at(at(2), pattern(CHUNK, 3)).await.expect("there was one copy, and it was refused");
    servers.world.script(UpdateChunk::METHOD, [Fault::CloseBefore, Fault::Full]);
    assert_eq!(file.write_at(at(2), pattern(CHUNK, 4)).await, full);
    let mut later = Box::pin(file.write_at(at(2), pattern(CHUNK, 5)));
    tokio::select! {
        biased;
        _ = &mut slow => panic!("it hangs"),
        _ = &mut later => panic!("the other copy may still come"),
        done = file.write_at(at(4), pattern(CHUNK, 6)) => done.expect("another chunk is free"),
    }
    servers.world.gate.add_permits(1);
    slow.await.expect("written");
    later.await.expect("written");
}

#[tokio::test]
async fn a_write_given_up_never_comes_over_a_later_one() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(2 * CHUNK, 0)).await;
    drop(hanging(&servers, &file, at(1), pattern(CHUNK, 1), 1).await);
    let mut later = Box::pin(file.write_at(at(1), pattern(CHUNK, 2)));
    tokio::select! {
        _ = &mut later => panic!("the earlier one goes on"),
        done = file.write_at(at(2), pattern(CHUNK, 3)) => done.expect("another chunk is free"),
    }
    servers.world.gate.add_permits(1);
    later.await.expect("written");
    let (read, buf) = file.read_at(at(1), vec![0; CHUNK]).await;
    assert_eq!((read, &buf[..]), (Ok(CHUNK), &pattern(CHUNK, 2)[..]));
    let state = servers.world.state();
    let last = state.applied.iter().rfind(|(_, id)| id.index == ChunkIndex(1));
    let of_chunk = state.applied.iter().filter(|(_, id)| id.index == ChunkIndex(1));
    assert_eq!(last.map(|(tag, _)| tag.sequence), of_chunk.map(|(tag, _)| tag.sequence).max());
}

/// Nobody but who has the chunks can end what was sent.
#[tokio::test]
async fn a_write_that_was_sent_goes_on_though_no_routing_is_to_be_had() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let odd = Fault::Fail(WireError::bug("odd"));
    servers.world.script(UpdateChunk::METHOD, [Fault::Late]);
    servers.world.script(GetRouting::METHOD, [odd]);
    file.write_at(at(0), pattern(CHUNK, 1)).await.expect("written");
    assert_eq!(servers.world.faults_left(), 0, "both were met");
    file.write_at(at(0), pattern(CHUNK, 2)).await.expect("written");
    servers.world.gate.add_permits(1);
    let gate = &servers.world.gate;
    servers.world.until("the first copy came", |_| gate.available_permits() == 0).await;
    assert_eq!(contents(&file, CHUNK).await, pattern(CHUNK, 2));
}
