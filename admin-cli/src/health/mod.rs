//! What is wrong with a cluster, and how bad that is.
//!
//! | verdict | when |
//! | --- | --- |
//! | healthy | every server answers, every disk is there, every replica serves |
//! | degraded | something is missing, and everything can be read and written |
//! | unavailable | some chain cannot be read, or takes no writes, or there is no chain; or no metadata server leads |
//!
//! The worst comes first, and before it what it comes from: a server or a disk that is missing is as bad as what it
//! does to its chains.

mod chains;
pub(crate) mod members;
mod rates;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use emberfs_client::disk::DiskDamage;
use emberfs_client::{
    Disk, DiskReport, GetStatusReply, Hindrance, Node, NodeStatus, RoutingTable, TargetReport,
};
use emberfs_client_fuse_mounts::counted;
use emberfs_layout::{NodeId, TargetId};

use chains::{Broken, worst};
pub(crate) use rates::Rates;

/// What to do about a storage server that is away.
const START: &str = "see whether it runs and reaches the metadata members; of a cluster on this machine `emberfs up` \
    starts it";
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
    /// What to do about it, where the text does not say; whoever is about to do that leaves it out.
    pub(crate) remedy: Option<&'static str>,
}

impl Problem {
    /// What is wrong, and what to do.
    pub(crate) fn words(&self) -> String {
        match self.remedy {
            Some(remedy) => format!("{}; {remedy}", self.text),
            None => self.text.clone(),
        }
    }
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

/// All that is wrong, worst first, causes before what follows from them.
pub(crate) fn problems(status: &GetStatusReply, routing: &RoutingTable) -> Vec<Problem> {
    let picture = Picture { status, routing };
    let broken: Vec<Broken<'_>> =
        routing.chains().filter_map(|chain| picture.broken(chain)).collect();
    let mut found = Vec::new();
    if routing.tables().next().is_none() {
        let text = "no chain table: make one by `emberfs chain-table create`".to_owned();
        let verdict = Verdict::Unavailable;
        found.push(Problem { verdict, passes: false, text, remedy: None });
    }
    found.extend(picture.silent_nodes(&broken));
    found.extend(picture.lost_disks(&broken));
    found.extend(of_disks(status, routing));
    found.extend(status.nodes.iter().flat_map(|node| &node.targets).filter_map(of_target));
    found.extend(broken.iter().map(|broken| picture.of_chain(broken)));
    sorted(found)
}

/// Worst first; of those that are as bad the earlier stay before the later.
pub(crate) fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.verdict));
    problems
}

/// Chains of which every replica serves, as [`problems`] sees it (a count).
pub(crate) fn whole_chains(status: &GetStatusReply, routing: &RoutingTable) -> usize {
    let picture = Picture { status, routing };
    routing.chains().filter(|chain| picture.broken(chain).is_none()).count()
}

/// What the cluster did over the last seconds.
pub(crate) fn rates(status: &GetStatusReply, routing: &RoutingTable) -> Rates {
    Rates::of(status, routing, SILENT_MS)
}

/// The worst of them.
pub(crate) fn verdict(problems: &[Problem]) -> Verdict {
    problems.iter().map(|problem| problem.verdict).max().unwrap_or(Verdict::Healthy)
}

/// What was reported.
#[derive(Clone, Copy)]
struct Picture<'a> {
    status: &'a GetStatusReply,
    routing: &'a RoutingTable,
}

impl<'a> Picture<'a> {
    /// Servers that are not heard of.
    fn silent_nodes(self, broken: &[Broken<'_>]) -> Vec<Problem> {
        let of = |node: &Node| {
            let heard_ms_ago = self.status(node.id).and_then(|status| status.heard_ms_ago);
            let text = match heard_ms_ago {
                Some(ms) if ms <= self.patience_ms() => return None,
                Some(ms) => {
                    format!("{} ({}) was last heard {} s ago", node.name, node.id, ms / 1000)
                }
                None => format!(
                    "{} ({}) has not been heard since the metadata leader began",
                    node.name, node.id
                ),
            };
            let is_its = |target| self.routing.home(target).is_ok_and(|home| home.id == node.id);
            let verdict = worst(broken, is_its);
            Some(Problem { verdict, passes: true, text, remedy: Some(START) })
        };
        self.routing.nodes().filter_map(of).collect()
    }

    /// Admitted disks that their servers run without.
    fn lost_disks(self, broken: &[Broken<'_>]) -> Vec<Problem> {
        let of = |disk: &Disk| {
            let node = self.routing.nodes().find(|node| node.id == disk.node);
            let (name, id) = (node.map_or("its server", |node| node.name.as_str()), disk.node);
            let text = format!(
                "disk {} is missing: {name} ({id}) runs without it, its log says why",
                disk.id
            );
            let is_its = |target| disk.targets.contains(&target);
            let verdict = worst(broken, is_its);
            Problem { verdict, passes: false, text, remedy: None }
        };
        self.routing.disks().filter(|disk| self.is_lost(disk)).map(of).collect()
    }

    /// Whether the server that should have a disk is there, and has it not.
    fn is_lost(self, disk: &Disk) -> bool {
        let heard = self
            .status(disk.node)
            .filter(|status| status.heard_ms_ago.is_some_and(|ms| ms <= self.patience_ms()));
        heard.is_some_and(|status| status.disks.iter().all(|report| report.disk != disk.id))
    }

    fn status(self, node: NodeId) -> Option<&'a NodeStatus> {
        self.status.nodes.iter().find(|known| known.node == node)
    }

    fn report(self, target: TargetId) -> Option<&'a TargetReport> {
        let mut reports = self.status.nodes.iter().flat_map(|node| &node.targets);
        reports.find(|report| report.target == target)
    }

    fn disk(self, target: TargetId) -> Option<&'a Disk> {
        self.routing.disks().find(|disk| disk.targets.contains(&target))
    }

    /// The server that has a target.
    fn name(self, target: TargetId) -> String {
        self.routing.home(target).map_or_else(|_| target.to_string(), |node| node.name.clone())
    }

    fn patience_ms(self) -> u32 {
        self.status.lease_ms.unwrap_or(SILENT_MS)
    }
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
    Some(Problem { verdict: Verdict::Degraded, passes: false, text, remedy: None })
}

fn of_disks(status: &GetStatusReply, routing: &RoutingTable) -> Vec<Problem> {
    let name = |id| {
        let node = routing.nodes().find(|node| node.id == id);
        node.map_or("a server", |node| node.name.as_str())
    };
    // One that several servers tell of is one, and said once.
    let mut unused = BTreeSet::new();
    let admitted = |id| routing.disks().any(|disk| disk.id == id);
    let damaged = |node: &NodeStatus, disk: &DiskReport| {
        let DiskDamage { chunks, target, chunk, at } = disk.damage?;
        let text = format!(
            "disk {} on {} ({}): {} with damaged blocks since its server started, the latest of {target}: \
             {chunk}, byte {at}. Other replicas are read instead; `emberfs check` finds which files",
            disk.disk,
            name(node.node),
            node.node,
            counted(chunks as usize, "chunk")
        );
        Some(Problem { verdict: Verdict::Degraded, passes: false, text, remedy: None })
    };
    let mut of = |node: &NodeStatus, disk: &DiskReport| {
        let (used, capacity) = (u128::from(disk.used.get()), u128::from(disk.capacity.get()));
        let text = if !admitted(disk.disk) {
            if !unused.insert(disk.disk) {
                return None;
            }
            format!("disk {0} is not used: admit it by `emberfs disk add {0}`", disk.disk)
        } else if used * 100 > capacity * FULL_PERCENT {
            let percent = used * 100 / capacity.max(1);
            format!("disk {} on {} ({}) is {percent} % full", disk.disk, name(node.node), node.node)
        } else {
            return None;
        };
        Some(Problem { verdict: Verdict::Degraded, passes: false, text, remedy: None })
    };
    let disks =
        status.nodes.iter().flat_map(|node| node.disks.iter().map(move |disk| (node, disk)));
    disks.flat_map(|(node, disk)| [damaged(node, disk), of(node, disk)]).flatten().collect()
}
