//! What one seed draws: how many chains, clients and requests, and which faults when.

use rand::RngExt;
use rand::rngs::StdRng;

use emberfs_chain_replication::target::Limits;

use crate::group_faults::{Who, group, group_fault};
use crate::network::Address;
use crate::planted::Planted;

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Crash {
        server: usize,
        down_ms: u64,
    },
    CrashAll {
        down_ms: u64,
    },
    /// All crash, and the tail of a chain stays away for longer than it is waited for.
    TailAway {
        chain: usize,
        down_ms: u64,
    },
    Pause {
        server: usize,
        ms: u64,
    },
    Cut {
        server: usize,
        from: Vec<Address>,
    },
    Mend,
    /// A disk fails, until its server starts anew.
    DiskFails {
        node: usize,
    },
    DiskSlow {
        node: usize,
        ms: u64,
    },
    /// Something else fills a disk, but for so many blocks; its server starts anew then, or not.
    DiskFills {
        node: usize,
        blocks: usize,
        starts: bool,
    },
    /// A chunk cannot be read on a disk.
    ChunkDamaged {
        node: usize,
        chunk: u32,
    },
    /// All can be read there again.
    ChunksMended {
        node: usize,
    },
    /// It has the room again that it had.
    DiskHasRoom {
        node: usize,
    },
    /// What the leader answers a server comes late.
    LateLeases {
        server: usize,
        ms: u64,
    },
    MemberCrashes {
        who: Who,
        down_ms: u64,
    },
    /// All members of the metadata group crash.
    GroupCrashes {
        down_ms: u64,
    },
    MemberHangs {
        who: Who,
        ms: u64,
    },
    /// From the other members, not from servers and clients.
    MemberCut {
        who: Who,
    },
    LeaderHandsOver,
    SessionEnds {
        client: usize,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// The servers of each chain, head first.
    pub(crate) chains: Vec<Vec<usize>>,
    /// With fewer serving members writes wait.
    pub(crate) min_serving: Vec<u8>,
    pub(crate) chunks: u32,
    pub(crate) clients: usize,
    /// Requests at a time of each client.
    pub(crate) slots: usize,
    /// Requests of all.
    pub(crate) requests: usize,
    pub(crate) think_ms: u64,
    pub(crate) disk_ms: u64,
    /// How long a disk takes for a whole chunk that another replica sent, if that is longer than the sender waits:
    /// between so many milliseconds and half as many more, also when all faults have healed.
    pub(crate) whole_chunk_ms: Option<u64>,
    /// How often the disk has no room.
    pub(crate) no_room: f64,
    /// For how many blocks each target's store has room, until all faults end.
    pub(crate) blocks_max: Vec<Option<usize>>,
    /// What the replicas hold at once, and how long they wait, where that is seldom reached.
    pub(crate) limits: Limits,
    pub(crate) faults: Vec<(u64, Fault)>,
    /// When all faults end.
    pub(crate) heal_at: u64,
    pub(crate) planted: Option<Planted>,
}

/// When the last fault strikes at the latest, in milliseconds.
pub(crate) const FAULTS_MS: u64 = 12_000;

/// From the last fault until all are healed, in milliseconds.
const REST_MS: u64 = 3_000;

/// The same after a fault that lasts for longer than a tail is waited for, and after which clients go on.
const LONG_REST_MS: u64 = 85_000;

/// How long the slowest disks take for a whole chunk, in milliseconds: longer than an answer is waited for by the
/// slowest clock.
const WHOLE_CHUNK_MS: u64 = 2_800;

impl Scenario {
    pub(crate) fn draw(rng: &mut StdRng, planted: Option<Planted>) -> Self {
        let chains: Vec<Vec<usize>> = match rng.random_range(0..12) {
            0 => vec![vec![0]],
            1 | 2 => vec![vec![0, 1]],
            3 => vec![vec![0, 1, 2], vec![1, 0]],
            4 => vec![vec![0, 1, 2], vec![2, 0, 1]],
            5 => vec![vec![0, 1, 2, 3]],
            _ => vec![vec![0, 1, 2]],
        };
        let (chunks, clients) = (rng.random_range(1..=4), rng.random_range(2..=4));
        let min_serving = chains.iter().map(|chain| {
            let most = u8::try_from((chain.len() - 1).max(1)).expect("few");
            if rng.random_bool(0.3) { 1 } else { most }
        });
        let min_serving = min_serving.collect();
        let count = rng.random_range(0..=9);
        let mut scenario = Self {
            min_serving,
            chunks,
            clients,
            slots: rng.random_range(1..=2),
            requests: 35 * chunks as usize * chains.len(),
            think_ms: [50, 400, 1_200][rng.random_range(0..3)],
            disk_ms: [2, 10, 60][rng.random_range(0..3)],
            whole_chunk_ms: match planted {
                // What such disks never bring to an end is found where there are any.
                Some(Planted::InstalledAgain) => Some(WHOLE_CHUNK_MS),
                _ => rng.random_bool(0.04).then_some(WHOLE_CHUNK_MS),
            },
            no_room: match planted {
                // What is wrong with refusals is found where there are any.
                Some(Planted::AnyAttempt) => 0.05,
                _ if rng.random_bool(0.1) => 0.05,
                _ => 0.0,
            },
            blocks_max: Vec::new(),
            limits: limits(rng, planted),
            chains,
            faults: Vec::new(),
            heal_at: FAULTS_MS + REST_MS,
            planted,
        };
        scenario.blocks_max = scenario.small_stores(rng);
        scenario.faults = (0..count).flat_map(|_| scenario.fault(rng)).collect();
        // A group that nothing happens to leaves room for what is seldom among servers.
        let calm = rng.random_bool(0.3) || planted == Some(Planted::AnyAttempt);
        let count = if calm { 0 } else { rng.random_range(1..=5) };
        scenario.faults.extend((0..count).flat_map(|_| group_fault(rng)));
        if rng.random_bool(0.04) {
            scenario.send_tail_away(rng);
        }
        scenario
    }

    /// The server and chain of each target, in the order of their numbers.
    pub(crate) fn places(&self) -> Vec<(usize, usize)> {
        let chains = 0..self.chains.len();
        let of = |server: usize| {
            let here = chains.clone().filter(move |chain| self.chains[*chain].contains(&server));
            here.map(move |chain| (server, chain))
        };
        (0..self.servers()).flat_map(of).collect()
    }

    pub(crate) fn servers(&self) -> usize {
        self.chains.iter().flatten().max().map_or(0, |last| last + 1)
    }

    /// Stores of different sizes, some of which run full again and again.
    fn small_stores(&self, rng: &mut StdRng) -> Vec<Option<usize>> {
        let targets = self.places().len();
        let looked_for =
            [Planted::AnyAttempt, Planted::RoomPretended, Planted::SyncingObeyed].map(Some);
        if !looked_for.contains(&self.planted) && rng.random_bool(0.7) {
            return vec![None; targets];
        }
        let most = self.chunks as usize + 1;
        (0..targets).map(|_| rng.random_bool(0.8).then(|| rng.random_range(1..=most))).collect()
    }

    /// One fault with its time, and the end of it where it has one.
    fn fault(&self, rng: &mut StdRng) -> Vec<(u64, Fault)> {
        let at = rng.random_range(300..FAULTS_MS);
        let server = rng.random_range(0..self.servers());
        let node = rng.random_range(0..self.places().len());
        let short = rng.random_range(1..300);
        let long = rng.random_range(300..3_500);
        let ms = if rng.random_bool(0.5) { short } else { long };
        let fault = match rng.random_range(0..24) {
            0..6 => Fault::Crash { server, down_ms: ms },
            6..8 => Fault::CrashAll { down_ms: ms },
            8..11 => Fault::Pause { server, ms },
            11..13 => {
                let from = self.some_others(rng, server);
                return vec![(at, Fault::Cut { server, from }), (at + ms, Fault::Mend)];
            }
            13 => Fault::DiskFails { node },
            14 => Fault::DiskSlow { node, ms },
            15..18 => Fault::LateLeases { server, ms },
            18 => {
                let hangs = (at, Fault::MemberHangs { who: Who::Leader, ms });
                // Two starts of one server may stand in what it has yet to read.
                let starts = if rng.random_bool(0.8) { vec![at + 1, at + ms / 2] } else { vec![] };
                let crash = |at| (at, Fault::Crash { server, down_ms: 20 });
                return [hangs].into_iter().chain(starts.into_iter().map(crash)).collect();
            }
            19 | 20 => {
                let (blocks, starts) = (rng.random_range(0..=2), rng.random_bool(0.7));
                let fills = Fault::DiskFills { node, blocks, starts };
                return vec![(at, fills), (at + 4 * ms, Fault::DiskHasRoom { node })];
            }
            21 | 22 => {
                let damaged = Fault::ChunkDamaged { node, chunk: rng.random_range(0..self.chunks) };
                if rng.random_bool(0.3) {
                    return vec![(at, damaged)];
                }
                return vec![(at, damaged), (at + 4 * ms, Fault::ChunksMended { node })];
            }
            _ => Fault::SessionEnds { client: rng.random_range(0..self.clients) },
        };
        vec![(at, fault)]
    }

    /// From whom a server is cut off: often from the metadata group alone.
    fn some_others(&self, rng: &mut StdRng, server: usize) -> Vec<Address> {
        let group = group();
        match rng.random_range(0..10) {
            0..3 => return group,
            3..5 => return group.into_iter().filter(|_| rng.random_bool(0.6)).collect(),
            _ => {}
        }
        let others = (0..self.servers()).filter(|other| *other != server).map(Address::Server);
        let clients = (0..self.clients).map(Address::Client);
        let all = others.chain(clients).chain(group);
        all.filter(|_| rng.random_bool(0.5)).collect()
    }

    /// Sessions of all clients that ever come.
    pub(crate) fn sessions(&self) -> usize {
        let ends = |(_, fault): &&(u64, Fault)| matches!(fault, Fault::SessionEnds { .. });
        self.clients + self.faults.iter().filter(ends).count()
    }

    fn send_tail_away(&mut self, rng: &mut StdRng) {
        let at = rng.random_range(2_000..FAULTS_MS);
        let chain = rng.random_range(0..self.chains.len());
        let down_ms = rng.random_range(62_000..75_000);
        self.faults.push((at, Fault::TailAway { chain, down_ms }));
        self.think_ms = 4_000;
        self.heal_at = FAULTS_MS + LONG_REST_MS;
    }
}

/// Small limits, so that they are reached.
fn limits(rng: &mut StdRng, planted: Option<Planted>) -> Limits {
    let usual = Limits::default();
    // What is wrong with marks is found where tags are in the way.
    let few_tags =
        rng.random_bool(0.2) || matches!(planted, Some(Planted::MarksKept | Planted::MarksEarly));
    let tags_max = if few_tags { rng.random_range(2..=3) } else { usual.tags_max };
    let mut one_of = |few: usize, many: usize| if rng.random_bool(0.5) { few } else { many };
    Limits {
        unreadable_max: one_of(1, usual.unreadable_max),
        ahead_max: one_of(0, usual.ahead_max),
        owed_max: one_of(1, usual.owed_max),
        bare_max: one_of(1, usual.bare_max),
        tags_open_max: one_of(1, usual.tags_open_max.min(tags_max - 1)),
        tags_max,
        room_ms: [100, 1_000, usual.room_ms][rng.random_range(0..3)],
        unreadable_ms: [200, usual.unreadable_ms][rng.random_range(0..2)],
    }
}
