//! Sessions: renewed, lost and replaced, asked for what they hold, ended.

use emberfs_layout::{ClientId, FileOffset, InodeId, Sequence};
use emberfs_wire::Request;
use emberfs_wire::meta::{Ask, AskHeld, Mutate, RenewSession};

use super::server::Servers;
use super::world::Fault;
use super::{CHUNK, both, contents, filled, pattern};
use crate::{Bytes, ClientError, OpenOptions};

#[tokio::test]
async fn a_lost_session_is_replaced_and_its_writers_are_told() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let bytes = pattern(2 * CHUNK, 0);
    let writer = filled(&client, "a", &bytes).await;
    let reader = client.fs().open("a", &OpenOptions::new().read(true)).await.expect("there");
    let lost = client.session();
    servers.world.state().namespace.sessions.clear();
    let refused = writer.write_at(FileOffset(0), pattern(5, 0)).await;
    assert_eq!(refused, Err(ClientError::SessionLost));
    client.fs().mkdir("d").await.expect("under a new session");
    assert_ne!(client.session(), lost);
    assert_eq!(contents(&reader, bytes.len()).await, bytes);
    assert_eq!(writer.sync().await, Err(ClientError::SessionLost));
    let again = client.fs().open("a", &both()).await.expect("opened again");
    again.write_at(FileOffset(0), pattern(5, 9)).await.expect("written");
}

#[tokio::test]
async fn a_session_is_renewed() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let renewed = |n| {
        move |state: &super::world::State| {
            state.calls.get(&RenewSession::METHOD).is_some_and(|calls| *calls >= n)
        }
    };
    servers.world.until("three signs of life", renewed(3)).await;
    drop(client);
}

/// For servers whose chunks its tags fill, while it writes nothing.
#[tokio::test]
async fn a_renewal_tells_what_is_settled() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(3 * CHUNK, 0)).await;
    let id = client.session();
    let told = |mark| {
        move |state: &super::world::State| {
            let renewal = state.namespace.renewals.get(&id);
            renewal.is_some_and(|said| said.others == Sequence(mark) && said.open.is_empty())
        }
    };
    servers.world.until("three writes are settled", told(4)).await;
    file.write_at(FileOffset(0), pattern(5, 0)).await.expect("written");
    servers.world.until("one more is", told(5)).await;
}

#[tokio::test]
async fn what_is_open_is_held() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(10, 0)).await;
    let id = client.session();
    let peer = servers.world.state().clients[&id].clone();
    let ask = AskHeld { inodes: vec![file.inode(), InodeId(99)] };
    let held = peer.call(&ask, Bytes::new(), &Default::default()).await.expect("an answer");
    assert_eq!(held.message.held, [file.inode()]);
    file.close().await.expect("closed");
    let held = peer.call(&ask, Bytes::new(), &Default::default()).await.expect("an answer");
    assert!(held.message.held.is_empty());
}

/// The reply to an open may be on its way when the file's last name goes.
#[tokio::test]
async fn a_question_of_what_is_held_waits_for_opens_under_way() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(10, 0)).await;
    let inode = file.inode();
    file.close().await.expect("closed");
    servers.world.script(Ask::METHOD, [Fault::Hang]);
    let before = servers.world.calls(Ask::METHOD);
    let hangs = servers
        .world
        .until("it hangs", |state| state.calls.get(&Ask::METHOD).copied().unwrap_or(0) > before);
    let (fs, options) = (client.fs(), OpenOptions::new().read(true));
    let mut opening = Box::pin(fs.open("a", &options));
    tokio::select! { _ = &mut opening => panic!("it hangs"), () = hangs => {} }
    let peer = servers.world.state().clients[&client.session()].clone();
    let (ask, call) = (AskHeld { inodes: vec![inode] }, Default::default());
    let mut asking = Box::pin(peer.call(&ask, Bytes::new(), &call));
    tokio::select! {
        biased;
        _ = &mut opening => panic!("it hangs"),
        _ = &mut asking => panic!("it may yet be opened"),
        made = fs.mkdir("d") => assert!(made.is_ok(), "a round trip"),
    }
    servers.world.gate.add_permits(1);
    let (opened, held) = tokio::join!(opening, asking);
    assert_eq!(held.expect("an answer").message.held, [inode]);
    drop(opened.expect("opened"));
}

#[tokio::test]
async fn a_dropped_file_is_closed_with_its_length() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both().report_late(true)).await.expect("created");
    let inode = file.inode();
    file.write_at(FileOffset(0), pattern(CHUNK, 0)).await.expect("written");
    drop(file);
    let world = &servers.world;
    world.until("closed", |state| state.namespace.writers.is_empty()).await;
    assert_eq!(world.state().size(inode).get(), CHUNK as u64);
}

#[tokio::test]
async fn an_open_that_nobody_waits_for_leaves_nothing_open() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    servers.world.script(Mutate::METHOD, [Fault::Hang]);
    let came = servers.world.until("it hangs", |state| state.calls.contains_key(&Mutate::METHOD));
    let fs = client.fs();
    let options = both();
    tokio::select! {
        _ = fs.open("a", &options) => panic!("it hangs"),
        () = came => {}
    }
    servers.world.gate.add_permits(1);
    let world = &servers.world;
    world
        .until("opened and closed", |state| {
            state.namespace.reports == 1 && state.namespace.writers.is_empty()
        })
        .await;
}

#[tokio::test]
async fn all_ends_with_the_last_handle() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(10, 0)).await;
    drop(client);
    assert_eq!(contents(&file, 10).await, pattern(10, 0), "a file keeps the client");
    assert!(servers.world.state().namespace.sessions.contains(&ClientId(1)));
    drop(file);
    let world = &servers.world;
    world.until("the session ends", |state| state.namespace.sessions.is_empty()).await;
    world.until("all connections end", |state| state.open_connections == 0).await;
}

#[tokio::test]
async fn a_closed_client_says_so() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    client.close().await.expect("closed");
    assert!(servers.world.state().namespace.sessions.is_empty());
    assert_eq!(client.fs().mkdir("d").await, Err(ClientError::Closed));
}
