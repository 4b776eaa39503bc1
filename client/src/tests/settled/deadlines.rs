//! Deadlines: they end the waiting, and nothing that was sent.

use std::time::Duration;

use emberfs_layout::ByteLen;
use emberfs_wire::Request;
use emberfs_wire::chunk::UpdateChunk;
use emberfs_wire::meta::{AttributeChange, Mutate, Place};
use futures_util::FutureExt;

use super::{at, end_held, meeting, waits};
use crate::tests::server::Servers;
use crate::tests::world::Fault;
use crate::tests::{CHUNK, both, chunk, pattern};
use crate::{Client, ClientError, ClientOptions, Credentials, OpenOptions, WaitingFor};

/// A client whose calls do not wait for long.
async fn impatient(servers: &Servers) -> Client {
    let deadline = Some(Duration::from_millis(300));
    servers.client_with(ClientOptions { deadline, ..Servers::options() }).await
}

#[tokio::test]
async fn a_write_out_of_time_goes_on_and_is_waited_for_as_long_as_the_caller_likes() {
    let servers = Servers::start().await;
    let client = impatient(&servers).await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let inode = file.inode();
    servers.world.script(UpdateChunk::METHOD, [Fault::Hang]);
    let late = file.write_at(at(0), pattern(CHUNK, 1)).await;
    let Err(ClientError::Deadline { what: WaitingFor::Chain { last, .. } }) = late else {
        panic!("{late:?}")
    };
    assert!(last.contains("the reply of"), "{last}");
    let waiting = Err(ClientError::Deadline { what: WaitingFor::EarlierWrites });
    assert_eq!(file.sync().await, waiting);
    let chunk = chunk(&file, 0);
    let again = file.write_at(at(0), pattern(CHUNK, 2)).await;
    assert_eq!(again, Err(ClientError::Deadline { what: WaitingFor::EarlierWrite { chunk } }));
    // It is closed in the background, some time.
    assert_eq!(file.close().await, waiting);
    assert_eq!(servers.world.state().namespace.writers.len(), 1);
    servers.world.gate.add_permits(1);
    servers.world.until("closed", |state| state.namespace.writers.is_empty()).await;
    let state = servers.world.state();
    assert_eq!((state.size(inode), end_held(&state, inode)), (ByteLen(at(1).get()), at(1).get()));
}

/// Another part of it was done meanwhile.
#[tokio::test]
async fn a_write_says_what_its_last_part_waits_for() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    assert_eq!(file.waiting_for(), None);
    let mut write =
        meeting(&servers, &file, (at(0), pattern(2 * CHUNK, 1)), vec![Fault::Hang]).await;
    let done = servers.world.until("one is done", |state| state.applied.len() == 1);
    tokio::select! { _ = &mut write => panic!("the other hangs"), () = done => {} }
    waits(&file, &mut write).await;
    let waiting = file.waiting_for();
    assert!(matches!(waiting, Some(WaitingFor::Chain { .. })), "{waiting:?}");
    servers.world.gate.add_permits(1);
    write.await.expect("written");
    assert_eq!(file.waiting_for(), None);
}

#[tokio::test]
async fn a_write_behind_outlives_every_deadline_and_is_done_once() {
    let servers = Servers::start().await;
    let client = impatient(&servers).await;
    let file = client.fs().open("a", &both()).await.expect("created");
    servers.world.script(UpdateChunk::METHOD, [Fault::Hang, Fault::Hang]);
    let mut behind = file.write_behind(at(0), pattern(CHUNK, 1)).boxed();
    tokio::select! {
        biased;
        _ = &mut behind => panic!("it hangs"),
        late = file.write_at(at(1), pattern(CHUNK, 1)) => {
            assert!(matches!(late, Err(ClientError::Deadline { .. })), "{late:?}");
        }
    }
    assert_eq!(behind.as_mut().now_or_never(), None, "it has been under way for longer");
    servers.world.gate.add_permits(2);
    behind.await.expect("written");
    file.sync().await.expect("synced");
    let state = servers.world.state();
    assert_eq!((state.applied.len(), state.size(file.inode())), (2, ByteLen(at(2).get())));
}

/// Who has others wait hears what became of a change, however late.
#[tokio::test]
async fn who_is_patient_outwaits_every_deadline() {
    let servers = Servers::start().await;
    let client = impatient(&servers).await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let (place, change) = (Place::inode(file.inode()), AttributeChange::default());
    let meta = client.meta(Credentials::root());
    let patient = meta.patient();
    servers.world.script(Mutate::METHOD, [Fault::Hang, Fault::Hang, Fault::Hang]);
    let cut = OpenOptions::new().write(true).truncate(true);
    let mut changes = patient.set_attributes(place.clone(), false, change).boxed();
    let mut opens = patient.open(place.clone(), &cut).boxed();
    tokio::select! {
        biased;
        _ = &mut changes => panic!("it hangs"),
        _ = &mut opens => panic!("it hangs"),
        late = meta.set_attributes(place, false, change) => {
            assert!(matches!(late, Err(ClientError::Deadline { .. })), "{late:?}");
        }
    }
    servers.world.gate.add_permits(3);
    changes.await.expect("changed");
    let opened = opens.await.expect("opened");
    servers.world.script(Mutate::METHOD, [Fault::Hang]);
    let late = opened.set_len(ByteLen(5)).await;
    assert!(matches!(late, Err(ClientError::Deadline { .. })), "a file is not patient: {late:?}");
    servers.world.gate.add_permits(1);
}
