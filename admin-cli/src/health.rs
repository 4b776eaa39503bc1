//! What is wrong with a cluster, and how bad that is.
//!
//! | verdict | when |
//! | --- | --- |
//! | healthy | every server answers, every replica serves |
//! | degraded | something is missing, and everything can be read and written |
//! | unavailable | some chain cannot be read, or takes no writes, or there is no chain |

use emberfs_client::disk::DiskDamage;
use emberfs_client::{
    Chain, DiskReport, GetStatusReply, Hindrance, LocalState, NodeStatus, PublicState,
    RoutingTable, TargetReport,
};
use emberfs_layout::TargetId;

use crate::counted::counted;

/// A server that was not heard for so long is missing, in milliseconds, where the leader does not say after
/// what time it takes one for gone.
const SILENT_MS: u32 = 3_000;
/// A disk that is fuller than this is worth a line, in percent.
const FULL_PERCENT: u128 = 85;

/// How a cluster is; ordered from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Healthy,
    Degraded,
    Unavailable,
}

/// Something that is wrong, in words that say what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) verdict: Verdict,
    /// Whether it may pass by itself; otherwise somebody has to do something.
    pub(crate) passes: bool,
    pub(crate) text: String,
}

impl Verdict {
    /// In one word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unavailable => "unavailable",
        }
    }
}

/// All that is wrong, worst first.
pub(crate) fn problems(status: &GetStatusReply, routing: &RoutingTable) -> Vec<Problem> {
    let up_to_date = |target| {
        let mut reports = status.nodes.iter().flat_map(|node| &node.targets);
        reports.any(|report| report.target == target && report.state == LocalState::UpToDate)
    };
    let chains = routing.chains();
    let mut found: Vec<Problem> = chains.filter_map(|chain| of_chain(chain, &up_to_date)).collect();
    if routing.tables().next().is_none() {
        let text = "no chain table: make one by `emberfs chain-table create`".to_owned();
        found.push(Problem { verdict: Verdict::Unavailable, passes: false, text });
    }
    found.extend(of_nodes(status, routing));
    found.extend(of_disks(status, routing));
    found.extend(status.nodes.iter().flat_map(|node| &node.targets).filter_map(of_target));
    found.sort_by_key(|problem| std::cmp::Reverse(problem.verdict));
    found
}

/// The worst of them.
pub(crate) fn verdict(problems: &[Problem]) -> Verdict {
    problems.iter().map(|problem| problem.verdict).max().unwrap_or(Verdict::Healthy)
}

/// A member serves if the leader lets it, and its server, perhaps started a moment ago, says that it does.
fn of_chain(chain: &Chain, up_to_date: &impl Fn(TargetId) -> bool) -> Option<Problem> {
    let of = |state| chain.members.iter().filter(move |member| member.state == state);
    let serving = of(PublicState::Serving).filter(|member| up_to_date(member.target)).count();
    let all = chain.members.len();
    if serving == all {
        return None;
    }
    let least = usize::from(chain.min_serving);
    let (verdict, effect) = match (serving, of(PublicState::Syncing).count()) {
        (0, _) => (Verdict::Unavailable, ", reads and writes wait".to_owned()),
        (few, _) if few < least => (Verdict::Unavailable, format!(", writes wait for {least}")),
        (_, 0) => (Verdict::Degraded, String::new()),
        (_, syncing) => (Verdict::Degraded, format!(", {syncing} being brought up to date")),
    };
    let text = format!("{}: {serving} of {all} replicas serve{effect}", chain.id);
    Some(Problem { verdict, passes: true, text })
}

fn of_nodes(status: &GetStatusReply, routing: &RoutingTable) -> Vec<Problem> {
    let silence = |node| {
        let known = status.nodes.iter().find(|known| known.node == node);
        known.and_then(|known| known.heard_ms_ago)
    };
    let of = |node: &emberfs_client::Node| {
        let text = match silence(node.id) {
            Some(ms) if ms <= status.lease_ms.unwrap_or(SILENT_MS) => return None,
            Some(ms) => format!("{} ({}) was last heard {} s ago", node.name, node.id, ms / 1000),
            None => format!("{} ({}) has not been heard", node.name, node.id),
        };
        Some(Problem { verdict: Verdict::Degraded, passes: true, text })
    };
    routing.nodes().filter_map(of).collect()
}

/// What keeps a replica from being brought up to date.
fn of_target(report: &TargetReport) -> Option<Problem> {
    let target = report.target;
    let text = match report.hindrance? {
        Hindrance::NoRoom => format!(
            "{target} has no room for what it missed, and does not serve before it has: remove files, or \
             give its disk more room"
        ),
        Hindrance::Unreadable(chunk) => format!(
            "{target} cannot read {chunk}, so the replica that lacks it does not serve: `emberfs check` \
             finds the file, which is to be removed or written anew"
        ),
    };
    Some(Problem { verdict: Verdict::Degraded, passes: false, text })
}

fn of_disks(status: &GetStatusReply, routing: &RoutingTable) -> Vec<Problem> {
    let admitted = |id| routing.disks().any(|disk| disk.id == id);
    let damaged = |node: &NodeStatus, disk: &DiskReport| {
        let DiskDamage { chunks, target, chunk, at } = disk.damage?;
        let text = format!(
            "disk {} on {}: {} with damaged blocks since its server started, the latest of {target}: \
             {chunk}, byte {at}. Other replicas are read instead; `emberfs check` finds which files",
            disk.disk,
            node.node,
            counted(chunks as usize, "chunk")
        );
        Some(Problem { verdict: Verdict::Degraded, passes: false, text })
    };
    let of = |disk: &DiskReport| {
        let (used, capacity) = (u128::from(disk.used.get()), u128::from(disk.capacity.get()));
        let text = if !admitted(disk.disk) {
            format!("disk {0} is not used: admit it by `emberfs disk add {0}`", disk.disk)
        } else if used * 100 > capacity * FULL_PERCENT {
            format!("disk {} is {} % full", disk.disk, used * 100 / capacity.max(1))
        } else {
            return None;
        };
        Some(Problem { verdict: Verdict::Degraded, passes: false, text })
    };
    let disks =
        status.nodes.iter().flat_map(|node| node.disks.iter().map(move |disk| (node, disk)));
    disks.flat_map(|(node, disk)| [damaged(node, disk), of(disk)]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_client::{ChainMember, RoutingDelta};
    use emberfs_layout::{
        ByteLen, ChainId, ChainVersion, ChunkId, ChunkIndex, ChunkOffset, ClusterId, DataId,
        DiskId, NodeId, RoutingVersion, TargetId,
    };

    fn chain(states: &[PublicState]) -> Chain {
        let member = |state: &PublicState| ChainMember { target: TargetId(1), state: *state };
        let members = states.iter().map(member).collect();
        Chain { id: ChainId(4), version: ChainVersion(1), members, min_serving: 2 }
    }

    #[test]
    fn a_chain_is_judged_by_who_serves() {
        use PublicState::{LastServing, Offline, Serving, Syncing};
        assert_eq!(of_chain(&chain(&[Serving; 3]), &|_| true), None);
        let starting = of_chain(&chain(&[Serving; 3]), &|_| false).expect("nobody says so");
        assert_eq!(starting.verdict, Verdict::Unavailable);
        let judged =
            |states: &[PublicState]| of_chain(&chain(states), &|_| true).expect("not whole");
        let degraded = judged(&[Serving, Serving, Syncing]);
        assert_eq!(degraded.verdict, Verdict::Degraded);
        assert_eq!(degraded.text, "chain-4: 2 of 3 replicas serve, 1 being brought up to date");
        let away = judged(&[Serving, Serving, Offline]);
        assert_eq!(away.text, "chain-4: 2 of 3 replicas serve");
        let waiting = judged(&[Serving, Offline, Offline]);
        assert_eq!(waiting.verdict, Verdict::Unavailable);
        assert!(waiting.text.ends_with("writes wait for 2"), "{}", waiting.text);
        assert_eq!(judged(&[LastServing; 3]).verdict, Verdict::Unavailable);
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
    fn silent_servers_and_disks_nobody_admitted_are_named_and_the_worst_comes_first() {
        let report = |used| DiskReport {
            disk: DiskId(7),
            capacity: ByteLen(100),
            used: ByteLen(used),
            growth: None,
            damage: None,
        };
        let node = |heard_ms_ago| NodeStatus {
            node: NodeId(2),
            heard_ms_ago,
            disks: vec![report(10)],
            targets: Vec::new(),
        };
        let status = |node| GetStatusReply {
            cluster: ClusterId(1),
            leader: NodeId(1),
            nodes: vec![node],
            sessions: 0,
            lease_ms: Some(3_000),
        };
        let server = emberfs_client::Node {
            id: NodeId(2),
            name: "storage-1".into(),
            addresses: Vec::new(),
            boot: emberfs_layout::BootNumber(1),
            domain: Default::default(),
        };
        let mut routing = RoutingTable::default();
        routing.apply(RoutingDelta {
            version: RoutingVersion(1),
            nodes: vec![server],
            ..RoutingDelta::default()
        });
        let found = problems(&status(node(Some(9_000))), &routing);
        let texts: Vec<&str> = found.iter().map(|problem| problem.text.as_str()).collect();
        assert!(texts[0].starts_with("no chain table"), "{texts:?}");
        assert!(texts.contains(&"storage-1 (node-2) was last heard 9 s ago"), "{texts:?}");
        assert!(texts.iter().any(|text| text.contains("disk add")), "{texts:?}");
        assert_eq!(verdict(&found), Verdict::Unavailable);
        assert_eq!(problems(&status(node(Some(10))), &routing).len(), 2);
        assert!(found.iter().all(|problem| problem.passes == problem.text.contains("heard")));
        let patient = GetStatusReply { lease_ms: Some(9_000), ..status(node(Some(9_000))) };
        assert_eq!(problems(&patient, &routing).len(), 2, "the leader waits for it");
    }

    #[test]
    fn damage_that_a_disk_met_is_told_with_its_place() {
        let chunk = ChunkId::new(DataId(40), ChunkIndex(2));
        let (target, at) = (TargetId(11), ChunkOffset(8192));
        let report = DiskReport {
            disk: DiskId(7),
            capacity: ByteLen(100),
            used: ByteLen(99),
            growth: None,
            damage: Some(DiskDamage { chunks: 1, target, chunk, at }),
        };
        let node = NodeStatus {
            node: NodeId(2),
            heard_ms_ago: Some(1),
            disks: vec![report],
            targets: Vec::new(),
        };
        let status = GetStatusReply {
            cluster: ClusterId(1),
            leader: NodeId(1),
            nodes: vec![node],
            sessions: 0,
            lease_ms: None,
        };
        let found = of_disks(&status, &RoutingTable::default());
        assert_eq!(found.len(), 2, "nor is it admitted: {found:?}");
        for words in ["node-2", "1 chunk with", "target-11: data-40/2, byte 8192", "check"] {
            assert!(found[0].text.contains(words), "{words}: {}", found[0].text);
        }
        assert_eq!((found[0].verdict, found[0].passes), (Verdict::Degraded, false));
    }
}
