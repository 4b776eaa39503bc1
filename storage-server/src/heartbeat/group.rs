//! The members of the metadata group, as this server speaks to them: to the one that seems to lead.
//!
//! That is the one that answered last, until it does not. A member that does not lead names the one that does, which is
//! asked at once. While one is silent the others are asked who leads: of a leader that hangs not all of an answer's time
//! is waited for. Members without a connection are passed over where another has one.

use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::{ByteLen, NodeId};
use emberfs_transport::{
    Address, CallError, CallOptions, Dial, Limits, Link, NoService, Peer, Tcp,
};
use emberfs_wire::handshake::Hello;
use emberfs_wire::{Request, WireError};
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use emberfs_transport::link::LinkState;
use emberfs_transport::members::{Hints, first_up, leader, standings};

/// What members say to a server has no payload.
const MEMORY: ByteLen = ByteLen::ZERO;

/// Into so many parts the time is cut that an answer may take: after one the others are asked who leads.
const PARTS: u32 = 3;
/// Between two such questions, and how long the answers may take.
const LOOK: Duration = Duration::from_millis(100);

/// Links to all members, and which of them seems to lead.
#[derive(Debug)]
pub(super) struct MetaGroup {
    members: Vec<(Address, Link)>,
    current: usize,
    hints: Hints,
}

/// Why the group did not answer.
#[derive(Debug, Error)]
pub(super) enum GroupError {
    /// The member cannot be reached.
    #[error("no connection to {address}: {why}")]
    Unreachable { address: Address, why: String },
    /// It was reached, and answered nothing of use.
    #[error("{address}: {source}")]
    Call { address: Address, source: CallError },
    /// It is silent, and others say that another leads.
    #[error("{address} is silent, and member {} leads now", leader.get())]
    Replaced { address: Address, leader: NodeId },
}

impl GroupError {
    /// The answer of a member that will not change by asking again.
    pub(super) fn refusal(&self) -> Option<&WireError> {
        match self {
            Self::Call { source: CallError::Failed(error), .. } if !error.is_transient() => {
                Some(error)
            }
            _ => None,
        }
    }

    /// Whether it is to be asked again later: a member that does not lead says so.
    fn is_of_leader(&self) -> bool {
        let Self::Call { source: CallError::Failed(error), .. } = self else { return false };
        matches!(error, WireError::Retry { .. } | WireError::Wait { .. })
    }

    /// Of a member that does not lead: who does, as far as that knows.
    fn leader(&self) -> Option<NodeId> {
        match self {
            Self::Call { source: CallError::Failed(WireError::NotLeader { leader }), .. } => {
                *leader
            }
            Self::Replaced { leader, .. } => Some(*leader),
            _ => None,
        }
    }
}

impl MetaGroup {
    /// Dials all members, from tasks of the current local set.
    pub(super) fn dial(addresses: &[Address], hello: &Hello) -> Self {
        let link = |address: &Address| {
            let dial = Dial {
                network: Tcp,
                address: address.clone(),
                hello: hello.clone(),
                pool: Pool::new(MEMORY),
                limits: Limits::default(),
            };
            let (link, driver) = Link::to_member(dial, NoService);
            tokio::task::spawn_local(driver);
            (address.clone(), link)
        };
        let members = addresses.iter().map(link).collect();
        Self { members, current: 0, hints: Hints::default() }
    }

    /// The member to ask, as soon as it is connected. Whoever gets no answer of it turns to another.
    pub(super) async fn member(&mut self, wait: Duration) -> Result<Member, GroupError> {
        let wait = if self.members.len() > 1 { wait / PARTS } else { wait };
        let is_up = |place: usize| self.up(place).is_some();
        if let Some(up) = first_up(self.current, self.members.len(), is_up) {
            self.current = up;
        }
        let (address, link) = &self.members[self.current];
        if let Ok(Some((peer, _))) = timeout(wait, link.peer()).await {
            return Ok(Member { address: address.clone(), peer });
        }
        let why = match link.state() {
            LinkState::Down { why: Some(why) } => why,
            _ => format!("none within {} ms", wait.as_millis()),
        };
        Err(GroupError::Unreachable { address: address.clone(), why })
    }

    /// Asks the member.
    pub(super) async fn call<R: Request>(
        &mut self,
        member: &Member,
        request: &R,
        wait: Duration,
    ) -> Result<R::Reply, GroupError> {
        let reply = tokio::select! {
            biased;
            reply = member.call(request, wait) => reply?,
            leader = self.other_leader(wait / PARTS) => {
                return Err(GroupError::Replaced { address: member.address.clone(), leader });
            }
        };
        self.hints.answered();
        Ok(reply)
    }

    /// After so long: the member that leads, as soon as another than the current one does.
    async fn other_leader(&self, after: Duration) -> NodeId {
        sleep(after).await;
        let asked = self.up(self.current);
        loop {
            let again = Instant::now() + LOOK;
            let others =
                self.members.iter().enumerate().filter(|(place, _)| *place != self.current);
            let others: Vec<Peer> = others.filter_map(|(_, (_, link))| peer_of(link)).collect();
            let leader = leader(&standings(&others, LOOK).await);
            let leader = leader.filter(|leader| Some(*leader) != asked);
            if let Some(leader) = leader.filter(|leader| self.place_of(*leader).is_some()) {
                return leader;
            }
            sleep_until(again).await;
        }
    }

    /// Asks another member from now on, unless this one leads; whether at once.
    pub(super) fn turn(&mut self, why: &GroupError) -> bool {
        if why.is_of_leader() {
            return false;
        }
        let named = why.leader().and_then(|leader| self.place_of(leader));
        let turn = self.hints.turn(self.current, named, self.members.len());
        self.current = turn.to;
        turn.at_once
    }

    /// The number of a member that is connected.
    fn up(&self, place: usize) -> Option<NodeId> {
        match self.members[place].1.state() {
            LinkState::Up { peer, welcome } if peer.closed().is_none() => welcome.identity.node,
            _ => None,
        }
    }

    fn place_of(&self, node: NodeId) -> Option<usize> {
        (0..self.members.len()).find(|place| self.up(*place) == Some(node))
    }
}

fn peer_of(link: &Link) -> Option<Peer> {
    match link.state() {
        LinkState::Up { peer, .. } => Some(peer),
        LinkState::Down { .. } => None,
    }
}

/// A connected member.
#[derive(Debug)]
pub(super) struct Member {
    address: Address,
    peer: Peer,
}

impl Member {
    async fn call<R: Request>(&self, request: &R, wait: Duration) -> Result<R::Reply, GroupError> {
        let options = CallOptions { wait: Some(wait), ..CallOptions::default() };
        match self.peer.call(request, Bytes::new(), &options).await {
            Ok(reply) => Ok(reply.message),
            Err(source) => Err(GroupError::Call { address: self.address.clone(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use emberfs_layout::ClusterId;
    use emberfs_transport::{Answer, Handler, IncomingCall, Pending};
    use emberfs_wire::encode;
    use emberfs_wire::group::{FetchPiece, FetchPieceReply, GetMember, GetMemberReply, MemberId};
    use emberfs_wire::handshake::{Identity, Role, ShardIndex, Welcome};
    use emberfs_wire::protocol::{Features, ProtocolRange};
    use tokio::net::TcpListener;
    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    /// An answer may take so long: one that hangs is not to cost it.
    const WAIT: Duration = Duration::from_secs(60);

    fn identity(role: Role, node: Option<NodeId>) -> Identity {
        Identity { cluster: None, role, node, boot: None, client: None }
    }

    fn hello() -> Hello {
        Hello {
            protocol: ProtocolRange::OURS,
            features: Features::OURS,
            identity: identity(Role::Storage, None),
            expected_role: Role::Meta,
            expected_node: None,
            shard: None,
        }
    }

    /// Who leads, as all members say; the one that is silent; who was asked, in order.
    #[derive(Debug, Default)]
    struct Scene {
        leader: Option<NodeId>,
        silent: Option<NodeId>,
        asked: Vec<u32>,
        /// How often one was asked who leads.
        looked: usize,
    }

    fn standing(node: NodeId, leader: Option<NodeId>) -> Vec<u8> {
        let id = |node: NodeId| MemberId(node.get().into());
        let reply = GetMemberReply {
            cluster: ClusterId(1),
            member: id(node),
            leader: leader.map(id),
            term: Default::default(),
            cut: Default::default(),
            last: Default::default(),
            committed: Default::default(),
            applied: Default::default(),
            members: Vec::new(),
            abstains: None,
        };
        let mut bytes = Vec::new();
        encode(&reply, &mut bytes);
        bytes
    }

    #[derive(Clone)]
    struct Scripted(NodeId, Rc<RefCell<Scene>>);

    impl Handler for Scripted {
        async fn handle(&self, call: IncomingCall) -> Answer {
            let Self(node, scene) = self;
            let (leader, silent) = (scene.borrow().leader, scene.borrow().silent);
            if call.method == GetMember::METHOD {
                scene.borrow_mut().looked += 1;
                return Ok((standing(*node, leader), Bytes::new()));
            }
            scene.borrow_mut().asked.push(node.get());
            if silent == Some(*node) {
                std::future::pending::<()>().await;
            }
            if leader != Some(*node) {
                return Err(WireError::NotLeader { leader });
            }
            let mut reply = Vec::new();
            encode(&FetchPieceReply { crc: 0 }, &mut reply);
            Ok((reply, Bytes::new()))
        }
    }

    /// A member that listens; where.
    async fn member(node: NodeId, scene: &Rc<RefCell<Scene>>) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound").to_string();
        let scene = scene.clone();
        spawn_local(async move {
            let (stream, _) = listener.accept().await.expect("loopback");
            let pending = Pending::accept(stream, Limits::default()).await.expect("a server");
            let identity = identity(Role::Meta, Some(node));
            let (protocol, features) = pending.hello().judge(&identity).expect("the right one");
            let (shard, shards) = (ShardIndex(0), Vec::new());
            let welcome = Welcome { protocol, features, identity, shard, shards };
            let connection = pending.welcome(welcome, &Pool::new(MEMORY)).await.expect("welcome");
            connection.run(Scripted(node, scene)).await;
        });
        address.parse().expect("an address")
    }

    /// Asks until somebody answers; how many pauses that took.
    async fn ask(group: &mut MetaGroup, wait: Duration) -> usize {
        let request =
            FetchPiece { snapshot: Default::default(), name: String::new(), offset: 0, len: 0 };
        for pauses in 0..100 {
            loop {
                let asked = match group.member(wait).await {
                    Ok(member) => group.call(&member, &request, wait).await,
                    Err(error) => Err(error),
                };
                let Err(error) = asked else { return pauses };
                if !group.turn(&error) {
                    break;
                }
            }
        }
        panic!("nobody ever answers");
    }

    #[tokio::test]
    async fn the_one_that_is_named_is_asked_at_once_and_one_that_hangs_is_left() {
        let test = async {
            let scene = Rc::<RefCell<Scene>>::default();
            let mut addresses = Vec::new();
            for node in 1..=3 {
                addresses.push(member(NodeId(node), &scene).await);
            }
            let mut group = MetaGroup::dial(&addresses, &hello());
            for (_, link) in &group.members {
                link.peer().await.expect("connected");
            }
            scene.borrow_mut().leader = Some(NodeId(3));
            assert_eq!(ask(&mut group, WAIT).await, 0);
            assert_eq!(std::mem::take(&mut scene.borrow_mut().asked), [1, 3]);
            // It hangs, and for a while all still take it for the leader.
            scene.borrow_mut().silent = Some(NodeId(3));
            let next = async {
                while scene.borrow().looked < 4 {
                    tokio::task::yield_now().await;
                }
                scene.borrow_mut().leader = Some(NodeId(2));
            };
            let ((), pauses) = tokio::join!(next, ask(&mut group, Duration::from_secs(3)));
            assert_eq!(pauses, 0);
            assert_eq!(scene.borrow().asked, [3, 2], "the first was waited for");
            // Two that name each other.
            scene.borrow_mut().leader = None;
            let none = GroupError::Call {
                address: addresses[0].clone(),
                source: CallError::Failed(WireError::NotLeader { leader: Some(NodeId(1)) }),
            };
            let other = GroupError::Replaced { address: addresses[0].clone(), leader: NodeId(2) };
            let turned = [&none, &other, &none, &other].map(|why| group.turn(why));
            assert_eq!(turned, [true, true, true, false]);
            // One that leads, and has something to wait for.
            let current = group.current;
            let text = || "for a lease".to_owned();
            for error in
                [WireError::Wait { text: text() }, WireError::Retry { after_ms: 1, text: text() }]
            {
                let source = CallError::Failed(error);
                let waits = GroupError::Call { address: addresses[0].clone(), source };
                assert!(!group.turn(&waits), "not at once");
                assert_eq!(group.current, current, "it is the one to ask");
            }
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn each_member_has_its_turn_and_who_is_connected_comes_first() {
        let test = async {
            let scene = Rc::<RefCell<Scene>>::default();
            scene.borrow_mut().leader = Some(NodeId(7));
            // Nobody listens at the first two.
            let mut addresses: Vec<Address> = ["127.0.0.1:1", "127.0.0.1:2"]
                .map(|text| text.parse().expect("an address"))
                .to_vec();
            let mut group = MetaGroup::dial(&addresses, &hello());
            let mut asked = Vec::new();
            for _ in 0..4 {
                match group.member(Duration::from_millis(1)).await {
                    Err(error @ GroupError::Unreachable { .. }) => {
                        asked.push(group.members[group.current].0.clone());
                        assert!(!group.turn(&error), "after a pause");
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(asked, [&addresses[..], &addresses[..]].concat());
            addresses.push(member(NodeId(7), &scene).await);
            let mut group = MetaGroup::dial(&addresses, &hello());
            group.members[2].1.peer().await.expect("connected");
            assert_eq!((ask(&mut group, WAIT).await, group.current), (0, 2));
        };
        LocalSet::new().run_until(test).await;
    }
}
