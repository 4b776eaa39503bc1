//! The metadata group, as a client speaks to it: to the member that seems to lead.
//!
//! ```text
//!   call ──► the member that seems to lead ──► its reply
//!     ▲         │ it names another that leads     that one is asked, at once
//!     │         │ nobody leads yet                the next, after a pause of 50 ms at most
//!     ├─────────┤ it is away                      the next that is connected
//!     └─────────┤ it has something to wait for    it itself, after a pause
//!               │ it is silent                    the others are asked who leads, while the call goes on
//! ```
//!
//! A request has a slot or an id of its own, or is a question: whoever it is sent to beside, it is carried out once.
//! So who seems to lead may be wrong at any time, and costs a refusal at most. Members that are away cost nothing:
//! only connections that stand are asked. Who was told of one member alone learns of the others from that, and again
//! whenever one is named that is not connected: it may listen elsewhere by now.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use emberfs_client_session::{Next, Work, decide};
use emberfs_layout::NodeId;
use emberfs_transport::link::LinkState;
use emberfs_transport::members::{Hints, first_up, leader, node, standing, standings};
use emberfs_transport::{Address, CallOptions, Peer, Tcp};
use emberfs_wire::group::GetMemberReply;
use emberfs_wire::handshake::Role;
use emberfs_wire::{Request, WireError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{ClientError, Try, WaitingFor};
use crate::known::Known;
use crate::links::{Dialling, Driven, IntoDriver};
use crate::patience::Patience;

/// How long a member may take to answer before another is asked, where there are several: far beyond what an election
/// takes.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// After so long without an answer the others are asked who leads: a member that hangs is replaced by then, and hardly
/// a request of one that works takes so long.
const SILENCE: Duration = Duration::from_secs(1);
/// Between two such questions, for all calls that wait together.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// How long the answers may take.
const LOOK_WAIT: Duration = Duration::from_millis(500);

/// Between two questions for members that are not known here, for all calls together.
const LEARN_PAUSE: Duration = Duration::from_secs(1);

/// How often is looked whether the first try to connect has ended.
const CONNECTING: Duration = Duration::from_millis(5);

/// Connections to the members.
#[derive(Debug)]
pub(crate) struct MetaLinks {
    members: Mutex<Known<Arc<Member>>>,
    dialler: Box<dyn Dials>,
    /// The place of the one that seems to lead.
    preferred: watch::Sender<usize>,
    /// Held by the call that looks who leads.
    looking: tokio::sync::Mutex<()>,
    /// When a member was asked for the others.
    learned: Mutex<Learned>,
    /// How many requests were sent, tries counted each.
    requests: AtomicU64,
}

/// When that was last, if ever.
#[derive(Debug, Default)]
struct Learned(Option<Instant>);

impl Learned {
    /// Whether it may be asked again now.
    fn take_turn(&mut self) -> bool {
        let is_due = self.0.is_none_or(|last| last.elapsed() >= LEARN_PAUSE);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

/// One member.
#[derive(Debug)]
struct Member {
    address: Address,
    driven: Driven,
    /// Which it is, once it was connected.
    node: OnceLock<NodeId>,
}

/// Dials members.
trait Dials: Debug + Send + Sync {
    fn dial(&self, address: &Address) -> Driven;
}

#[derive(Debug)]
struct Dialler<H> {
    dialling: Dialling,
    handler: H,
}

impl<H: IntoDriver> Dials for Dialler<H> {
    fn dial(&self, address: &Address) -> Driven {
        let hello = self.dialling.hello(Role::Meta, None, None);
        let dial = self.dialling.dial(Tcp, address.clone(), hello);
        self.handler.clone().drive(&self.dialling, dial)
    }
}

impl Member {
    fn new(address: &Address, dialler: &dyn Dials) -> Arc<Self> {
        let (driven, node) = (dialler.dial(address), OnceLock::new());
        Arc::new(Self { address: address.clone(), driven, node })
    }

    /// The connection, while it stands.
    fn up(&self) -> Option<Peer> {
        let LinkState::Up { peer, welcome } = self.driven.link.state() else { return None };
        if let Some(node) = welcome.identity.node {
            self.node.get_or_init(|| node);
        }
        peer.closed().is_none().then_some(peer)
    }

    /// Whether the first try to connect has ended.
    fn was_tried(&self) -> bool {
        !matches!(self.driven.link.state(), LinkState::Down { why: None })
    }

    /// The connection, unless the last try to connect has failed; waits for the first.
    async fn first_try(&self) -> Option<Peer> {
        while !self.was_tried() {
            sleep(CONNECTING).await;
        }
        self.up()
    }

    /// Whether it is this one, and connected.
    fn is_up_as(&self, node: NodeId) -> bool {
        self.up().is_some() && self.node.get() == Some(&node)
    }
}

impl MetaLinks {
    /// Dials each of `addresses`; `handler` answers what the group asks.
    pub(crate) fn new(
        dialling: &Dialling,
        addresses: &[Address],
        handler: &impl IntoDriver,
    ) -> Self {
        Self::to(&Known::of(addresses.iter().cloned()), dialling, handler)
    }

    /// Dials the members that these go to, first whom these ask: until it is connected another may be asked.
    pub(crate) fn beside(&self, dialling: &Dialling, handler: &impl IntoDriver) -> Self {
        let known = self.known().map(|member| member.address.clone());
        Self::to(&known.beginning_with(*self.preferred.borrow()), dialling, handler)
    }

    fn to(known: &Known<Address>, dialling: &Dialling, handler: &impl IntoDriver) -> Self {
        let dialler = Dialler { dialling: dialling.clone(), handler: handler.clone() };
        Self {
            members: Mutex::new(known.map(|address| Member::new(address, &dialler))),
            dialler: Box::new(dialler),
            preferred: watch::Sender::new(0),
            looking: tokio::sync::Mutex::default(),
            learned: Mutex::default(),
            requests: AtomicU64::new(0),
        }
    }

    /// How many requests were sent, tries counted each.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Asks the group until it answers: a request with a slot or an id of its own, or a question, so that
    /// asking again is harmless.
    pub(crate) async fn call<R: Request + Sync>(
        &self,
        request: &R,
        patience: &mut Patience,
    ) -> Result<R::Reply, ClientError> {
        let mut last = None;
        // Of an election nobody is to wait the longer afterwards, so its tries are counted apart.
        let (mut tries, mut elections, mut hints) = (0, 0, Hints::default());
        loop {
            let what = || self.waiting_for(last.as_ref());
            let (member, peer) = patience.wait(what, self.peer()).await?;
            let answer = pin!(self.ask(member, &peer, request));
            let failed = match patience.wait(what, answer).await? {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            let counted = if failed.leader().is_some() { &mut elections } else { &mut tries };
            let decision = decide(Work::Meta, failed.as_failure(), *counted, rand::random());
            *counted += 1;
            let mut pause = decision.pause;
            match decision.next {
                Next::Refused(why) => return Err(why.into()),
                Next::Fault => return Err(ClientError::Fault { text: failed.to_string() }),
                Next::Elsewhere => {
                    let named = match failed.leader().flatten() {
                        Some(leader) => {
                            let what = || self.waiting_for(Some(&failed));
                            patience.wait(what, Box::pin(self.find(leader, &peer))).await?
                        }
                        None => None,
                    };
                    let turn = hints.turn(member, named, self.members().len());
                    self.turn(member, turn.to);
                    pause = if turn.at_once { Duration::ZERO } else { pause };
                }
                Next::Again | Next::Refresh => {}
            }
            patience.pause(|| self.waiting_for(Some(&failed)), pause).await?;
            last = Some(failed);
        }
    }

    /// What a call waits for now.
    pub(crate) fn waiting_for(&self, last: Option<&Try>) -> WaitingFor {
        let members = self.members();
        let each = members.iter().map(|member| member.driven.why_down());
        let last = last.map_or_else(|| each.collect::<Vec<_>>().join("; "), Try::to_string);
        WaitingFor::MetadataGroup { last }
    }

    /// Has whoever was told of one member alone learn of the others.
    pub(crate) async fn learn_if_alone(&self) {
        if let [only] = &self.members()[..]
            && let Some(peer) = only.up()
        {
            self.learn(&peer).await;
        }
    }

    /// Has whoever knows of several learn where the others listen, while one of them is away: it may come back elsewhere,
    /// and those that know where may be away by then.
    pub(crate) async fn learn_if_lacking(&self) {
        let members = self.members();
        let up: Vec<Peer> = members.iter().filter_map(|member| member.up()).collect();
        if let [first, ..] = &up[..]
            && up.len() < members.len()
        {
            self.learn(first).await;
        }
    }

    /// How each member answers, by the address at which it was asked; those too of which only another told.
    pub(crate) async fn ask_each(
        &self,
        wait: Duration,
    ) -> Vec<(Address, Result<GetMemberReply, String>)> {
        let mut answers: Vec<(Address, Result<GetMemberReply, String>)> = Vec::new();
        loop {
            let mut members = self.members();
            members.retain(|member| answers.iter().all(|(asked, _)| *asked != member.address));
            if members.is_empty() {
                return answers;
            }
            let ask = async |member: Arc<Member>| {
                let peer = timeout(wait, member.first_try()).await.ok().flatten();
                let Some(peer) = peer else { return Err(member.driven.why_down()) };
                standing(&peer, wait).await.map_err(|error| Try::from(error).to_string())
            };
            let asked = members.iter().map(|member| ask(member.clone()));
            let found = futures_util::future::join_all(asked).await;
            let addresses = members.iter().map(|member| member.address.clone());
            answers.extend(addresses.zip(found));
            let told = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()).cloned();
            told.collect::<Vec<_>>().iter().for_each(|told| self.add_others(told));
        }
    }

    /// One try. Ends without an answer where another member is found to lead meanwhile.
    async fn ask<R: Request + Sync>(
        &self,
        member: usize,
        peer: &Peer,
        request: &R,
    ) -> Result<R::Reply, Try> {
        let several = self.members().len() > 1;
        let wait = several.then_some(ANSWER_WAIT);
        let options = CallOptions { wait, ..CallOptions::default() };
        self.requests.fetch_add(1, Ordering::Relaxed);
        let call = peer.call(request, Bytes::new(), &options);
        let answer = match several {
            false => call.await,
            true => tokio::select! {
                biased;
                answer = call => answer,
                () = self.superseded(member) => return Err(Try::Slow),
            },
        };
        Ok(answer?.message)
    }

    /// Returns when another member than this one, which was just asked, has been silent for some time and seems to lead
    /// no more.
    async fn superseded(&self, asked: usize) {
        sleep(SILENCE).await;
        let mut preferred = self.preferred.subscribe();
        loop {
            if let Ok(_turn) = self.looking.try_lock() {
                self.look(asked).await;
            }
            if timeout(LOOK_PAUSE, preferred.wait_for(|now| *now != asked)).await.is_ok() {
                return;
            }
        }
    }

    /// Asks all but this one who leads, and believes the latest.
    async fn look(&self, asked: usize) {
        let members = self.members();
        let others = members.iter().enumerate().filter(|(place, _)| *place != asked);
        let peers: Vec<Peer> = others.filter_map(|(_, member)| member.up()).collect();
        let answers = standings(&peers, LOOK_WAIT).await;
        answers.iter().for_each(|answer| self.add_others(answer));
        if let Some(leader) = leader(&answers)
            && let Some(place) = place_of(&self.members(), leader)
        {
            self.turn(asked, place);
        }
    }

    /// A connection that stands: of the member that seems to lead, else of any other, else the first that comes.
    async fn peer(&self) -> (usize, Peer) {
        let (members, first) = (self.members(), *self.preferred.borrow());
        let is_up = |place: usize| members[place].up().is_some();
        if let Some(place) = first_up(first, members.len(), is_up)
            && let Some(peer) = members[place].up()
        {
            self.turn(first, place);
            return (place, peer);
        }
        let each = members.iter().enumerate();
        let mut any: FuturesUnordered<_> = each
            .map(|(place, member)| async move {
                member.driven.link.peer().await.map(|(peer, _)| (place, peer))
            })
            .collect();
        while let Some(up) = any.next().await {
            if let Some((place, peer)) = up {
                self.turn(first, place);
                return (place, peer);
            }
        }
        // All drivers were stopped: the client is being dropped, and with it this call.
        std::future::pending().await
    }

    /// Asks `to` from now on, unless somebody turned away from `from` before.
    fn turn(&self, from: usize, to: usize) {
        self.preferred.send_if_modified(|now| {
            let turns = *now == from && from != to;
            *now = if turns { to } else { *now };
            turns
        });
    }

    /// The place of the member of this number, of which another has told, if it is connected.
    async fn find(&self, leader: NodeId, teller: &Peer) -> Option<usize> {
        let found = place_of(&self.members(), leader);
        if found.is_none() {
            // It may be new here, or listen elsewhere than it did.
            self.learn(teller).await;
        }
        found
    }

    /// Dials the members that this one knows and nobody here does.
    async fn learn(&self, teller: &Peer) {
        let is_due = self.learned.lock().unwrap_or_else(PoisonError::into_inner).take_turn();
        if is_due && let Ok(told) = standing(teller, LOOK_WAIT).await {
            self.add_others(&told);
        }
    }

    fn add_others(&self, told: &GetMemberReply) {
        let mut known = self.known();
        for other in told.members.iter().filter(|other| other.member != told.member) {
            let Ok(address) = other.address.parse::<Address>() else { continue };
            let Some(node) = node(other.member) else { continue };
            // One that is away may listen elsewhere now.
            let will_do = |known: &Arc<Member>| known.address == address || known.is_up_as(node);
            let was_tried = |known: &Arc<Member>| known.was_tried();
            known.learn(node, will_do, was_tried, || Member::new(&address, &*self.dialler));
        }
    }

    fn known(&self) -> MutexGuard<'_, Known<Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self) -> Vec<Arc<Member>> {
        self.known().all().cloned().collect()
    }
}

/// Where the member of this number is among them, if it is connected.
fn place_of(members: &[Arc<Member>], leader: NodeId) -> Option<usize> {
    members.iter().position(|member| member.is_up_as(leader))
}

impl Try {
    /// Of a member that does not lead: who does, as far as that knows.
    fn leader(&self) -> Option<Option<NodeId>> {
        match self {
            Self::Answered(WireError::NotLeader { leader }) => Some(*leader),
            _ => None,
        }
    }
}
