//! The replica core, the membership core and the core of the metadata group under one seeded simulator: whole chains
//! of the code that ships, and the group whose leaders change them, with a network, disks, clocks and processes that
//! fail, and a check that every answer can be explained.
//!
//! ```text
//!   scenario ─► world ── network ──► server: heartbeats ─► node: Target + model store
//!                 │         ▲           ▲ leases, chains              client: tags, retries
//!                 │         ▼           │                               └─► checker: one order a chunk
//!                 └── metadata: three Members, two storages each          promises: what holds all the time
//!                        └─ state machines ── leader of a term: Heard
//! ```
//! What decides is real: `target`, `membership`, the consensus of the group, the cluster's and the sessions' state
//! machines, and the clients' tags. What stands in for the rest are the models of a chunk store, of a member's log
//! and state on disk, and of a server's heartbeats.
//!
//! A run has no clock and no source of randomness but its seed; a failing one prints the line that repeats
//! it. `cargo xtask sim` gives the seeds.
#![forbid(unsafe_code)]

mod checker;
mod client;
mod coverage;
mod faults;
mod group_faults;
mod machines;
mod metadata;
mod network;
mod node;
mod planted;
mod promises;
mod scenario;
mod server;
mod store;
mod trace;
mod traffic;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use coverage::Coverage;
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

/// What came of a seed.
#[derive(Debug, PartialEq)]
struct Ran {
    result: Result<(), String>,
    trace: String,
}

/// Runs one seed; a broken assertion is a fault like any other.
fn run(seed: u64, planted: Option<Planted>, traced: bool) -> (Ran, Coverage) {
    let mut world = World::new(seed, planted, traced);
    let run = std::panic::AssertUnwindSafe(|| world.run());
    let result = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| "an assertion failed".to_owned()))
    });
    let mut coverage = world.coverage.clone();
    coverage.set_rows(&world.metadata.rows);
    (Ran { result, trace: world.trace.text().to_owned() }, coverage)
}

/// Runs all seeds below `end`, on as many threads as there are processors; what the lowest of those that
/// fail came to, if one does, and what happened in all.
fn run_all(end: u64) -> (Option<(u64, String)>, Coverage) {
    let next = AtomicU64::new(0);
    let found = Mutex::new((None::<(u64, String)>, Coverage::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let (ran, coverage) = run(seed, None, false);
            let mut found = found.lock().expect("nothing panics under it");
            found.1.add(&coverage);
            if let Err(why) = ran.result
                && found.0.as_ref().is_none_or(|(lowest, _)| seed < *lowest)
            {
                next.fetch_max(end, Ordering::Relaxed);
                found.0 = Some((seed, why));
            }
        }
    };
    std::thread::scope(|threads| {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        (0..count).for_each(|_| drop(threads.spawn(work)));
    });
    found.into_inner().expect("nothing panics under it")
}

#[test]
fn every_answer_can_be_explained_under_all_faults() {
    let failed = if let Some(seed) = given("SIM_SEED") {
        let (ran, coverage) = run(seed, None, given("SIM_TRACE").is_some());
        println!("{}{coverage}", ran.trace);
        ran.result.err().map(|why| (seed, why))
    } else {
        let seeds = given("SIM_SEEDS").unwrap_or(SEEDS);
        let (failed, coverage) = run_all(seeds);
        println!("{coverage}");
        let missing = coverage.missing();
        if failed.is_none() && seeds >= SEEDS {
            assert!(missing.is_empty(), "never happened in {seeds} seeds: {missing:#?}");
        }
        failed
    };
    if let Some((seed, why)) = failed {
        panic!("{why}\nrepeat it: cargo xtask sim --seed {seed} --trace");
    }
}

#[test]
fn a_seed_repeats_byte_for_byte() {
    for seed in [3, 8] {
        let runs = [(); 2].map(|()| run(seed, None, true).0);
        assert!(!runs[0].trace.is_empty());
        assert!(runs[0] == runs[1], "seed {seed} took two ways");
    }
}

/// The simulation finds `planted`.
fn is_found(planted: Planted) {
    let found = (0..PLANTED_SEEDS)
        .find_map(|seed| Some((seed, run(seed, Some(planted), false).0.result.err()?)));
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

#[test]
fn a_flush_that_makes_nothing_durable_is_found() {
    is_found(Planted::FlushSkipped);
}

#[test]
fn a_message_from_before_a_refusal_is_found() {
    is_found(Planted::AnyAttempt);
}

#[test]
fn a_lease_counted_from_its_answer_is_found() {
    is_found(Planted::LeaseFromAnswer);
}

#[test]
fn a_change_before_a_lease_is_over_is_found() {
    is_found(Planted::ChangedTooEarly);
}

#[test]
fn a_finish_before_its_flush_is_found() {
    is_found(Planted::FinishedUnflushed);
}

#[test]
fn a_pretence_of_room_is_found() {
    is_found(Planted::RoomPretended);
}

#[test]
fn a_syncing_member_that_is_obeyed_too_early_is_found() {
    is_found(Planted::SyncingObeyed);
}

#[test]
fn bytes_that_do_not_match_their_sums_are_found() {
    is_found(Planted::Unchecked);
}

#[test]
fn a_mark_that_is_too_high_is_found() {
    is_found(Planted::MarkTooHigh);
}

#[test]
fn marks_of_idle_sessions_that_are_not_passed_on_are_found() {
    is_found(Planted::MarksKept);
}

#[test]
fn marks_that_are_learnt_too_early_are_found() {
    is_found(Planted::MarksEarly);
}

#[test]
fn a_restart_that_nobody_noticed_is_found() {
    is_found(Planted::RestartIgnored);
}

#[test]
fn a_stale_member_that_takes_over_is_found() {
    is_found(Planted::StaleTakesOver);
}

#[test]
fn a_chunk_that_is_sent_too_early_is_found() {
    is_found(Planted::SentTooEarly);
}

#[test]
fn a_late_copy_over_what_is_newer_is_found() {
    is_found(Planted::LateCopyTaken);
}

#[test]
fn a_chunk_that_is_stored_again_and_again_is_found() {
    is_found(Planted::InstalledAgain);
}

#[test]
fn grants_of_an_earlier_leader_that_are_not_waited_for_are_found() {
    is_found(Planted::EarlierGrantsIgnored);
}

#[test]
fn a_longer_lease_of_an_earlier_leader_that_is_not_waited_for_is_found() {
    is_found(Planted::EarlierLeaseIgnored);
}

#[test]
fn a_deposed_leader_that_goes_on_granting_is_found() {
    is_found(Planted::DeposedGrants);
}

#[test]
fn a_change_that_was_decided_in_an_earlier_term_is_found() {
    is_found(Planted::DecidedBefore);
}

#[test]
fn a_member_that_returns_with_an_older_state_than_it_says_is_found() {
    is_found(Planted::StateForgotten);
}

#[test]
fn a_leader_whose_state_lags_behind_is_found() {
    is_found(Planted::LeadsTooEarly);
}
