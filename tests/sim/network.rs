//! Messages between machines: lost, late, overtaken, cut off.
//!
//! Between two machines there are several connections each way. On one of them messages come in order, once;
//! one of another may overtake them. A connection that breaks loses what is sent over it then, or leaves it with
//! a receiver who has yet to read it, while the next one is in use. Nothing is sent twice but by its sender.
//!
//! A message goes to one start of a server: a connection ends with its process.

use std::collections::{BTreeMap, BTreeSet};

use emberfs_buffer::Payload;
use emberfs_chain_replication::target::{Answer, Ask, CallId, Reply};
use emberfs_layout::{BootNumber, ClientId, TargetId};
use emberfs_meta_server_consensus::PeerMessage;
use emberfs_wire::WireError;
use emberfs_wire::chunk::{ChunkRead, UpdateChunk};
use emberfs_wire::cluster::{Chain, Heartbeat, HeartbeatReply, Register};
use emberfs_wire::meta::RenewSession;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Connections between two machines, each way.
const CONNECTIONS: usize = 2;

/// How late what members of the metadata group say to each other is at most, in milliseconds, but for what is held
/// up: a lead lasts where answers come long before a lease is over.
const MEMBERS_MS: u64 = 40;

/// How much later than others a message comes whose connection broke.
const TORN: u64 = 10;

/// Who sends and receives. A node is one target of a server, and shares its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    Node(usize),
    Client(usize),
    Server(usize),
    /// Of the metadata group.
    Member(usize),
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Ask {
        node: usize,
        boot: u64,
        call: CallId,
        ask: Ask,
    },
    AskReply {
        call: CallId,
        answer: Result<Answer, WireError>,
    },
    Update {
        client: usize,
        attempt: u64,
        update: UpdateChunk,
        data: Option<Payload>,
    },
    Read {
        client: usize,
        attempt: u64,
        read: ChunkRead,
    },
    Answered {
        attempt: u64,
        reply: Result<Reply, WireError>,
    },
    Register {
        server: usize,
        process: u64,
        call: u64,
        asked: Register,
    },
    TakenIn {
        call: u64,
        boot: BootNumber,
        alive: Vec<ClientId>,
        next: ClientId,
    },
    Beat {
        server: usize,
        process: u64,
        call: u64,
        said: Heartbeat,
    },
    BeatReply {
        call: u64,
        reply: HeartbeatReply,
    },
    /// Whoever was asked does not lead; who may.
    NotNow {
        call: u64,
        leader: Option<usize>,
    },
    /// Another start of the server is the latest.
    Stale {
        call: u64,
    },
    Renew {
        asked: RenewSession,
    },
    /// From one member of the metadata group to another.
    Peer(Box<PeerMessage>),
    Route {
        client: usize,
        chain: usize,
    },
    RouteReply {
        chain: Chain,
    },
}

impl Message {
    /// What a caller hears when its connection breaks.
    pub(crate) fn failed(call: CallId) -> Self {
        let answer =
            Err(WireError::Retry { after_ms: 20, text: "the connection broke".to_owned() });
        Self::AskReply { call, answer }
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// It comes after so many milliseconds; it may have overtaken another.
    Comes { ms: u64, overtakes: bool },
    /// Its connection breaks, and it comes all the same, late.
    Torn { ms: u64 },
    /// Its connection breaks, or there is none.
    Lost,
}

/// The faults of one run's network.
pub(crate) struct Network {
    rng: StdRng,
    loss: f64,
    delay_max: u64,
    cut: BTreeSet<(Address, Address)>,
    /// When the last message comes that is under way, on each connection.
    last: BTreeMap<(Address, Address), [u64; CONNECTIONS]>,
    /// Until when what goes from one to another is late, and how late at most.
    late: BTreeMap<(Address, Address), (u64, u64)>,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x006e_6574);
        let calm = rng.random_bool(0.2);
        let loss = if calm { 0.0 } else { rng.random_range(0.0..0.08) };
        let delay_max = [3, 10, 40, 150][rng.random_range(0..4)];
        let (cut, last, late) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { rng, loss, delay_max, cut, last, late }
    }

    /// What becomes of a message between two machines.
    pub(crate) fn send(&mut self, now: u64, from: Address, to: Address) -> Way {
        let last = self.last.entry((from, to)).or_default();
        let connection = self.rng.random_range(0..CONNECTIONS);
        if self.cut.contains(&pair(from, to)) {
            last[connection] = 0;
            return Way::Lost;
        }
        if self.rng.random_bool(self.loss) {
            last[connection] = 0;
            if self.rng.random_bool(0.5) {
                return Way::Lost;
            }
            return Way::Torn { ms: self.rng.random_range(1..=TORN * self.delay_max) };
        }
        let members = matches!((from, to), (Address::Member(_), Address::Member(_)));
        let usual = if members { self.delay_max.min(MEMBERS_MS) } else { self.delay_max };
        let late = self.late.get(&(from, to)).filter(|(until, _)| *until > now);
        let most = match late {
            Some((_, most)) => *most,
            None if self.rng.random_bool(0.03) => 6 * usual,
            None => usual,
        };
        let at = last[connection].max(now + self.rng.random_range(1..=most));
        let overtakes = last.iter().any(|other| *other > at);
        last[connection] = at;
        Way::Comes { ms: at - now, overtakes }
    }

    pub(crate) fn cut(&mut self, a: Address, b: Address) {
        self.cut.insert(pair(a, b));
    }

    pub(crate) fn mend(&mut self) {
        self.cut.clear();
    }

    pub(crate) fn delay(&mut self, from: Address, to: Address, until: u64, most: u64) {
        self.late.insert((from, to), (until, most));
    }

    /// From now on nothing is lost or very late.
    pub(crate) fn heal(&mut self) {
        (self.loss, self.delay_max) = (0.0, 10);
        self.cut.clear();
        self.late.clear();
    }
}

fn pair(a: Address, b: Address) -> (Address, Address) {
    (a.min(b), a.max(b))
}

/// The target that a node is, counted from 0.
pub(crate) fn target_of(node: usize) -> TargetId {
    TargetId(u32::try_from(node + 1).expect("few"))
}

/// The node that a target is.
pub(crate) fn node_of(target: TargetId) -> usize {
    target.0 as usize - 1
}
