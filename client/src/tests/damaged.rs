//! Copies that are damaged: passed over while a sound one is left, or may come back, and named when none is.

use std::time::Duration;

use emberfs_layout::{ChainId, ChunkId, ChunkIndex, FileOffset, TargetId};
use emberfs_wire::Request;
use emberfs_wire::chunk::ReadChunks;
use emberfs_wire::meta::Ask;
use tokio::time::timeout;

use super::server::Servers;
use super::world::{Ail, CHAINS, Fault};
use super::{CHUNK, chunk, contents, filled, pattern};
use crate::{Bytes, Client, ClientError, ClientOptions, File};

/// A file of four chunks, and which chunk of it is on the first chain.
async fn on_first_chain(client: &Client) -> (File, Bytes, ChunkId) {
    let bytes = pattern(4 * CHUNK, 1);
    let file = filled(client, "a", &bytes).await;
    let data = file.attributes().data.expect("a file");
    let stripe = client.routing().stripe(data.layout).expect("known");
    let index = (0..2).find(|index| stripe.chain_of(ChunkIndex(*index)) == ChainId(1));
    let id = chunk(&file, index.expect("on either"));
    (file, bytes, id)
}

fn ail(servers: &Servers, id: ChunkId, ails: [Option<Ail>; 3]) {
    let mut state = servers.world.state();
    for (target, ail) in CHAINS[0].iter().zip(ails) {
        match ail {
            Some(ail) => drop(state.ails.insert((TargetId(*target), id), ail)),
            None => drop(state.ails.remove(&(TargetId(*target), id))),
        }
    }
}

#[tokio::test]
async fn as_long_as_one_copy_is_sound_it_is_read() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let (file, bytes, id) = on_first_chain(&client).await;
    for bad in [Ail::Corrupt, Ail::Flipped] {
        for sound in 0..3 {
            let mut ails = [Some(bad); 3];
            ails[sound] = None;
            ail(&servers, id, ails);
            assert_eq!(contents(&file, bytes.len()).await, bytes, "{bad:?} but {sound}");
        }
    }
}

/// No length makes it whole.
#[tokio::test]
async fn a_damaged_end_is_said_though_the_metadata_group_is_silent() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let (file, _, id) = on_first_chain(&client).await;
    ail(&servers, id, [Some(Ail::Corrupt); 3]);
    servers.world.script(Ask::METHOD, [Fault::Hang]);
    let read = file.read_at(FileOffset(0), vec![0; 5 * CHUNK]);
    let (read, _) = timeout(Duration::from_secs(30), read).await.expect("it waits for nothing");
    assert!(matches!(read, Err(ClientError::Damaged { .. })), "{read:?}");
}

#[tokio::test]
async fn when_all_copies_are_damaged_it_is_said_soon() {
    let servers = Servers::start().await;
    // It ends by itself.
    let client = servers.client_with(ClientOptions { deadline: None, ..Servers::options() }).await;
    let (file, bytes, id) = on_first_chain(&client).await;
    let mixed = [Some(Ail::Corrupt), Some(Ail::Flipped), Some(Ail::Corrupt)];
    for (ails, asked_most) in
        [([Some(Ail::Corrupt); 3], 3), (mixed, 4), ([Some(Ail::Flipped); 3], 6)]
    {
        ail(&servers, id, ails);
        let before = servers.world.calls(ReadChunks::METHOD);
        let at = FileOffset(u64::from(id.index.0) * CHUNK as u64);
        let (read, _) = file.read_at(at, vec![0; CHUNK]).await;
        let damaged = ClientError::Damaged { chunk: id, chain: ChainId(1) };
        assert_eq!(read, Err(damaged.clone()));
        let asked = servers.world.calls(ReadChunks::METHOD) - before;
        assert!((3..=asked_most).contains(&asked), "{asked} requests for {ails:?}");
        let batch = (0..4).map(|i| (FileOffset(i * CHUNK as u64), vec![0; CHUNK])).collect();
        for (i, (read, buf)) in file.read_batch(batch).await.into_iter().enumerate() {
            if i == id.index.0 as usize {
                assert_eq!(read, Err(damaged.clone()));
            } else {
                assert_eq!((read, &buf[..]), (Ok(CHUNK), &bytes[i * CHUNK..][..CHUNK]));
            }
        }
    }
    // A copy that is away altogether is none either.
    ail(&servers, id, [Some(Ail::Corrupt), None, Some(Ail::Flipped)]);
    servers.world.state().chunks.remove(&(TargetId(CHAINS[0][1]), id));
    let (read, _) = file.read_at(FileOffset(0), vec![0; bytes.len()]).await;
    assert_eq!(read, Err(ClientError::Damaged { chunk: id, chain: ChainId(1) }));
}

#[tokio::test]
async fn a_replica_out_of_reach_is_waited_for_and_another_version_asked_anew() {
    let servers = Servers::start().await;
    let deadline = Some(Duration::from_millis(700));
    let hasty = servers.client_with(ClientOptions { deadline, ..Servers::options() }).await;
    let (file, bytes, id) = on_first_chain(&hasty).await;
    ail(&servers, id, [Some(Ail::Corrupt), Some(Ail::Away), Some(Ail::Corrupt)]);
    let (read, _) = file.read_at(FileOffset(0), vec![0; bytes.len()]).await;
    assert!(matches!(read, Err(ClientError::Deadline { .. })), "{read:?}");

    let patient = servers.client().await;
    let file = patient.fs().open("a", &super::both()).await.expect("there");
    let before = servers.world.calls(ReadChunks::METHOD);
    let asked = servers
        .world
        .until("all were asked", |state| state.calls[&ReadChunks::METHOD] > before + 8);
    let mend = async {
        asked.await;
        // The last one stays away: what was said under the old version of the chain no longer counts.
        ail(&servers, id, [None, Some(Ail::Away), None]);
        servers.world.state().serve_only(&CHAINS[0]);
    };
    let (read, ()) = tokio::join!(contents(&file, bytes.len()), mend);
    assert_eq!(read, bytes);
}
