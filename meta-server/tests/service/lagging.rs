//! A member that was away for longer than the log reaches gets the state itself.

use emberfs_meta_server::group::GroupOptions;
use emberfs_meta_server_consensus::Limits;
use emberfs_metrics::table::RPC_ERRORS;
use emberfs_wire::group::Index;
use emberfs_wire::meta::{Mode, Mutation, NewNode, Place, SymlinkTarget};

use crate::group::names;
use crate::member::{ROOT, name, until};
use crate::trio::{COUNT, Trio};

/// Small enough that some hundred changes are more than the log keeps.
fn small() -> GroupOptions {
    let limits = Limits { keep_bytes: 64 << 10, ..Limits::default() };
    GroupOptions { flush_bytes: 128 << 10, limits, ..GroupOptions::default() }
}

/// A name with some KiB behind it.
fn long(text: &str) -> Mutation {
    let target = SymlinkTarget::new([b'x'; 4000]).expect("short enough");
    let node = NewNode::Symlink(target);
    Mutation::MakeNode { parent: Place::inode(ROOT), name: name(text), mode: Mode(0o777), node }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_for_long_gets_the_state_and_is_a_full_member_again() {
    let mut trio = Trio::new(small()).await;
    let mut finder = trio.finder().opened().await;
    let mut made = 0;
    for round in 0..2 {
        let (leader, _) = trio.leader(&trio.running()).await;
        let away = (leader + 1) % COUNT;
        let before = trio.standing(away).await;
        trio.stop(away).await;
        // A follower that was heard just now is waited for.
        while trio.standing(leader).await.cut <= before.last {
            for _ in 0..50 {
                finder.mutate(long(&format!("{round} {made}"))).await.expect("made");
                made += 1;
            }
        }
        trio.start(away).await;
        let after = trio.caught_up(away, leader).await;
        assert!(after.cut > before.last, "the log alone did not reach: {before:?} {after:?}");
        // From what it has on disk now.
        trio.stop(away).await;
        trio.start(away).await;
        trio.leader(&trio.running()).await;
        // It is one of two that run now.
        trio.stop((leader + 2) % COUNT).await;
        finder.mutate(long(&format!("{round} last"))).await.expect("a majority runs");
        made += 1;
        assert_eq!(names(&mut finder).await.len(), made);
        trio.start((leader + 2) % COUNT).await;
        trio.leader(&trio.running()).await;
    }
}

/// As when its disk is full.
#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_take_a_state_in_says_so_and_gets_one_once_that_is_mended() {
    let mut trio = Trio::new(small()).await;
    let mut finder = trio.finder().opened().await;
    let (leader, _) = trio.leader(&trio.running()).await;
    let away = (leader + 1) % COUNT;
    let before = trio.standing(away).await;
    trio.stop(away).await;
    let mut made = 0;
    while trio.standing(leader).await.cut <= before.last {
        finder.mutate(long(&made.to_string())).await.expect("made");
        made += 1;
    }
    trio.isolate(away);
    trio.start(away).await;
    trio.hinder_states(away);
    // Of this process; no other test's members answer so.
    let refused = RPC_ERRORS.with(["Install", "wait"]);
    trio.join(away);
    until(async || {
        finder.mutate(long(&made.to_string())).await.expect("the others go on");
        made += 1;
        (refused.get() >= 2).then_some(())
    })
    .await;
    assert!(trio.standing(away).await.applied <= before.last);
    trio.mend_states(away);
    until(async || {
        finder.mutate(long(&made.to_string())).await.expect("the others go on");
        made += 1;
        let standing = trio.standing(away).await;
        (standing.cut > before.last).then_some(())
    })
    .await;
    trio.caught_up(away, leader).await;
    assert_eq!(names(&mut finder).await.len(), made);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_its_state_gets_it_back_from_the_others() {
    let mut trio = Trio::new(small()).await;
    let mut finder = trio.finder().opened().await;
    let (leader, _) = trio.leader(&trio.running()).await;
    let away = (leader + 1) % COUNT;
    let mut made = 0;
    while trio.standing(away).await.cut == Index::NONE {
        for _ in 0..50 {
            finder.mutate(long(&made.to_string())).await.expect("made");
            made += 1;
        }
    }
    trio.stop(away).await;
    trio.lose_state(away);
    trio.start(away).await;
    trio.caught_up(away, leader).await;
    // It is one of two that run now.
    trio.stop((leader + 2) % COUNT).await;
    finder.mutate(long("last")).await.expect("a majority runs");
    assert_eq!(names(&mut finder).await.len(), made + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_formatted_anew_votes_when_it_has_all_again() {
    let mut trio = Trio::new(small()).await;
    let mut finder = trio.finder().opened().await;
    let (leader, _) = trio.leader(&trio.running()).await;
    let (anew, other) = ((leader + 1) % COUNT, (leader + 2) % COUNT);
    trio.stop(anew).await;
    trio.format_anew(anew);
    for made in 0..10 {
        finder.mutate(long(&made.to_string())).await.expect("a majority runs");
    }
    trio.start(anew).await;
    trio.caught_up(anew, leader).await;
    until(async || trio.standing(anew).await.abstains.is_none().then_some(())).await;
    // Also after a start; the two that are left elect one of them.
    trio.stop(anew).await;
    trio.start(anew).await;
    trio.kill(leader).await;
    trio.leader(&[anew, other]).await;
    assert_eq!(names(&mut finder).await.len(), 10);
}
