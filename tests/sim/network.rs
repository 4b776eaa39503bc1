//! Messages between targets, clients and the controller: lost, late, doubled, overtaken, cut off.
//!
//! A message goes to one start of a server: a connection ends with its process.

use std::collections::BTreeSet;

use emberfs_buffer::Payload;
use emberfs_chain_replication::target::{Answer, Ask, CallId, Reply};
use emberfs_layout::ClientId;
use emberfs_wire::WireError;
use emberfs_wire::chunk::{ChunkRead, UpdateChunk};
use emberfs_wire::cluster::{Chain, TargetReport};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Who sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    Node(usize),
    Client(usize),
    Controller,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Ask { node: usize, boot: u64, call: CallId, ask: Ask },
    AskReply { call: CallId, answer: Result<Answer, WireError> },
    Update { client: usize, attempt: u64, update: UpdateChunk, data: Option<Payload> },
    Read { client: usize, attempt: u64, read: ChunkRead },
    Answered { attempt: u64, reply: Result<Reply, WireError> },
    Beat { node: usize, boot: u64, report: TargetReport, sent: u64, ended: usize },
    BeatReply { sent: u64, chain: Option<Chain>, ended: Vec<ClientId>, ended_to: usize },
    Route { client: usize, chain: usize },
    RouteReply { chain: Chain },
}

/// The faults of one run's network.
pub(crate) struct Network {
    rng: StdRng,
    loss: f64,
    double: f64,
    delay_max: u64,
    cut: BTreeSet<(Address, Address)>,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x006e_6574);
        let calm = rng.random_bool(0.2);
        let loss = if calm { 0.0 } else { rng.random_range(0.0..0.08) };
        let double = if calm { 0.0 } else { rng.random_range(0.0..0.08) };
        let delay_max = [3, 10, 40, 150][rng.random_range(0..4)];
        Self { rng, loss, double, delay_max, cut: BTreeSet::new() }
    }

    /// When copies of a message arrive, counted from now; none if it is lost.
    pub(crate) fn arrivals(&mut self, from: Address, to: Address) -> Vec<u64> {
        let pair = (from.min(to), from.max(to));
        if self.cut.contains(&pair) || self.rng.random_bool(self.loss) {
            return Vec::new();
        }
        let copies = if self.rng.random_bool(self.double) { 2 } else { 1 };
        (0..copies)
            .map(|_| {
                let late = if self.rng.random_bool(0.03) { 6 } else { 1 };
                self.rng.random_range(1..=self.delay_max * late)
            })
            .collect()
    }

    pub(crate) fn cut(&mut self, a: Address, b: Address) {
        self.cut.insert((a.min(b), a.max(b)));
    }

    pub(crate) fn mend(&mut self) {
        self.cut.clear();
    }

    /// From now on nothing is lost or very late.
    pub(crate) fn heal(&mut self) {
        (self.loss, self.double, self.delay_max) = (0.0, 0.0, 10);
        self.cut.clear();
    }
}
