//! Storage servers come, an operator makes a table of them, chains follow what becomes of them.

use emberfs_layout::{ByteLen, ChainVersion, DiskId, FileId, RoutingVersion, TableVersion};
use emberfs_wire::cluster::{
    AdminOrder, Administer, AdministerReply, ChainTable, GetRouting, GetStatus, PublicState,
    Register, RegisterReply,
};
use emberfs_wire::meta::{Query, QueryReply};
use emberfs_wire::{FsError, WireError};

use crate::member::{Client, LEASE_MS, Member, call, until};
use crate::storage::{CAPACITY, FILE_SYSTEM, Storage, USED, taken_in};

/// Targets on each disk.
const TARGETS: u16 = 4;

/// Three servers with a disk each, and a table of three replicas over them.
pub(crate) async fn three(member: &Member) -> ([Storage; 3], ChainTable) {
    let client = member.client().await;
    let mut storages = Vec::new();
    for number in 1..=3 {
        let storage = Storage::new(member, number).await;
        storage.beat().await.expect("known");
        let disk = AdminOrder::AddDisk { disk: storage.disk, targets: TARGETS };
        let added = order(&client, u64::from(number), disk).await;
        assert!(matches!(added, AdministerReply::DiskAdded(disk) if disk.node == storage.node));
        storages.push(storage);
    }
    let AdministerReply::TableCreated(table) = order(&client, 10, table(3)).await else {
        panic!("no table");
    };
    let storages: [Storage; 3] = storages.try_into().ok().expect("three");
    beat_all(&storages).await;
    (storages, table)
}

pub(crate) async fn beat_all(storages: &[Storage]) {
    for storage in storages {
        storage.beat().await.expect("known");
    }
}

fn table(replicas: u8) -> AdminOrder {
    AdminOrder::CreateTable {
        replicas,
        min_serving: None,
        chunk_size: None,
        disks: Vec::new(),
        is_default: false,
    }
}

async fn order(client: &Client, order_id: u64, order: AdminOrder) -> AdministerReply {
    call(&client.peer, &Administer { order_id, order }).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_made_of_what_servers_bring() {
    let member = Member::new().await;
    let client = member.client().await;
    let refused = order(&client, 1, table(1)).await;
    let AdministerReply::Refused { text } = refused else { panic!("{refused:?}") };
    assert!(text.contains("add disks"), "{text}");

    let (storages, made) = three(&member).await;
    assert_eq!(made.version, TableVersion(1));
    assert_eq!((made.chains.len(), made.replicas), (usize::from(TARGETS), 3));
    assert_eq!(order(&client, 10, table(3)).await, AdministerReply::TableCreated(made.clone()));

    let since = RoutingVersion::NONE;
    let routing = call(&client.peer, &GetRouting { since }).await.expect("the routing");
    assert_eq!(routing.cluster, member.cluster());
    let delta = routing.delta;
    assert_eq!((delta.nodes.len(), delta.disks.len(), delta.tables), (3, 3, vec![made]));
    for chain in &delta.chains {
        assert_eq!((chain.members.len(), chain.min_serving), (3, 2));
        assert!(chain.members.iter().all(|member| member.state == PublicState::Serving));
    }
    let nothing = call(&client.peer, &GetRouting { since: delta.version }).await;
    assert!(nothing.expect("the routing").delta.nodes.is_empty());

    let QueryReply::Space(space) = client.ask(Query::Space).await.expect("an answer") else {
        panic!("no space");
    };
    assert_eq!(space.total, ByteLen(3 * CAPACITY.get() / 3));
    assert_eq!(space.free, ByteLen(3 * (CAPACITY.get() - USED.get()) / 3));
    for storage in &storages {
        let said = storage.heartbeat_with_shared_room();
        call(&storage.peer, &said).await.expect("known");
    }
    let QueryReply::Space(space) = client.ask(Query::Space).await.expect("an answer") else {
        panic!("no space");
    };
    assert_eq!(space.total, ByteLen(CAPACITY.get() / 3), "one file system");
    let status = call(&client.peer, &GetStatus {}).await.expect("the status");
    assert_eq!((status.cluster, status.nodes.len()), (member.cluster(), 3));
    assert!(status.nodes.iter().all(|node| node.heard_ms_ago.is_some()));
    assert_eq!(status.nodes[0].disks[0].disk, storages[0].disk);
    assert_eq!(status.lease_ms, Some(LEASE_MS));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_told_of_new_routing() {
    let member = Member::new().await;
    let client = member.client().await;
    let (_storages, _) = three(&member).await;
    let all = GetRouting { since: RoutingVersion::NONE };
    let known = call(&client.peer, &all).await.expect("an answer").delta.version;
    until(async || (client.holds.routing() >= known).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_granted_to_the_latest_start_alone() {
    let member = Member::new().await;
    let mut storage = Storage::new(&member, 1).await;
    let granted = storage.beat().await.expect("known").lease_ms;
    assert!(granted > 0);
    let earlier = storage.heartbeat();
    storage.start_anew().await;
    assert_eq!(storage.beat().await.expect("known").lease_ms, granted);
    let refused = call(&storage.peer, &earlier).await.expect_err("of an earlier start");
    assert_eq!(refused, WireError::from(FsError::Stale));

    let member = member.restarted().await;
    storage.connect(&member).await;
    assert_eq!(storage.beat().await.expect("still known").lease_ms, granted);
}

/// What is counted now: how long servers are waited for, and half of what one is granted.
async fn leases(member: &Member, storage: &mut Storage) -> (Option<u32>, u32) {
    storage.connect(member).await;
    let granted = storage.beat().await.expect("known").lease_ms;
    let status = call(&storage.peer, &GetStatus {}).await.expect("the status");
    (status.lease_ms, 2 * granted)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_with_another_lease_waits_for_what_was_granted_before() {
    const LONG: u32 = 60_000;
    let member = Member::new().await;
    let mut storage = Storage::new(&member, 1).await;
    let member = member.restarted_with(1_000).await;
    assert_eq!(leases(&member, &mut storage).await, (Some(LEASE_MS), 1_000));
    // Until those have ended.
    until(async || (leases(&member, &mut storage).await.0 == Some(1_000)).then_some(())).await;
    let member = member.restarted_with(LONG).await;
    assert_eq!(leases(&member, &mut storage).await, (Some(LONG), LONG));
    // They have not ended yet, whoever leads.
    let member = member.restarted_with(1_000).await;
    assert_eq!(leases(&member, &mut storage).await, (Some(LONG), 1_000));
    let member = member.restarted().await;
    assert_eq!(leases(&member, &mut storage).await, (Some(LONG), 1_000));
}

/// A copy of a data directory, started elsewhere: same number, same words in its configuration, another lock.
fn copy(storage: &Storage) -> Register {
    let lock = Some(FileId { file_system: FILE_SYSTEM, number: 999 });
    Register { lock, ..storage.registration(Some(storage.node)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_server_that_runs_is_refused_and_it_runs_on() {
    let member = Member::new().await;
    let storage = Storage::new(&member, 1).await;
    storage.beat().await.expect("known");
    let copied = copy(&storage);
    // Of a system that does not name its files nothing is known, so that nothing is equal.
    let unnamed = Register { lock: None, ..copy(&storage) };
    let client = member.client().await;
    let runs_on = async {
        loop {
            storage.beat().await.expect("no other start was taken in");
        }
    };
    let refused = async |asked: &Register| {
        until(async || match call(&client.peer, asked).await {
            Ok(RegisterReply::Refused { text }) => Some(text),
            Err(WireError::Wait { .. }) => None,
            other => panic!("{other:?}"),
        })
        .await
    };
    let both = async { [refused(&copied).await, refused(&unnamed).await] };
    let both = tokio::select! { both = both => both, () = runs_on => unreachable!() };
    for refused in both {
        for words in [&storage.node.to_string(), "storage-1", storage.address(), "stop that server"]
        {
            assert!(refused.contains(words), "{refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_comes_back_wherever_it_listens() {
    let member = Member::new().await;
    let mut storage = Storage::new(&member, 1).await;
    storage.beat().await.expect("known");
    let addresses = vec!["127.0.0.1:9".to_owned()];
    let same = Register { addresses, ..storage.registration(Some(storage.node)) };
    taken_in(call(&storage.peer, &same).await.expect("at once"));
    storage.start_anew().await;
    storage.beat().await.expect("known");
    let elsewhere = copy(&storage); // its disks were moved to another machine
    let mut waited = 0;
    let reply = until(async || match call(&storage.peer, &elsewhere).await {
        Ok(reply) => Some(taken_in(reply)),
        Err(WireError::Wait { .. }) => {
            waited += 1;
            None
        }
        Err(error) => panic!("{error}"),
    })
    .await;
    assert!(waited > 0, "the earlier start may hold a lease");
    assert_eq!(reply.node, storage.node);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_refused_for_good() {
    let member = Member::new().await;
    let storage = Storage::new(&member, 1).await;
    let other = Register { disks: vec![DiskId(77)], ..storage.registration(None) };
    let reply = call(&storage.peer, &other).await.expect("an answer");
    let RegisterReply::Refused { text } = reply else { panic!("{reply:?}") };
    assert!(text.contains("`storage-1` is taken"), "{text}");
    assert!(text.contains(storage.address()) && text.contains("choose another"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_loses_its_place_and_comes_back_by_syncing() {
    let member = Member::new().await;
    let (storages, _) = three(&member).await;
    let [silent, others @ ..] = &storages;
    let states = |of: &Storage| -> Vec<Vec<PublicState>> {
        let chains = &of.known().chains;
        chains.iter().map(|c| c.members.iter().map(|member| member.state).collect()).collect()
    };
    until(async || {
        beat_all(others).await;
        let last = |states: &Vec<PublicState>| *states.last().expect("three members");
        let out = |states: &Vec<PublicState>| last(states) == PublicState::Offline;
        let chains = states(&others[0]);
        (!chains.is_empty() && chains.iter().all(out)).then_some(())
    })
    .await;
    let version = others[0].known().chains[0].version;
    assert!(version > ChainVersion(1), "the change has a version of its own");

    until(async || {
        beat_all(&storages).await;
        let serving = |state: &PublicState| *state == PublicState::Serving;
        let chains = states(silent);
        let whole = chains.iter().all(|states| states.iter().all(serving));
        (whole && silent.known().chains[0].version > version).then_some(())
    })
    .await;
    let chain = silent.known().chains[0].clone();
    assert!(chain.version >= ChainVersion(version.get() + 2), "out, syncing, serving: {chain:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_gets_no_lease_before_its_chains_know() {
    let member = Member::new().await;
    let (mut storages, _) = three(&member).await;
    storages[0].start_anew().await;
    let first = storages[0].beat().await.expect("known");
    let serves = |storage: &Storage| {
        let known = storage.known();
        let mut members = known.chains.iter().flat_map(|chain| &chain.members);
        let own = &storage.targets(&known);
        members.any(|m| m.state == PublicState::Serving && own.contains(&m.target))
    };
    assert!(first.lease_ms == 0 || !serves(&storages[0]), "a lease by an earlier start's state");
    until(async || {
        beat_all(&storages[1..]).await;
        let reply = storages[0].beat().await.expect("known");
        (reply.lease_ms > 0).then_some(())
    })
    .await;
    assert!(
        !serves(&storages[0]),
        "it lost what was not durable: {:?}",
        storages[0].known().chains
    );
}
