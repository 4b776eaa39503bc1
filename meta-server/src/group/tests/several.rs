//! A group of three: terms, the time, stops and flushes.

use emberfs_meta_server_consensus::{Limits, Term};
use emberfs_wire::meta::Time;

use super::ledger::lines;
use super::three::Three;
use crate::group::{GroupError, GroupOptions};
use crate::store::SyncPoint;

const ALL: [usize; 3] = [0, 1, 2];

fn others(at: usize) -> Vec<usize> {
    ALL.into_iter().filter(|other| *other != at).collect()
}

fn not_leader<T: std::fmt::Debug>(answer: &Result<T, GroupError>) {
    assert!(matches!(answer, Err(GroupError::NotLeader { .. })), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_a_term_is_refused_in_every_other() {
    let three = Three::new([GroupOptions::default(); 3]);
    let first = three.leader(&ALL).await;
    let group = &three.groups[first];
    let term = group.leading().await.unwrap();
    let bound = group.in_term(term);
    assert_eq!(bound.propose("in its term".to_owned()).await.unwrap().0, 1);
    assert_eq!(bound.read(lines).await.unwrap().len(), 1);
    bound.confirm().await.unwrap();
    not_leader(&group.in_term(Term(term.get() + 1)).propose("too early".to_owned()).await);
    three.make_lead(others(first)[0]).await;
    three.make_lead(first).await;
    assert!(group.propose("in another term".to_owned()).await.is_ok());
    not_leader(&bound.propose("too late".to_owned()).await);
    not_leader(&bound.read(lines).await);
    not_leader(&bound.confirm().await);
    for at in ALL {
        let texts: Vec<_> = three.groups[at].read_here(lines).await.unwrap();
        let texts: Vec<_> = texts.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["in its term", "in another term"], "as {at} has it");
    }
    three.end().await;
}

/// Clocks of members that do not agree by far.
fn clocks() -> [GroupOptions; 3] {
    let at = |clock: fn() -> Time| GroupOptions { clock, ..GroupOptions::default() };
    let seconds: [fn() -> Time; 3] = [
        || Time { seconds: 3_000, nanos: 0 },
        || Time { seconds: 1_000, nanos: 0 },
        || Time { seconds: 2_000, nanos: 0 },
    ];
    seconds.map(at)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_never_goes_back_when_another_leads() {
    let three = Three::new(clocks());
    for at in [1, 0, 2, 1] {
        three.make_lead(at).await;
        three.groups[at].propose("tick".to_owned()).await.unwrap();
    }
    let lines = three.groups[0].read_here(lines).await.unwrap();
    let times: Vec<_> = lines.iter().map(|line| line.time).collect();
    assert!(times.is_sorted() && times.len() == 4, "{times:?}");
    assert_eq!(times[0].seconds, 1_000);
    assert_eq!(times.last().unwrap().seconds, 3_000);
    three.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_the_others_answers_nothing_and_still_stops() {
    let three = Three::new([GroupOptions::default(); 3]);
    let first = three.leader(&ALL).await;
    let group = &three.groups[first];
    group.propose("before".to_owned()).await.unwrap();
    others(first).into_iter().for_each(|at| three.reach(at, false));
    let lost = tokio::spawn({
        let group = group.clone();
        async move { group.propose("lost".to_owned()).await }
    });
    three.reach(first, false);
    others(first).into_iter().for_each(|at| three.reach(at, true));
    let next = three.leader(&others(first)).await;
    three.groups[next].propose("after".to_owned()).await.unwrap();
    not_leader(&group.read(lines).await);
    assert!(group.read_here(lines).await.is_err());
    group.hand_over().await;
    assert_eq!(group.stop().await, Ok(()));
    let lost = lost.await.unwrap().unwrap_err();
    assert!(!matches!(lost, GroupError::Failed { .. }), "{lost}");
    let texts = three.groups[next].read(lines).await.unwrap();
    let texts: Vec<_> = texts.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["before", "after"]);
    three.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_kept_for_others_is_not_flushed_again_and_again() {
    let limits = Limits { keep_bytes: 64 << 20, ..Limits::default() };
    let options = GroupOptions { flush_bytes: 1 << 20, limits, ..GroupOptions::default() };
    let three = Three::new([options; 3]);
    let leader = three.leader(&ALL).await;
    let before = three.syncs[leader].count(SyncPoint::State);
    for _ in 0..40 {
        // Well over a mebibyte in ten.
        three.groups[leader].propose("x".repeat(128 << 10)).await.unwrap();
    }
    let flushes = three.syncs[leader].count(SyncPoint::State) - before;
    assert!((1..=5).contains(&flushes), "{flushes} flushes for 5 MiB");
    three.end().await;
}
