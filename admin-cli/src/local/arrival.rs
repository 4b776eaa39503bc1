//! A storage server that is waited for.
//!
//! For the time of a lease the leader takes a dead server for one that is there, and reports of it stand for as long
//! as nothing newer comes. So one that was just started has arrived only when its registration has given it a new boot
//! number, and it was heard *after* that: nothing that an earlier start said is heard any more then.

use std::time::Instant;

use emberfs_client::{GetStatusReply, RoutingTable};
use emberfs_layout::BootNumber;

/// Such a server.
#[derive(Debug)]
pub(crate) struct Arrival {
    name: String,
    start: Start,
}

/// Which start of it is waited for.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// That which runs.
    Any,
    /// The one after this.
    After(Option<BootNumber>),
    /// One that registered before this moment.
    Registered(Instant),
}

impl Arrival {
    /// Of one that runs already.
    pub(crate) fn of_running(name: String) -> Self {
        Self { name, start: Start::Any }
    }

    /// Of one that is about to be started; `routing` from before that.
    pub(crate) fn of_started(name: String, routing: &RoutingTable) -> Self {
        let before = routing.nodes().find(|node| node.name == name).map(|node| node.boot);
        Self { name, start: Start::After(before) }
    }

    /// What it is called in the cluster.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has arrived, by a `status` that was asked for at `asked`, and a routing that came after that, `now`.
    pub(crate) fn note(
        &mut self,
        status: &GetStatusReply,
        routing: &RoutingTable,
        asked: Instant,
        now: Instant,
    ) -> bool {
        let Some(node) = routing.nodes().find(|node| node.name == self.name) else { return false };
        let known = status.nodes.iter().find(|known| known.node == node.id);
        let heard_ms_ago = known.and_then(|known| known.heard_ms_ago);
        match self.start {
            Start::Any => heard_ms_ago.is_some(),
            Start::After(before) => {
                if before != Some(node.boot) {
                    self.start = Start::Registered(now);
                }
                false
            }
            Start::Registered(since) => heard_ms_ago.is_some_and(|ms| {
                u128::from(ms) < asked.saturating_duration_since(since).as_millis()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use emberfs_client::{Node, NodeStatus, RoutingDelta};
    use emberfs_layout::{ClusterId, NodeId, RoutingVersion};

    fn routing(boot: u64) -> RoutingTable {
        let mut routing = RoutingTable::default();
        let node = Node {
            id: NodeId(2),
            name: "storage-1".into(),
            addresses: Vec::new(),
            boot: BootNumber(boot),
            domain: Default::default(),
        };
        routing.apply(RoutingDelta {
            version: RoutingVersion(boot),
            nodes: vec![node],
            ..Default::default()
        });
        routing
    }

    fn status(heard_ms_ago: Option<u32>) -> GetStatusReply {
        let (disks, targets) = (Vec::new(), Vec::new());
        let node = NodeStatus { node: NodeId(2), heard_ms_ago, disks, targets, load: None };
        GetStatusReply {
            cluster: ClusterId(1),
            leader: NodeId(1),
            nodes: vec![node],
            sessions: 0,
            lease_ms: Some(3_000),
            load: None,
        }
    }

    #[test]
    fn what_an_earlier_start_said_is_no_sign_of_a_later_one() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut arrival = Arrival::of_started("storage-1".into(), &routing(4));
        assert!(!arrival.note(&status(Some(5)), &routing(4), at(0), at(1)), "the dead one");
        assert!(!arrival.note(&status(Some(5)), &routing(5), at(100), at(101)), "registered");
        assert!(
            !arrival.note(&status(Some(105)), &routing(5), at(200), at(201)),
            "heard before that"
        );
        assert!(!arrival.note(&status(None), &routing(5), at(300), at(301)), "a new leader");
        assert!(arrival.note(&status(Some(10)), &routing(5), at(400), at(401)));
    }

    #[test]
    fn one_that_runs_or_is_new_is_heard_too() {
        let begun = Instant::now();
        let mut running = Arrival::of_running("storage-1".into());
        assert!(!running.note(&status(Some(5)), &RoutingTable::default(), begun, begun));
        assert!(!running.note(&status(None), &routing(4), begun, begun));
        assert!(running.note(&status(Some(900)), &routing(4), begun, begun));
        let mut new = Arrival::of_started("storage-1".into(), &RoutingTable::default());
        assert!(!new.note(&status(Some(0)), &routing(1), begun, begun));
        assert!(new.note(&status(Some(0)), &routing(1), begun + Duration::from_millis(9), begun));
    }
}
