//! What one seed draws: how many chains, clients and requests, and which faults when.

use rand::RngExt;
use rand::rngs::StdRng;

use crate::network::Address;
use crate::planted::Planted;

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Crash { node: usize, down_ms: u64 },
    CrashAll { down_ms: u64 },
    Pause { node: usize, ms: u64 },
    Cut { node: usize, from: Vec<Address> },
    Mend,
    SessionEnds { client: usize },
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// Targets of each chain.
    pub(crate) chains: Vec<usize>,
    pub(crate) chunks: u32,
    pub(crate) clients: usize,
    /// Requests at a time of each client.
    pub(crate) slots: usize,
    /// Requests of all.
    pub(crate) requests: usize,
    pub(crate) think_ms: u64,
    pub(crate) disk_ms: u64,
    /// How often the disk has no room.
    pub(crate) no_room: f64,
    pub(crate) faults: Vec<(u64, Fault)>,
    /// When all faults end.
    pub(crate) heal_at: u64,
    pub(crate) planted: Option<Planted>,
}

/// When the last fault strikes at the latest, in milliseconds.
const FAULTS_MS: u64 = 12_000;

impl Scenario {
    pub(crate) fn draw(rng: &mut StdRng, planted: Option<Planted>) -> Self {
        let chains: Vec<usize> = match rng.random_range(0..10) {
            0 => vec![1],
            1 | 2 => vec![2],
            3 => vec![3, 2],
            _ => vec![3],
        };
        let (chunks, clients) = (rng.random_range(1..=4), rng.random_range(2..=4));
        let targets = chains.iter().sum();
        let count = rng.random_range(0..=9);
        let faults =
            (0..count).flat_map(|_| Self::fault(rng, targets, clients)).collect::<Vec<_>>();
        Self {
            chunks,
            clients,
            slots: rng.random_range(1..=2),
            requests: 35 * chunks as usize * chains.len(),
            think_ms: [50, 400, 1_200][rng.random_range(0..3)],
            disk_ms: [2, 10, 60][rng.random_range(0..3)],
            no_room: if rng.random_bool(0.1) { 0.05 } else { 0.0 },
            chains,
            faults,
            heal_at: FAULTS_MS + 3_000,
            planted,
        }
    }

    /// One fault with its time, and the end of it where it has one.
    fn fault(rng: &mut StdRng, targets: usize, clients: usize) -> Vec<(u64, Fault)> {
        let at = rng.random_range(300..FAULTS_MS);
        let node = rng.random_range(0..targets);
        let short = rng.random_range(1..300);
        let long = rng.random_range(300..3_500);
        let ms = if rng.random_bool(0.5) { short } else { long };
        match rng.random_range(0..10) {
            0..4 => vec![(at, Fault::Crash { node, down_ms: ms })],
            4 => vec![(at, Fault::CrashAll { down_ms: ms })],
            5 | 6 => vec![(at, Fault::Pause { node, ms })],
            7 | 8 => {
                let others = (0..targets).filter(|other| *other != node).map(Address::Node);
                let clients = (0..clients).map(Address::Client);
                let all = others.chain(clients).chain([Address::Controller]);
                let from: Vec<Address> = if rng.random_bool(0.4) {
                    vec![Address::Controller]
                } else {
                    all.filter(|_| rng.random_bool(0.5)).collect()
                };
                vec![(at, Fault::Cut { node, from }), (at + ms, Fault::Mend)]
            }
            _ => vec![(at, Fault::SessionEnds { client: rng.random_range(0..clients) })],
        }
    }
}
