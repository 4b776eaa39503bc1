//! What is said of clusters in which something is wrong, and in which order.

use emberfs_client::PublicState::{LastServing, Offline, Serving, Syncing, Waiting};
use emberfs_client::{DiskLoad, LocalState, NodeLoad, PublicState};
use emberfs_layout::{
    ByteLen, ChainVersion, ChunkId, ChunkIndex, ChunkOffset, ClusterId, DataId, DiskId,
};

use super::*;
use crate::sample;

/// Three servers, each with one disk of one target of its number, and a chain over all.
struct Example {
    status: GetStatusReply,
    routing: RoutingTable,
}

impl Example {
    /// The states of the chain's members, in the order of the servers.
    fn new(states: [PublicState; 3]) -> Self {
        let numbers = 1..=3;
        let (version, targets) = (ChainVersion(1), Vec::new());
        let [first, second, third] = states;
        let routing = sample::routing(
            numbers.clone().map(|n| sample::node(n, &format!("storage-{n}"))).collect(),
            numbers.clone().map(|n| sample::disk(n, n, [n])).collect(),
            vec![sample::chain(4, [(1, first), (2, second), (3, third)], 2)],
            vec![sample::table([4], 3)],
        );
        let mut status = GetStatusReply {
            cluster: ClusterId(1),
            leader: NodeId(1),
            nodes: Vec::new(),
            sessions: 0,
            lease_ms: Some(3_000),
            load: None,
        };
        for n in numbers {
            let mut node = NodeStatus {
                node: NodeId(n),
                heard_ms_ago: Some(10),
                disks: vec![report(n.into(), 10)],
                targets: targets.clone(),
                load: None,
            };
            let (target, state) = (TargetId(n), LocalState::UpToDate);
            node.targets.push(TargetReport { target, state, chain: version, hindrance: None });
            status.nodes.push(node);
        }
        Self { status, routing }
    }

    fn problems(&self) -> Vec<Problem> {
        problems(&self.status, &self.routing)
    }

    fn texts(&self) -> Vec<String> {
        self.problems().into_iter().map(|problem| problem.text).collect()
    }

    /// The only thing that is wrong.
    fn only(&self) -> Problem {
        let mut found = self.problems();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

fn report(disk: u128, used: u64) -> DiskReport {
    let (capacity, used) = (ByteLen(100), ByteLen(used));
    DiskReport { disk: DiskId(disk), capacity, used, growth: None, damage: None, load: None }
}

/// A server that was just started has not said yet what its targets can do: no summary contradicts that.
#[test]
fn a_chain_is_whole_only_where_nothing_is_wrong_with_it() {
    let mut example = Example::new([Serving; 3]);
    let whole = |example: &Example| whole_chains(&example.status, &example.routing);
    assert_eq!(whole(&example), 1);
    for node in &mut example.status.nodes {
        node.targets.clear();
    }
    assert_eq!((whole(&example), example.only().verdict), (0, Verdict::Unavailable));
}

#[test]
fn a_chain_is_judged_by_who_serves_and_those_who_do_not_are_named() {
    use Verdict::{Degraded, Unavailable};
    assert_eq!(Example::new([Serving; 3]).problems(), []);
    for (states, verdict, text) in [
        (
            [Serving, Serving, Syncing],
            Degraded,
            "2 of 3 replicas serve, storage-3 is being brought up to date",
        ),
        (
            [Serving, Syncing, Waiting],
            Unavailable,
            "1 of 3 replicas serves, writes wait for 2: storage-2 is being brought up to date, \
             storage-3 waits to be brought up to date",
        ),
        ([Serving, Serving, Offline], Degraded, "2 of 3 replicas serve, storage-3 is away"),
        (
            [Waiting, LastServing, Offline],
            Unavailable,
            "none of 3 replicas serves, reads and writes wait for storage-2, which alone has all that was written",
        ),
        (
            [LastServing; 3],
            Unavailable,
            "none of 3 replicas serves, reads and writes wait for storage-3, its tail, and after a minute for \
             storage-1 or storage-2",
        ),
    ] {
        let text = format!("chain-4: {text}");
        assert_eq!(
            Example::new(states).only(),
            Problem { verdict, passes: true, text, remedy: None }
        );
    }
}

#[test]
fn who_serves_by_the_routing_alone_does_not_serve() {
    let mut starting = Example::new([Serving; 3]);
    starting.status.nodes.iter_mut().for_each(|node| node.targets.clear());
    let text = "chain-4: none of 3 replicas serves, reads and writes wait for \
                storage-1 or storage-2 or storage-3, which starts or is gone";
    assert_eq!(
        (starting.only().text.as_str(), starting.only().verdict),
        (text, Verdict::Unavailable)
    );
}

#[test]
fn a_silent_server_stands_before_its_chains() {
    let mut example = Example::new([LastServing, Offline, Offline]);
    example.status.nodes[0].heard_ms_ago = Some(9_000);
    example.status.nodes[1].heard_ms_ago = None;
    let texts = example.texts();
    assert_eq!(texts[0], "storage-1 (node-1) was last heard 9 s ago");
    assert_eq!(texts[1], "storage-2 (node-2) has not been heard since the metadata leader began");
    let words = example.problems()[0].words();
    assert!(words.starts_with(&texts[0]) && words.contains("`emberfs up` starts it"), "{words}");
    assert!(
        texts[2].ends_with("wait for storage-1, which alone has all that was written"),
        "{texts:?}"
    );
    let verdicts: Vec<_> = example.problems().iter().map(|problem| problem.verdict).collect();
    assert_eq!(verdicts, [Verdict::Unavailable; 3], "the cause is as bad as the effect");
    assert!(example.problems().iter().all(|problem| problem.passes));
    example.status.lease_ms = Some(9_000);
    assert!(!example.texts()[0].contains("storage-1 (node-1)"), "the leader waits for it");
}

#[test]
fn an_admitted_disk_that_its_server_lacks_is_named_before_its_chain() {
    let mut example = Example::new([Serving, Serving, Offline]);
    example.status.nodes[2].disks.clear();
    let [lost, chain] = &example.problems()[..] else { panic!("{:?}", example.texts()) };
    for words in [&*DiskId(3).to_string(), "missing: storage-3 (node-3)", "log"] {
        assert!(lost.text.contains(words), "{words}: {}", lost.text);
    }
    assert_eq!((lost.verdict, lost.passes), (Verdict::Degraded, false));
    assert_eq!(chain.text, "chain-4: 2 of 3 replicas serve, storage-3 is away");
    assert!(!chain.passes, "nobody brings it back by waiting");
    example.status.nodes[2].disks.push(report(3, 10));
    assert!(example.only().passes);
    example.status.nodes[2].targets[0].state = LocalState::Offline;
    assert!(!example.only().passes, "it cannot be read");
    example.status.nodes[2].disks.clear();
    example.status.nodes[2].heard_ms_ago = None;
    example.status.nodes[2].targets.clear();
    assert!(example.texts()[0].contains("has not been heard"), "it may have its disk");
    assert!(example.problems().iter().all(|problem| problem.passes));
}

#[test]
fn what_keeps_a_replica_from_being_brought_up_to_date_is_named() {
    let (target, state, chain) = (TargetId(5), LocalState::Online, ChainVersion(2));
    let problem = |hindrance| of_target(&TargetReport { target, state, chain, hindrance });
    assert_eq!(problem(None), None);
    let full = problem(Some(Hindrance::NoRoom)).expect("a problem");
    assert!(full.text.starts_with("target-5 has no room") && !full.passes, "{full:?}");
    let chunk = ChunkId::new(DataId(3), ChunkIndex(1));
    let unreadable = problem(Some(Hindrance::Unreadable(chunk))).expect("a problem");
    assert!(unreadable.text.contains(&chunk.to_string()), "{unreadable:?}");
}

#[test]
fn nobody_waits_for_a_chain_that_lacks_room_or_a_chunk() {
    let mut example = Example::new([Serving, Serving, Syncing]);
    assert!(example.problems().iter().all(|problem| problem.passes));
    let chunk = ChunkId::new(DataId(3), ChunkIndex(1));
    for (node, hindrance) in [(2, Hindrance::NoRoom), (1, Hindrance::Unreadable(chunk))] {
        example.status.nodes[node].targets[0].hindrance = Some(hindrance);
        let found = example.problems();
        assert!(found.len() == 2 && found.iter().all(|problem| !problem.passes), "{found:?}");
        example.status.nodes[node].targets[0].hindrance = None;
    }
}

#[test]
fn the_worst_comes_first_and_disks_nobody_admitted_are_named() {
    let mut example = Example::new([Serving; 3]);
    example.status.nodes[0].disks.push(report(7, 10));
    example.status.nodes[1].disks.push(report(7, 10));
    example.status.nodes[1].disks[0] = report(2, 90);
    example.status.nodes[2].heard_ms_ago = Some(4_000);
    let texts = example.texts();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts[0].contains("storage-3"), "{texts:?}");
    assert!(
        texts[1].contains("disk add") && texts[2].ends_with("on storage-2 (node-2) is 90 % full"),
        "{texts:?}"
    );
    example.routing = RoutingTable::default();
    let found = example.problems();
    assert!(found[0].text.starts_with("no chain table") && !found[0].passes, "{found:?}");
    assert_eq!(verdict(&found), Verdict::Unavailable);
}

#[test]
fn damage_that_a_disk_met_is_told_with_its_place() {
    let chunk = ChunkId::new(DataId(40), ChunkIndex(2));
    let (target, at) = (TargetId(11), ChunkOffset(8192));
    let mut example = Example::new([Serving; 3]);
    example.status.nodes[1].disks[0].damage = Some(DiskDamage { chunks: 1, target, chunk, at });
    let Problem { verdict, passes, text, .. } = example.only();
    for words in
        ["on storage-2 (node-2)", "1 chunk with", "target-11: data-40/2, byte 8192", "check"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!((verdict, passes), (Verdict::Degraded, false));
}

#[test]
fn rates_are_of_all_that_are_heard_and_the_slowest_disk_is_named() {
    let mut cluster = Example::new([Serving; 3]);
    let load =
        NodeLoad { window_ms: 5000, requests: 10, received: ByteLen(1_500_000), sent: ByteLen(0) };
    let quick = DiskLoad { sync_p99_us: Some(900), read_p99_us: Some(50), ..DiskLoad::default() };
    let slow = DiskLoad { sync_p99_us: Some(12_400), ..quick };
    let rates = |cluster: &Example| rates(&cluster.status, &cluster.routing);
    assert_eq!(rates(&cluster).to_string(), "rates: not known yet");
    for (place, disk) in [quick, slow, quick].into_iter().enumerate() {
        cluster.status.nodes[place].load = Some(load);
        cluster.status.nodes[place].disks[0].load = Some(disk);
    }
    cluster.status.load = Some(NodeLoad { requests: 7, ..load });
    let found = rates(&cluster);
    let slowest = cluster.status.nodes[1].disks[0].disk;
    let name = &cluster.routing.nodes().nth(1).expect("three").name;
    let text = format!(
        "rates: 30 chunk requests/s, 0.0 MB/s out, 4.5 MB/s in; 7 metadata requests/s\n\
         slowest disk: {slowest} on {name}: 99 % of syncs in 12.4 ms, of reads in 0.05 ms"
    );
    assert_eq!(found.to_string(), text);
    let json = found.to_json();
    assert_eq!(json["storage"]["received_bytes_per_s"], 4_500_000);
    assert_eq!(json["metadata"]["requests_per_s"], 7);
    assert_eq!(json["slowest_disk"]["sync_p99_us"], 12_400);
    cluster.status.nodes[1].heard_ms_ago = Some(60_000);
    assert!(
        rates(&cluster).to_string().starts_with("rates: 20 chunk requests/s, "),
        "one is silent"
    );
}
