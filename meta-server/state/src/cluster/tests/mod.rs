//! Rules of the cluster one by one; in `sequences` any sequence of changes.

mod sequences;

use emberfs_layout::{
    BootNumber, ChainId, ChainVersion, ChunkSize, ClientId, DiskId, NodeId, RoutingVersion,
    TableId, TableVersion, TargetId,
};
use emberfs_wire::cluster::{
    AdministerReply, Chain, ChainTable, Disk, DomainId, PublicState, Register,
};
use emberfs_wire::limits::TARGETS_PER_DISK_MAX;
use emberfs_wire::meta::{OpenSession, Time};

use super::{
    Defaults, ORDERS_KEPT, Start, TablePlan, add_disk, create_table, defaults, disks, free_disks,
    given, lease_ms, node, nodes, order, placed_chain, placed_chains, register, routing_since,
    routing_version, set_chain, set_lease, settled, table, tables,
};
use crate::keys::{Kind, end_of, key};
use crate::transaction::{MemoryStore, View};
use crate::{Body, Command, Outcome, Schema, apply, sessions};

fn asked(name: &str, start: u64, disks: &[u128]) -> Register {
    Register {
        start,
        node: None,
        name: name.to_owned(),
        addresses: vec![format!("{name}:7001")],
        domain: None,
        disks: disks.iter().copied().map(DiskId).collect(),
        lock: None,
    }
}

fn registered(store: &mut MemoryStore, asked: &Register) -> Start {
    register(store, asked).expect("memory").expect("registered")
}

/// The words of a refusal, which must have changed nothing.
fn not_registered(store: &mut MemoryStore, asked: &Register) -> String {
    let before = store.clone();
    let words = register(store, asked).expect("memory").expect_err("refused");
    assert_eq!(*store, before, "a refusal changes nothing");
    words
}

fn added(store: &mut MemoryStore, order_id: u64, disk: u128, targets: u16) -> Disk {
    match add_disk(store, order_id, DiskId(disk), targets).expect("memory") {
        AdministerReply::DiskAdded(disk) => disk,
        other => panic!("{other:?}"),
    }
}

fn plan(chains: &[Vec<TargetId>]) -> TablePlan<'_> {
    let replicas = u8::try_from(chains.first().map_or(1, Vec::len)).expect("few");
    let min_serving = (replicas - 1).max(1);
    let chunk_size = ChunkSize::DEFAULT;
    TablePlan { chains, replicas, min_serving, chunk_size, is_default: false }
}

fn created(store: &mut MemoryStore, order_id: u64, chains: &[Vec<TargetId>]) -> ChainTable {
    match create_table(store, order_id, plan(chains)).expect("memory") {
        AdministerReply::TableCreated(table) => table,
        other => panic!("{other:?}"),
    }
}

/// The words of a refusal, of which only the order is kept.
fn refused(
    store: &MemoryStore,
    carry_out: impl FnOnce(&mut MemoryStore) -> AdministerReply,
) -> String {
    let mut after = store.clone();
    let AdministerReply::Refused { text } = carry_out(&mut after) else { panic!("carried out") };
    let rest = |store: &MemoryStore| {
        let pairs = store.scan(b"D", b"S", usize::MAX).expect("memory");
        pairs.into_iter().filter(|(key, _)| key[0] != b'O').collect::<Vec<_>>()
    };
    assert_eq!(rest(&after), rest(store), "a refusal changes nothing");
    assert_eq!(routing_version(&after), routing_version(store));
    text
}

/// Three servers with a disk of two targets each, and two chains over them.
fn three() -> MemoryStore {
    let mut store = MemoryStore::default();
    for number in 1..=3_u32 {
        let disk = u128::from(number) << 64;
        registered(&mut store, &asked(&format!("s{number}"), u64::from(number), &[disk]));
        added(&mut store, 100 + u64::from(number), disk, 2);
    }
    created(&mut store, 200, &[targets(&[1, 3, 5]), targets(&[4, 6, 2])]);
    store
}

fn targets(numbers: &[u32]) -> Vec<TargetId> {
    numbers.iter().copied().map(TargetId).collect()
}

fn chain(store: &MemoryStore) -> Chain {
    placed_chain(store, ChainId(1)).expect("memory").expect("the first").chain
}

/// The first chain with its members in these states, its version one more.
fn turned(store: &MemoryStore, states: [PublicState; 3]) -> Chain {
    let mut chain = chain(store);
    chain.version = chain.version.next();
    chain.members.iter_mut().zip(states).for_each(|(member, state)| member.state = state);
    chain
}

fn boots(numbers: &[u64]) -> Vec<BootNumber> {
    numbers.iter().copied().map(BootNumber).collect()
}

#[test]
fn a_start_gets_one_boot_number_and_a_node_keeps_its_own() {
    let mut store = MemoryStore::default();
    let first = registered(&mut store, &asked("a", 10, &[1]));
    assert_eq!(first, Start { node: NodeId(1), boot: BootNumber(1) });
    assert_eq!(registered(&mut store, &asked("a", 10, &[1])), first, "the same start");
    let other = registered(&mut store, &asked("b", 20, &[2]));
    assert_eq!(other, Start { node: NodeId(2), boot: BootNumber(2) });
    let by_name = registered(&mut store, &asked("a", 11, &[1]));
    assert_eq!(by_name, Start { node: NodeId(1), boot: BootNumber(3) });
    let renamed = Register { node: Some(NodeId(1)), ..asked("c", 12, &[]) };
    let by_number = registered(&mut store, &renamed);
    assert_eq!(by_number, Start { node: NodeId(1), boot: BootNumber(4) });
    let late = not_registered(&mut store, &Register { start: 11, ..renamed });
    assert_eq!(late, "node-1 has started anew since");
    assert_eq!(registered(&mut store, &asked("a", 30, &[9])).node, NodeId(3), "the name is free");
    let names: Vec<String> = nodes(&store).expect("memory").into_iter().map(|n| n.name).collect();
    assert_eq!(names, ["c", "b", "a"]);
}

#[test]
fn who_cannot_be_told_apart_is_not_registered() {
    let mut store = MemoryStore::default();
    registered(&mut store, &asked("a", 1, &[1]));
    registered(&mut store, &asked("b", 2, &[2]));
    let mut no = |asked: Register| not_registered(&mut store, &asked);
    let taken = "the name `a` is taken by node-1 at a:7001, which has other disks: choose another";
    assert_eq!(no(asked("a", 3, &[7])), taken);
    assert_eq!(no(Register { node: Some(NodeId(2)), ..asked("a", 4, &[2]) }), taken);
    let foreign = Register { node: Some(NodeId(9)), ..asked("z", 5, &[]) };
    assert!(no(foreign).starts_with("node-9 is not a node of this cluster"));
    assert_eq!(no(asked("", 6, &[])), "a node's name has 1 to 255 bytes, not 0");
    assert!(no(Register { addresses: vec![], ..asked("z", 7, &[]) }).contains("an address"));
    let domain = Some(DomainId(1 << 31));
    assert!(no(Register { domain, ..asked("z", 8, &[]) }).contains("use numbers below"));
}

#[test]
fn a_node_is_a_domain_of_its_own_unless_its_operator_says_otherwise() {
    let mut store = MemoryStore::default();
    registered(&mut store, &asked("a", 1, &[]));
    registered(&mut store, &Register { domain: Some(DomainId(1)), ..asked("b", 2, &[]) });
    let domain = |id| node(&store, NodeId(id)).expect("memory").expect("there").domain;
    assert_eq!((domain(1), domain(2)), (DomainId((1 << 31) + 1), DomainId(1)));
}

#[test]
fn a_disk_is_admitted_once_where_it_was_found_last() {
    let mut store = MemoryStore::default();
    registered(&mut store, &asked("a", 1, &[5, 6]));
    registered(&mut store, &asked("b", 2, &[6]));
    let disk = added(&mut store, 1, 5, 2);
    assert_eq!(disk, Disk { id: DiskId(5), node: NodeId(1), targets: targets(&[1, 2]) });
    assert_eq!(added(&mut store, 1, 5, 2), disk, "the same order");
    let moved = added(&mut store, 2, 6, 1);
    assert_eq!((moved.node, moved.targets), (NodeId(2), targets(&[3])));
    let no = |disk, count| {
        refused(&store, |store| add_disk(store, 9, DiskId(disk), count).expect("memory"))
    };
    assert!(no(5, 1).ends_with("was admitted before, on node-1"));
    assert!(no(7, 1).contains("with the formatted disk in its configuration"));
    assert_eq!(no(7, 0), "a disk carries 1 to 256 targets, not 0");
    assert_eq!(disks(&store).expect("memory").len(), 2);
}

#[test]
fn a_node_carries_no_more_targets_than_a_heartbeat_reports() {
    let mut store = MemoryStore::default();
    let found: Vec<u128> = (1..=17).collect();
    registered(&mut store, &asked("a", 1, &found));
    let most = u16::try_from(TARGETS_PER_DISK_MAX).expect("few");
    for disk in 1..=16 {
        added(&mut store, u64::try_from(disk).expect("few"), disk, most);
    }
    let text = refused(&store, |store| add_disk(store, 17, DiskId(17), 1).expect("memory"));
    assert_eq!(text, "node-1 would carry 4097 targets, 4096 at most: give its disks fewer");
}

#[test]
fn a_refused_order_stays_refused_and_old_ones_are_forgotten() {
    let mut store = MemoryStore::default();
    let first = add_disk(&mut store, 0, DiskId(1), 1).expect("memory");
    assert!(matches!(first, AdministerReply::Refused { .. }));
    registered(&mut store, &asked("a", 1, &[1]));
    assert_eq!(add_disk(&mut store, 0, DiskId(1), 1), Ok(first.clone()), "its operator was told");
    assert_eq!(order(&store, 0), Ok(Some(first)));
    for order_id in 1..=ORDERS_KEPT as u64 {
        add_disk(&mut store, order_id, DiskId(1), 1).expect("memory");
    }
    assert_eq!(order(&store, 0), Ok(None));
    let kept = store.scan(&key(Kind::Order, &[]), &end_of(b"O"), usize::MAX).expect("memory");
    assert_eq!(kept.len(), ORDERS_KEPT);
}

#[test]
fn a_table_is_made_of_free_targets_and_the_first_is_the_default() {
    let store = &mut three();
    let table = table(store, TableId(1)).expect("memory").expect("made");
    assert_eq!((table.version, &table.lengths[..]), (TableVersion(1), &[2][..]));
    assert_eq!(table.chains, [ChainId(1), ChainId(2)]);
    let wanted = Defaults {
        table: TableId(1),
        version: TableVersion(1),
        chains: 2,
        chunk_size: ChunkSize::DEFAULT,
    };
    assert_eq!(defaults(store), Ok(Some(wanted)));
    assert!(table.is_default && table.chunk_size == Some(ChunkSize::DEFAULT));
    let chain = chain(store);
    assert_eq!((chain.version, chain.min_serving), (ChainVersion(1), 2));
    assert!(chain.members.iter().all(|member| member.state == PublicState::Serving));
    assert_eq!(free_disks(store), Ok(vec![]));
    let chains = [targets(&[1, 3, 5]), targets(&[4, 6, 2])];
    assert_eq!(created(store, 200, &chains), table, "the same order");
    registered(store, &asked("s4", 4, &[9]));
    added(store, 300, 9, 1);
    let free = free_disks(store).expect("memory");
    assert_eq!((free.len(), &free[0].targets), (1, &targets(&[7])));
    let second = created(store, 301, &[targets(&[7])]);
    assert_eq!(defaults(store), Ok(Some(wanted)), "who makes one for a directory wants no more");
    let one = Defaults { table: TableId(2), chains: 1, ..wanted };
    assert_eq!(given(store, Some(second.id)), Ok(Some(one)));
    assert_eq!(given(store, None), Ok(Some(wanted)));
    assert_eq!(given(store, Some(TableId(3))), Ok(None));
    assert_eq!(tables(store).expect("memory"), [table, second]);
}

#[test]
fn a_table_becomes_the_default_where_that_is_said() {
    let store = &mut three();
    let seen = routing_version(store).expect("memory");
    registered(store, &asked("s4", 4, &[9]));
    added(store, 300, 9, 1);
    let chains = [targets(&[7])];
    let chunk_size = ChunkSize::MIN;
    let second = TablePlan { chunk_size, is_default: true, ..plan(&chains) };
    create_table(store, 301, second).expect("memory");
    let found = defaults(store).expect("memory").expect("the second");
    let wanted = (TableId(2), 1, ChunkSize::MIN);
    assert_eq!((found.table, found.chains, found.chunk_size), wanted);
    // Whoever follows the routing hears of both.
    let told = routing_since(store, seen).expect("memory").tables;
    let told: Vec<_> = told.iter().map(|table| (table.id, table.is_default)).collect();
    assert_eq!(told, [(TableId(1), false), (TableId(2), true)]);
    let first = given(store, Some(TableId(1))).expect("memory").expect("it stays");
    assert_eq!((first.chains, first.chunk_size), (2, ChunkSize::DEFAULT));
}

#[test]
fn a_plan_is_checked() {
    let mut store = MemoryStore::default();
    for (name, domain) in [("a", 1), ("b", 2), ("c", 2)] {
        let disk = u128::from(name.as_bytes()[0]);
        let domain = Some(DomainId(domain));
        registered(&mut store, &Register { domain, ..asked(name, 1, &[disk]) });
        added(&mut store, u64::from(name.as_bytes()[0]), disk, 2);
    }
    let no = |plan: TablePlan<'_>| {
        refused(&store, |store| create_table(store, 1, plan).expect("memory"))
    };
    let no_chains = |chains: &[&[u32]]| {
        let chains: Vec<Vec<TargetId>> = chains.iter().map(|chain| targets(chain)).collect();
        no(plan(&chains))
    };
    assert_eq!(no_chains(&[&[1, 3], &[2, 3]]), "target-3 is not free: make the plan again");
    assert_eq!(no_chains(&[&[1, 7]]), "target-7 is not free: make the plan again");
    let shared = "two replicas of a chain of the plan share failure domain 2";
    assert_eq!(no_chains(&[&[3, 5]]), shared);
    let long = "a chain of the plan has 1 members instead of 2";
    assert_eq!(no_chains(&[&[1, 3], &[2]]), long);
    assert!(no_chains(&[]).starts_with("a table has 1 to 65536 chains, the free targets make 0"));
    let chains = [targets(&[1, 3])];
    let mut bad = plan(&chains);
    bad.min_serving = 3;
    assert_eq!(no(bad), "of 2 replicas 1 to 2 must serve, not 3");
    bad.replicas = 17;
    assert_eq!(no(bad), "a chain has 1 to 16 replicas, not 17");
}

#[test]
fn a_chain_changes_only_from_the_version_and_the_starts_that_the_leader_saw() {
    use PublicState::{Offline, Serving};
    let mut store = three();
    let next = turned(&store, [Serving, Serving, Offline]);
    let (from, seen) = (ChainVersion(1), boots(&[1, 2, 3]));
    let mut no = |from, chain: &Chain, boots: &[BootNumber]| {
        let before = store.clone();
        assert_eq!(set_chain(&mut store, from, chain, boots), Ok(false));
        assert_eq!(store, before);
    };
    no(ChainVersion(2), &next, &seen);
    no(from, &Chain { version: ChainVersion(3), ..next.clone() }, &seen);
    no(from, &Chain { id: ChainId(9), ..next.clone() }, &seen);
    no(from, &Chain { min_serving: 1, ..next.clone() }, &seen);
    no(from, &Chain { members: next.members[..2].to_vec(), ..next.clone() }, &seen[..2]);
    no(from, &next, &boots(&[1, 2, 4]));
    no(from, &next, &seen[..2]);
    let mut exchanged = next.clone();
    exchanged.members[0].target = TargetId(2);
    no(from, &exchanged, &seen);
    assert_eq!(set_chain(&mut store, from, &next, &seen), Ok(true));
    assert_eq!(chain(&store), next);
    assert_eq!(set_chain(&mut store, from, &next, &seen), Ok(false), "once");
}

#[test]
fn a_member_is_settled_once_the_new_start_of_its_server_got_its_state() {
    use PublicState::{Serving, Waiting};
    let mut store = three();
    assert_eq!(settled(&store, NodeId(3)), Ok(true));
    assert_eq!(registered(&mut store, &asked("s3", 33, &[3 << 64])).boot, BootNumber(4));
    assert_eq!((settled(&store, NodeId(3)), settled(&store, NodeId(2))), (Ok(false), Ok(true)));
    let placed = placed_chain(&store, ChainId(1)).expect("memory").expect("there");
    let restarted: Vec<bool> = placed.places.iter().map(|place| place.restarted()).collect();
    assert_eq!(restarted, [false, false, true]);
    assert_eq!(placed_chains(&store).expect("memory")[0], placed);

    // Another member's change forgets nothing; its own gives it to the new start.
    let (from, seen) = (ChainVersion(1), boots(&[1, 2, 4]));
    let other = turned(&store, [Waiting, Serving, Serving]);
    assert_eq!(set_chain(&mut store, from, &other, &seen), Ok(true));
    assert_eq!(settled(&store, NodeId(3)), Ok(false));
    let own = turned(&store, [Waiting, Serving, Waiting]);
    assert_eq!(set_chain(&mut store, from.next(), &own, &seen), Ok(true));
    assert_eq!(settled(&store, NodeId(3)), Ok(false), "the other chain");
    let chain = Chain { id: ChainId(2), ..turned(&store, [Serving; 3]) };
    let mut members =
        placed_chain(&store, ChainId(2)).expect("memory").expect("there").chain.members;
    members[1].state = Waiting;
    let chain = Chain { version: from.next(), members, ..chain };
    assert_eq!(set_chain(&mut store, from, &chain, &boots(&[2, 4, 1])), Ok(true));
    assert_eq!(settled(&store, NodeId(3)), Ok(true));
    assert_eq!(settled(&store, NodeId(99)), Ok(true), "nobody holds nothing");
}

#[test]
fn the_routing_tells_what_changed_and_nothing_twice() {
    let mut store = three();
    let all = routing_since(&store, RoutingVersion::NONE).expect("memory");
    assert_eq!((all.nodes.len(), all.disks.len(), all.chains.len()), (3, 3, 2));
    assert_eq!((all.tables.len(), all.more), (1, false));
    assert_eq!(Ok(all.version), routing_version(&store));
    let nothing = routing_since(&store, all.version).expect("memory");
    assert!(nothing.nodes.is_empty() && nothing.chains.is_empty() && !nothing.more);
    assert_eq!(nothing.version, all.version);
    let ahead = RoutingVersion(all.version.get() + 5);
    assert_eq!(routing_since(&store, ahead).expect("memory").version, ahead, "never back");

    registered(&mut store, &asked("s2", 22, &[2 << 64]));
    let some = routing_since(&store, all.version).expect("memory");
    assert_eq!(some.nodes, [node(&store, NodeId(2)).expect("memory").expect("there")]);
    assert_eq!((some.version, some.disks.len()), (all.version.next(), 0));
    let log = store.scan(&key(Kind::RoutingChange, &[]), &end_of(b"U"), 99).expect("memory");
    assert_eq!(log.len(), 3 + 3 + 2 + 1, "one change an item");
}

#[test]
fn a_lease_is_recorded_before_one_as_long_is_granted_and_until_it_has_ended() {
    let mut store = MemoryStore::default();
    let mut begun = 0;
    let mut lead = |store: &mut MemoryStore, lease_ms| {
        begun += 1;
        let own = OpenSession { start: begun, host: "1".into(), what: "leader".into() };
        let earlier = sessions::list(&*store, ClientId(0), 9).expect("memory");
        let earlier = earlier.iter().map(|session| session.client).collect();
        let body = Body::Lead { earlier, own, lease_ms };
        let time = Time { seconds: 1, nanos: 0 };
        let command = Command { schema: Schema::OURS, time, seed: 0, body };
        let opened = apply(store, &command).expect("memory");
        let Outcome::SessionOpened(opened) = opened else { panic!("{opened:?}") };
        assert_eq!(opened.client, ClientId(begun));
        assert_eq!(sessions::list(&*store, ClientId(0), 9).expect("memory").len(), 1);
        lease_ms_of(store)
    };
    assert_eq!(lease_ms_of(&store), None);
    assert_eq!(lead(&mut store, 3_000), Some(3_000));
    assert_eq!(lead(&mut store, 2_000), Some(3_000), "servers may have as much");
    assert_eq!(lead(&mut store, 5_000), Some(5_000));
    set_lease(&mut store, 2_000);
    assert_eq!(lease_ms_of(&store), Some(2_000));
}

fn lease_ms_of(store: &MemoryStore) -> Option<u32> {
    lease_ms(store).expect("memory")
}

#[test]
fn records_are_pinned() {
    let mut store = three();
    set_lease(&mut store, 3_000);
    crate::golden::check("cluster", &store);
}
