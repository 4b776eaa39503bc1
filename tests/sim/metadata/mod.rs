//! The metadata group: three members of the core that ships, each with its two storages and its clock, and what
//! whoever leads does for storage servers and chains.
//!
//! ```text
//!   message ──► member: core ── append ──► storage: log ── synced ──► core
//!      ▲           │     └─ apply ──► state ── flushed now and then ──► storage: state
//!      │           ▼
//!   network     leader of a term: recorded lease read ──► sessions ended, own lease recorded ──► it answers
//!                                 heartbeat ──► confirmed ──► news read ──► vouched for ──► a lease, an answer
//!                                 look ──► chains read ──► decided ──► proposed in its term ──► applied
//! ```
//! Between any two steps time passes, in which the member may hang, crash, or lose the lead. The core's own simulator
//! has harder networks and disks, and looks at the log alone; its world holds plain bytes and is no part of that
//! crate's face. Here the members hold the state machines that ship, and what is looked at is what a leader grants
//! and decides by them.

mod agreed;
mod driver;
mod failing;
mod founding;
mod leader;
mod leading;
mod member;
mod orders;
mod reading;
mod snapshots;
mod storage;

use std::collections::BTreeMap;
use std::rc::Rc;

use emberfs_layout::{ChainId, ClientId};
use emberfs_meta_server_consensus::{MemberId, PeerMessage, SnapshotId, Transfer};
use emberfs_meta_server_state::cluster::{self, PlacedChain};
use emberfs_meta_server_state::{Body, sessions};
use emberfs_wire::cluster::Heartbeat;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::coverage::Rows;
use crate::network::{Address, Message};
use crate::planted::Planted;
use agreed::Agreed;
use leader::Leader;
use leading::Work;
use member::Member;
use orders::{Asked, Then};
use storage::State;

pub(crate) use founding::{Plan, node_of, registration};
pub(crate) use member::place;

/// The least time between two looks at all chains, and the longest, in milliseconds.
const LOOKS_MS: (u64, u64) = (20, 220);

/// Between two times that a leader ends sessions and shortens the list of ended ones, in milliseconds.
const EXPIRE_MS: u64 = 1_000;

/// How many members the group has.
pub(crate) const MEMBERS: usize = 3;

/// Something that the group does later.
pub(crate) enum Step {
    /// A member that was down starts.
    Start(usize),
    /// One start of a member does something.
    Of { member: usize, start: u64, act: Act },
}

/// What a member does.
pub(crate) enum Act {
    Tick,
    /// The oldest write to its log is on stable storage.
    Synced,
    /// The state takes in what is committed.
    Apply,
    /// The state is made durable.
    Flush,
    MakeSnapshot,
    SnapshotSent {
        to: MemberId,
        became: Transfer,
    },
    /// What it said to this member last was lost.
    Unreachable(MemberId),
    /// It looks at who leads, and begins or ends a leader's work.
    Follow,
    /// It answers by what it has taken in, whoever leads.
    Route {
        client: usize,
        chain: usize,
        index: u64,
    },
    /// One of its leaders does something.
    Lead {
        leader: usize,
        work: Work,
    },
}

/// A heartbeat of one process of a server.
pub(crate) struct Beat {
    pub(crate) server: usize,
    pub(crate) process: u64,
    pub(crate) call: u64,
    pub(crate) said: Heartbeat,
}

/// What the group wants of the world.
pub(crate) enum Errand {
    Later(u64, Step),
    /// From a member to this process of a server, or to a client.
    Send {
        from: usize,
        to: Address,
        process: Option<u64>,
        message: Box<Message>,
    },
    /// From a member to another.
    Tell {
        from: usize,
        start: u64,
        message: Box<PeerMessage>,
    },
    /// A chain was changed.
    Changed {
        before: Box<PlacedChain>,
        after: Box<PlacedChain>,
    },
    /// Another leads.
    Led,
    /// Something happened that must happen in some run.
    Count(&'static str),
}

pub(crate) struct Metadata {
    rng: StdRng,
    members: Vec<Member>,
    /// All that there were.
    leaders: Vec<Leader>,
    agreed: Agreed,
    /// The states that snapshots hold.
    snapshots: BTreeMap<SnapshotId, Rc<State>>,
    /// Sessions for clients to come, and those whose clients are gone.
    sessions: Vec<ClientId>,
    silent: Vec<ClientId>,
    /// Nothing fails by itself any more.
    calm: bool,
    planted: Option<Planted>,
    pub(crate) rows: Rows,
}

impl Metadata {
    /// The members start.
    pub(crate) fn begin(&mut self, now: u64) -> Vec<Errand> {
        let mut out = Vec::new();
        (0..MEMBERS).for_each(|at| self.start(now, at, &mut out));
        out
    }

    // What is true, whoever leads: for checks, and for what comes from outside.

    pub(crate) fn placed(&self) -> Vec<PlacedChain> {
        cluster::placed_chains(&self.agreed.store).expect("memory")
    }

    /// The clock of the latest leader: hundredths of the true speed.
    pub(crate) fn pace(&self) -> u64 {
        self.leaders.last().map_or(100, |leader| leader.clock.pace)
    }

    /// Who leads, if anybody does: the latest that began.
    pub(crate) fn leading(&self) -> Option<usize> {
        let leader = self.leaders.last()?;
        let lives = self.is_up(leader.member) && self.start_of(leader.member) == leader.start;
        lives.then_some(leader.member)
    }

    pub(crate) fn is_up(&self, member: usize) -> bool {
        self.members[member].core.is_some()
    }

    /// The how many-th start of a member it is.
    pub(crate) fn start_of(&self, member: usize) -> u64 {
        self.members[member].starts
    }

    /// A client comes: its session.
    pub(crate) fn next_session(&mut self) -> ClientId {
        self.sessions.pop().expect("there is one for each client of a run")
    }

    /// A client is gone: its session is to be ended.
    pub(crate) fn falls_silent(&mut self, client: ClientId) {
        self.silent.push(client);
    }

    /// All members run and hold the same.
    pub(crate) fn agrees(&self) -> bool {
        let last = self.agreed.last();
        let same = |member: &Member| member.core.is_some() && member.state.applied.index == last;
        if !self.members.iter().all(same) {
            return false;
        }
        for member in &self.members {
            assert_eq!(member.state.store, self.agreed.store, "the members' states differ");
        }
        true
    }

    /// How the members stand, for people.
    pub(crate) fn standing(&self) -> String {
        let line = |member: &Member| {
            let standing =
                member.core.as_ref().map(emberfs_meta_server_consensus::Member::standing);
            format!("member: {standing:?}, {:?} of {:?}", member.state.applied, self.agreed.last())
        };
        self.members.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    // What it does.

    /// Until when a member hangs.
    pub(crate) fn paused_until(&self, member: usize) -> u64 {
        self.members[member].paused_until
    }

    /// Until when a step has to wait, as who would take it hangs.
    pub(crate) fn sleeps(&self, step: &Step) -> u64 {
        match step {
            Step::Start(_) => 0,
            Step::Of { member, .. } => self.paused_until(*member),
        }
    }

    /// A member hears a server, a client or another member.
    pub(crate) fn hears(&mut self, now: u64, at: usize, message: Message) -> Vec<Errand> {
        let mut out = Vec::new();
        let led = self.members[at].leader;
        let led = led.filter(|leader| self.leaders[*leader].ready);
        match (message, led) {
            (Message::Peer(message), _) => self.told(now, at, *message, &mut out),
            (Message::Route { client, chain }, _) => {
                self.confirm(now, at, None, Asked::Route { client, chain }, &mut out);
            }
            (Message::Register { server, process, call, .. }, None)
            | (Message::Beat { server, process, call, .. }, None) => {
                out.push(self.not_now(at, server, process, call));
            }
            (Message::Register { server, process, call, asked }, Some(leader)) => {
                let then = Then::Registered { leader, server, process, call };
                let body = Body::Register(asked);
                self.propose(now, at, Some(self.leaders[leader].term), body, then, &mut out);
            }
            (Message::Beat { server, process, call, said }, Some(leader)) => {
                let beat = Box::new(Beat { server, process, call, said });
                self.beats(now, leader, beat, &mut out);
            }
            (Message::Renew { asked }, Some(leader)) => {
                let store = &self.members[at].state.store;
                if sessions::find(store, asked.client).expect("memory").is_some() {
                    self.leaders[leader].renewed(asked);
                }
            }
            (Message::Renew { .. }, None) => {}
            (other, _) => unreachable!("{other:?} to a member of the metadata group"),
        }
        out
    }

    pub(crate) fn take(&mut self, now: u64, step: Step) -> Vec<Errand> {
        let mut out = Vec::new();
        match step {
            Step::Start(at) => self.start(now, at, &mut out),
            Step::Of { member, start, act } => {
                if self.is_up(member) && self.start_of(member) == start {
                    self.act(now, member, act, &mut out);
                }
            }
        }
        out
    }

    /// Something that this start of a member does later.
    fn later(&self, at: usize, ms: u64, act: Act) -> Errand {
        let start = self.start_of(at);
        Errand::Later(ms, Step::Of { member: at, start, act })
    }

    /// The same of a leader.
    fn lead_later(&self, leader: usize, ms: u64, work: Work) -> Errand {
        self.later(self.leaders[leader].member, ms, Act::Lead { leader, work })
    }

    /// How long a small step takes, in milliseconds: now and then a long time.
    fn moment(&mut self) -> u64 {
        if !self.calm && self.rng.random_bool(0.05) {
            self.rng.random_range(10..=300)
        } else {
            self.rng.random_range(0..=6)
        }
    }

    /// To a server that asks one that does not lead.
    fn not_now(&self, at: usize, server: usize, process: u64, call: u64) -> Errand {
        let leader = self.members[at].leadership.other().map(place);
        to_server(at, server, process, Message::NotNow { call, leader })
    }
}

fn to_server(from: usize, server: usize, process: u64, message: Message) -> Errand {
    let (to, message) = (Address::Server(server), Box::new(message));
    Errand::Send { from, to, process: Some(process), message }
}

/// The chain with this place in the scenario.
fn chain_id(chain: usize) -> ChainId {
    ChainId(u32::try_from(chain + 1).expect("few"))
}
