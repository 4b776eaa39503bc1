//! The replica core under a seeded simulator: whole chains of the code that ships, with a network, disks,
//! clocks and a controller that fail, and a check that every answer can be explained.
//!
//! ```text
//!   scenario ─► world ── network ──► node: Target + model store        client: tags, retries
//!                 │                                                        │
//!                 └── controller: leases, chain changes                    └─► checker: one order a chunk
//! ```
//! A run has no clock and no source of randomness but its seed; a failing one prints the line that repeats
//! it. `cargo xtask sim` gives the seeds.
#![forbid(unsafe_code)]

mod checker;
mod client;
mod controller;
mod network;
mod node;
mod planted;
mod scenario;
mod store;
mod trace;
mod world;

use planted::Planted;
use world::World;

/// Seeds of one run of the tests.
const SEEDS: u64 = 3_000;

/// Seeds within which a planted fault must be found.
const PLANTED_SEEDS: u64 = 6_000;

/// A number that the caller gave.
fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs one seed; a broken assertion is a fault like any other.
fn run(seed: u64, planted: Option<Planted>, traced: bool) -> (Result<(), String>, String) {
    let mut world = World::new(seed, planted, traced);
    let run = std::panic::AssertUnwindSafe(|| world.run());
    let result = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| "an assertion failed".to_owned()))
    });
    (result, world.trace.text().to_owned())
}

#[test]
fn every_answer_can_be_explained_under_all_faults() {
    let seeds = match given("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..given("SIM_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let (result, trace) = run(seed, None, given("SIM_TRACE").is_some());
        print!("{trace}");
        if let Err(why) = result {
            panic!("{why}\nrepeat it: cargo xtask sim --seed {seed} --trace");
        }
    }
}

#[test]
fn a_seed_repeats_byte_for_byte() {
    for seed in [3, 8] {
        let runs = [(); 2].map(|()| run(seed, None, true));
        assert!(!runs[0].1.is_empty());
        assert!(runs[0] == runs[1], "seed {seed} took two ways");
    }
}

/// The simulation finds `planted`.
fn is_found(planted: Planted) {
    let found =
        (0..PLANTED_SEEDS).find_map(|seed| Some((seed, run(seed, Some(planted), false).0.err()?)));
    let (seed, why) = found.unwrap_or_else(|| panic!("{planted:?} passes {PLANTED_SEEDS} seeds"));
    println!("{planted:?} is found by seed {seed}: {}", why.lines().next().unwrap_or(""));
}

#[test]
fn a_put_called_durable_too_early_is_found() {
    is_found(Planted::DurableTooEarly);
}

#[test]
fn a_commit_before_the_successors_answer_is_found() {
    is_found(Planted::CommittedTooEarly);
}

#[test]
fn forgotten_tags_are_found() {
    is_found(Planted::TagsForgotten);
}

#[test]
fn a_lease_without_end_is_found() {
    is_found(Planted::LeaseForEver);
}

#[test]
fn messages_of_any_chain_version_are_found() {
    is_found(Planted::AnyChainVersion);
}

#[test]
fn a_dirty_read_without_a_question_is_found() {
    is_found(Planted::DirtyReadUnasked);
}

#[test]
fn a_resync_that_compares_nothing_is_found() {
    is_found(Planted::NothingCompared);
}

#[test]
fn a_retry_without_its_tag_is_found() {
    is_found(Planted::RetryWithoutTag);
}
