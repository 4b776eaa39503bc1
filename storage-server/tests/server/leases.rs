//! Who may be served when: leases, ended sessions, targets that are not in a chain.

use bytes::Bytes;
use emberfs_layout::{ChainId, ChainVersion, ChunkSize, ClientId, Sequence, TargetId};
use emberfs_wire::chunk::{ChunkChange, Replica};
use emberfs_wire::cluster::{LocalState, PublicState, TargetReport, WantedMark};
use emberfs_wire::limits::TAGS_OPEN_MAX;
use emberfs_wire::{FsError, WireError};
use tokio::time::timeout;

use crate::chain::alone;
use crate::client::{Client, chunk, replicas};
use crate::host::{CLUSTER, Host};
use crate::meta::{LEASE_MS, Meta, PATIENCE, State};

#[tokio::test]
async fn without_a_lease_nothing_is_served() {
    let (meta, host, at) = alone();
    let client = Client::connect(1, &host).await;
    client.write(at, 1, chunk(1, 0), 0, b"x").await.expect("written");

    meta.change(|state| state.lease_ms = None);
    let refused = loop {
        if let Err(error) = client.read(at, chunk(1, 0)).await {
            break error;
        }
    };
    assert!(matches!(&refused, WireError::Wait { text } if text.contains("lease")), "{refused}");
    let refused = client.write(at, 2, chunk(1, 0), 0, b"y").await.expect_err("no lease");
    assert!(refused.is_transient(), "{refused}");

    meta.change(|state| state.lease_ms = Some(LEASE_MS));
    let found = loop {
        match client.read(at, chunk(1, 0)).await {
            Ok(found) => break found,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    };
    assert_eq!(found.as_deref(), Some(&b"x"[..]));
}

/// The lease counts from the heartbeat's sending: one of no length is over when it comes.
#[tokio::test]
async fn a_lease_of_no_length_serves_nothing() {
    let meta = Meta::start(CLUSTER);
    meta.change(|state| state.lease_ms = Some(0));
    let host = Host::start("one", 1, &meta);
    let at = replicas(&meta.make_chain(&[(host.node, host.disks[0], PublicState::Serving)]))[0];
    let client = Client::connect(1, &host).await;
    let refused = client.write(at, 1, chunk(1, 0), 0, b"x").await.expect_err("no lease");
    assert!(matches!(refused, WireError::Wait { .. }), "{refused}");
}

#[tokio::test]
async fn writes_of_an_ended_session_are_refused() {
    let (meta, host, at) = alone();
    let client = Client::connect(7, &host).await;
    client.write(at, 1, chunk(1, 0), 0, b"before").await.expect("written");
    meta.change(|state| state.end_session(ClientId(7)));
    meta.wait("the confirmation", |state| (state.beats[&host.node].ended.get() == 1).then_some(()));
    let refused = client.write(at, 2, chunk(1, 0), 0, b"after").await.expect_err("it ended");
    assert!(!refused.is_transient(), "{refused}");
    let other = Client::connect(8, &host).await;
    assert_eq!(other.read(at, chunk(1, 0)).await.expect("read").as_deref(), Some(&b"before"[..]));
}

/// Writes of each of two sessions to a chunk that no other is let in after.
const EACH: u64 = TAGS_OPEN_MAX as u64 / 2;

/// A session that writes no more tells its mark to the leader alone.
#[tokio::test]
async fn an_idle_session_holds_up_no_other() {
    let (meta, host, at) = alone();
    let other = Client::connect(6, &host).await;
    let mut idle = Vec::new();
    for id in [7, 8] {
        let client = Client::connect(id, &host).await;
        for sequence in 1..=EACH {
            client.write(at, sequence, chunk(1, 0), 0, b"idle").await.expect("written");
        }
        idle.push(client);
    }
    let refused = other.write(at, 1, chunk(1, 0), 0, b"other").await.expect_err("it is full");
    assert!(matches!(refused, WireError::Retry { .. }), "{refused}");
    let wanted = |state: &State| {
        let asked = &state.beats[&host.node].marks_wanted;
        idle.iter().any(|c| asked.contains(&WantedMark { client: c.id, chain: at.chain }))
    };
    meta.wait("the question", |state| wanted(state).then_some(()));
    let marks = idle.iter().map(|client| (client.id, Sequence(EACH + 1)));
    meta.change(|state| state.marks.extend(marks));
    let let_in = async {
        while let Err(error) = other.write(at, 1, chunk(1, 0), 0, b"other").await {
            assert!(matches!(error, WireError::Retry { .. }), "{error}");
        }
    };
    timeout(PATIENCE, let_in).await.expect("the marks are learnt");
    let late = idle[0].write(at, EACH, chunk(1, 0), 0, b"late").await.expect_err("settled");
    assert_eq!(late, WireError::from(FsError::Stale));
    let found = other.read(at, chunk(1, 0)).await.expect("read");
    assert_eq!(found.as_deref(), Some(&b"other"[..]));
    meta.wait("the question's end", |state| (!wanted(state)).then_some(()));
}

/// By then nobody has a list with it: the start is told which sessions live.
#[tokio::test]
async fn a_restarted_server_refuses_what_ended_before() {
    let meta = Meta::start(CLUSTER);
    let mut host = Host::start("one", 1, &meta);
    let serving = [(host.node, host.disks[0], PublicState::Serving)];
    meta.make_chain(&serving);
    meta.change(|state| state.end_session(ClientId(7)));
    meta.wait("the confirmation", |state| (state.beats[&host.node].ended.get() == 1).then_some(()));
    meta.change(|state| {
        state.forget_ended();
        state.sessions = (vec![ClientId(6)], ClientId(8));
    });
    host.stop();
    host.restart(&meta);
    let at = replicas(&meta.make_chain(&serving))[0];
    let late = Client::connect(7, &host).await;
    let refused = late.write(at, 1, chunk(1, 0), 0, b"late").await.expect_err("it ended");
    assert_eq!(refused, WireError::from(FsError::Stale));
    for lives in [6, 8] {
        let client = Client::connect(lives, &host).await;
        client.write(at, 1, chunk(1, 0), 0, b"x").await.expect("written");
    }
}

#[tokio::test]
async fn an_unknown_target_sends_the_asker_for_new_routing() {
    let meta = Meta::start(CLUSTER);
    let host = Host::start("one", 1, &meta);
    meta.make_chain(&[(host.node, host.disks[0], PublicState::Serving)]);
    let client = Client::connect(1, &host).await;
    let (target, chain, version) = (TargetId(999), ChainId(5), ChainVersion(3));
    let nowhere = Replica { target, chain, version };
    let refused = client.read(nowhere, chunk(1, 0)).await.expect_err("not here");
    let known = ChainVersion::NONE;
    assert_eq!(refused, WireError::RefreshRouting { chain, asked: version, known });
}

/// A disk that cannot be opened does not keep the others from serving, and its target is reported.
#[tokio::test]
async fn a_disk_that_fails_is_reported_offline() {
    let meta = Meta::start(CLUSTER);
    let mut host = Host::start("one", 2, &meta);
    let both = [0, 1].map(|i| (host.node, host.disks[i], PublicState::Serving));
    let chains = both.map(|one| meta.make_chain(&[one]));
    host.stop();
    std::fs::remove_dir_all(host.disk(1)).expect("removed");
    host.restart(&meta);
    let lost = chains[1].2[0];
    let (state, chain) = (LocalState::Offline, ChainVersion::NONE);
    let wanted = TargetReport { target: lost, state, chain, hindrance: None };
    meta.wait("the report", |state| {
        state.beats.get(&host.node)?.targets.contains(&wanted).then_some(())
    });
    let at = replicas(&meta.make_chain(&both[..1]))[0];
    let client = Client::connect(1, &host).await;
    client.write(at, 1, chunk(1, 0), 0, b"x").await.expect("the other disk serves");
}

/// Refused for good, and without harm to the target.
#[tokio::test]
async fn a_change_that_makes_no_sense_is_refused() {
    let (_meta, host, at) = alone();
    let client = Client::connect(1, &host).await;
    let past = crate::client::SIZE.bytes() - 1;
    let refused = client.write(at, 1, chunk(1, 0), past, b"ab").await.expect_err("past its end");
    assert!(!refused.is_transient(), "{refused}");
    assert_ne!(refused, WireError::from(FsError::NoSpace));
    client.write(at, 3, chunk(1, 1), 0, b"a").await.expect("written");
    let mut other = client.update(at, 4, chunk(1, 1), ChunkChange::Remove);
    other.chunk_size = ChunkSize::MAX;
    let refused = client.ask(&other, Bytes::new()).await.expect_err("it has another size");
    assert!(!refused.is_transient(), "{refused}");
    client.write(at, 5, chunk(1, 0), past, b"a").await.expect("it just fits");
}
