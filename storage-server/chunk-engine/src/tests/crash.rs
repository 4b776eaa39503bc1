//! A crash at every step of random operations, with every subset of what was not synced.
//!
//! After each: the disk opens; each chunk is one of the versions that the crash could have left, in full
//! and with its tags; the blocks in use are those that the records name; and the engine goes on from
//! there, through a second crash at its end. With one sync switched off, the same test finds a loss.

use std::cell::RefCell;
use std::rc::Rc;

use emberfs_layout::ByteLen;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::reference::{PlainChange, PlainChunk, Reference};
use super::steps::{Action, Step, bytes, observe, perform, step, visible};
use super::{CHUNKS, open, options, run};
use crate::model::{ModelDisk, ModelRecords, Power, Survivors};
use crate::{Engine, SyncPoint, Syncs};

/// Up to so many unsynced operations every subset of them is tried.
const SUBSETS_OF: usize = 6;
/// Beyond, so many.
const SAMPLES: u64 = 8;
const DISK: ByteLen = ByteLen(64 << 20);
/// Bytes that are written per chunk: two pieces of the smallest blocks, cheap to compare.
const FAR: usize = 300_000;

/// What survives: the operations of a bit set, whole or torn by a seed.
struct Chosen {
    operations: u64,
    torn: Option<u64>,
}

impl Survivors for Chosen {
    fn operation(&mut self, number: usize) -> bool {
        self.operations >> (number % 64) & 1 == 1
    }

    fn sector(&mut self) -> bool {
        let Some(seed) = &mut self.torn else { return true };
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 40 & 1 == 1
    }
}

/// What can survive of so many operations: whole and torn.
fn choices(unsynced: usize, seed: u64) -> impl Iterator<Item = Chosen> {
    let subsets: Vec<u64> = if unsynced <= SUBSETS_OF {
        (0..1 << unsynced).collect()
    } else {
        let sample = |i: u64| (seed + i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        [0, u64::MAX].into_iter().chain((0..SAMPLES).map(sample)).collect()
    };
    subsets.into_iter().flat_map(move |operations| {
        let torn =
            (operations != 0).then_some(Chosen { operations, torn: Some(seed ^ operations) });
        [Chosen { operations, torn: None }].into_iter().chain(torn)
    })
}

/// A disk with its power.
struct Machine {
    disk: ModelDisk,
    records: ModelRecords,
}

impl Machine {
    fn new(power: &Power) -> Self {
        let disk = ModelDisk::new(power.clone(), DISK);
        Self { disk, records: ModelRecords::new(power.clone()) }
    }

    fn after_crash(&self, kept: usize, chosen: &mut Chosen) -> Self {
        let power = Power::steady();
        let disk = self.disk.after_crash(power.clone(), chosen);
        Self { disk, records: self.records.after_crash(power, kept) }
    }

    /// All machines that a crash now can leave.
    fn crashes(&self, seed: u64) -> impl Iterator<Item = Self> + '_ {
        let kept = 0..=self.records.unsynced();
        kept.flat_map(move |kept| {
            let choices = choices(self.disk.unsynced(), seed ^ kept as u64);
            choices.map(move |mut chosen| self.after_crash(kept, &mut chosen))
        })
    }
}

/// Why a crash lost something.
type Loss = String;

/// Opens the machine and compares it with what may be found; returns what is.
async fn check(machine: &Machine, reference: &Reference) -> Result<Reference, Loss> {
    let opened = Engine::open(machine.disk.clone(), machine.records.clone(), options(Syncs::all()));
    let engine = opened.await.map_err(|error| error.to_string())?;
    let mut found = reference.clone();
    for (key, log2) in CHUNKS {
        let nothing = vec![PlainChunk::default()];
        let possible = reference.possible.get(&key).unwrap_or(&nothing);
        // Tags and bytes of what is there are read: a wrong byte or a bad sum is a loss, too.
        let task = tokio::task::spawn_local({
            let engine = engine.clone();
            async move { observe(&engine, key, log2).await }
        });
        let seen = task.await.map_err(|error| format!("{key:?} cannot be read: {error}"))?;
        let is_seen = |one: &&PlainChunk| visible(one) == seen;
        let matching = possible.iter().rev().find(is_seen).cloned();
        let matching = matching.ok_or_else(|| format!("{key:?} is none of what it may be"))?;
        found.possible.insert(key, vec![matching.clone()]);
        found.chunks.insert(key, matching);
    }
    engine.flush().await.map_err(|error| error.to_string())?;
    let marks = engine.marks();
    engine.close().await.map_err(|error| error.to_string())?;
    let again = open(machine.disk.clone(), machine.records.clone()).await;
    if again.marks() != marks {
        return Err("a block is lost or owned twice".to_owned());
    }
    again.close().await.map_err(|error| error.to_string())?;
    Ok(found)
}

/// Does the steps until the power goes; returns whether it went.
async fn until_dark<R>(power: &Power, work: impl Future<Output = R>) -> bool {
    tokio::pin!(work);
    std::future::poll_fn(|turn| {
        if power.is_off() {
            return std::task::Poll::Ready(true);
        }
        turn.waker().wake_by_ref();
        work.as_mut().poll(turn).map(|_| false)
    })
    .await
}

/// Runs the steps with the power cut at step `cut`; `None` if they ended before.
fn dark_at(cut: u64, steps: &[Step], syncs: Syncs) -> Option<(Machine, Reference)> {
    let power = Power::cut_after(cut);
    let machine = Machine::new(&power);
    let reference = Rc::new(RefCell::new(Reference::default()));
    let (disk, records) = (machine.disk.clone(), machine.records.clone());
    let went = run(async {
        let work = async {
            let engine = Engine::open(disk, records, options(syncs)).await.expect("opens");
            for step in steps {
                perform(&engine, &reference, step.clone()).await;
            }
        };
        until_dark(&power, work).await
    });
    let reference = reference.borrow().clone();
    went.then_some((machine, reference))
}

/// Crashes at every step.
fn crash_everywhere(steps: &[Step], syncs: Syncs) -> Result<u64, Loss> {
    let mut crashes = 0;
    for cut in 1.. {
        let Some((machine, reference)) = dark_at(cut, steps, syncs) else { break };
        for (i, crashed) in machine.crashes(cut).enumerate() {
            crashes += 1;
            let found = run(check(&crashed, &reference));
            let found = found.map_err(|loss| format!("step {cut}, crash {i}: {loss}"))?;
            if i % 16 == 5 {
                go_on(&crashed, found, steps)
                    .map_err(|loss| format!("step {cut}, then {i}: {loss}"))?;
            }
        }
    }
    Ok(crashes)
}

/// The engine goes on after a crash: the steps again, then another crash.
fn go_on(machine: &Machine, found: Reference, steps: &[Step]) -> Result<(), Loss> {
    let reference = Rc::new(RefCell::new(found));
    run(async {
        let engine = open(machine.disk.clone(), machine.records.clone()).await;
        for step in steps {
            perform(&engine, &reference, step.clone()).await;
        }
    });
    let second = machine.after_crash(0, &mut Chosen { operations: 0, torn: None });
    let reference = reference.borrow().clone();
    run(check(&second, &reference)).map(drop)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_crash_loses_what_was_acknowledged(steps in prop::collection::vec(step(FAR), 1..7)) {
        if let Err(loss) = crash_everywhere(&steps, Syncs::all()) {
            panic!("{loss}");
        }
    }
}

fn put(chunk: usize, start: usize, len: usize, commit: bool) -> (usize, Action) {
    let bytes = bytes((1000 * chunk + len) as u64, len);
    let changes = vec![PlainChange::Write { start, bytes, aligned: true }];
    (chunk, Action::Put { changes, commit })
}

/// Blocks that a commit, a discard or a later version drops are asked for at once by others: were they
/// given before the record that drops them is durable, a crash would find the old version spoilt.
#[test]
fn dropped_blocks_wait_for_their_record() {
    let whole = |chunk, commit| put(chunk, 0, 16_384, commit);
    let committed = [
        vec![whole(0, true)],
        vec![whole(0, false)],
        vec![(0, Action::Commit)],
        vec![whole(1, false)],
    ];
    let discarded = [vec![whole(0, false)], vec![(0, Action::Discard)], vec![whole(1, false)]];
    // Parts of blocks, which are read first: new ones are asked for while the other's record is on its way.
    let late = |chunk, parts| {
        let part = |i: usize| PlainChange::Write {
            start: i * 4096 + 5,
            bytes: vec![7; 10],
            aligned: true,
        };
        (chunk, Action::Put { changes: (0..parts).map(part).collect(), commit: false })
    };
    let replaced = [
        vec![put(1, 0, 20_480, true), put(2, 0, 20_480, true)],
        vec![whole(0, false)],
        vec![whole(0, false), late(1, 2), late(2, 3)],
    ];
    for steps in [&committed[..], &discarded, &replaced] {
        if let Err(loss) = crash_everywhere(steps, Syncs::all()) {
            panic!("{loss}");
        }
    }
}

/// With one of these switched off, some crash loses something: the test above would see it.
#[test]
fn each_sync_matters() {
    for point in [SyncPoint::Data, SyncPoint::Records] {
        let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), seed);
        let lost = (0..20).any(|_| {
            let steps = prop::collection::vec(step(FAR), 3..7).new_tree(&mut runner);
            let steps = steps.expect("no filter").current();
            crash_everywhere(&steps, Syncs::without(point)).is_err()
        });
        assert!(lost, "without {} nothing is lost", point.name());
    }
}
