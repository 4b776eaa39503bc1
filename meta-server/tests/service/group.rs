//! A group of three: who leads, what others say meanwhile, and what is left when the leader goes.

use std::collections::BTreeSet;

use bytes::Bytes;
use emberfs_layout::{ClientId, NodeId, RoutingVersion, Sequence};
use emberfs_meta_server::group::GroupOptions;
use emberfs_transport::{CallError, CallOptions, Peer};
use emberfs_wire::cluster::GetRouting;
use emberfs_wire::group::{FetchPiece, GetMemberReply, SnapshotId, Tell};
use emberfs_wire::meta::{
    Ask, Cursor, Mode, Mutate, Mutation, MutationReply, NewNode, Place, Query, QueryReply, Slot,
};
use emberfs_wire::{FsError, Request, WireError};
use tokio::sync::watch;

use crate::finder::Finder;
use crate::member::{PATIENCE, ROOT, name, root, until};
use crate::trio::{COUNT, Trio};

/// How many create files at a time.
pub(crate) const WRITERS: usize = 4;
/// How many files each of them creates at least before anything happens, and after it.
pub(crate) const SOME: usize = 20;

/// A directory that may not be there yet: made twice, it is refused.
pub(crate) fn directory(text: &str) -> Mutation {
    let (parent, mode) = (Place::inode(ROOT), Mode(0o755));
    Mutation::MakeNode { parent, name: name(text), mode, node: NewNode::Directory }
}

fn stat(file: &str) -> Ask {
    let of = Place::entry(ROOT, &name(file));
    Ask { caller: root(), query: Query::Attributes { of, follow: false } }
}

/// Asks once.
async fn once<R: Request>(peer: &Peer, request: &R) -> Result<R::Reply, WireError> {
    let options = CallOptions { wait: Some(PATIENCE), ..CallOptions::default() };
    match peer.call(request, Bytes::new(), &options).await {
        Ok(reply) => Ok(reply.message),
        Err(CallError::Failed(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

/// All names in the root.
pub(crate) async fn names(finder: &mut Finder) -> BTreeSet<String> {
    let (mut names, mut after) = (BTreeSet::new(), Cursor::START);
    loop {
        let directory = Place::inode(ROOT);
        let query = Query::List { directory, after, limit: 1000, attributes: false };
        match finder.call(&Ask { caller: root(), query }).await.expect("a listing") {
            QueryReply::Entries { entries, end, .. } => {
                names.extend(entries.iter().map(|entry| entry.name.to_string()));
                match entries.last() {
                    Some(last) if !end => after = last.cursor,
                    _ => return names,
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_the_others_name_it_or_answer_from_what_they_have() {
    let trio = Trio::new(GroupOptions::default()).await;
    let mut finder = trio.finder().opened().await;
    assert!(matches!(finder.mutate(directory("a")).await, Ok(MutationReply::Inode { .. })));
    let (leader, standing) = trio.leader(&trio.running()).await;
    assert_eq!(finder.at(), leader);
    assert_eq!((standing.cluster, standing.members.len()), (trio.cluster, COUNT));
    // The slower of the others may have had no time yet to answer it.
    let all_heard = |standing: &GetMemberReply| {
        standing.members.iter().all(|member| member.heard == Some(true))
    };
    until(async || Some(trio.standing(leader).await).filter(all_heard)).await;
    let follower = (leader + 1) % COUNT;
    let peer = trio.peer(follower).await;
    let slot = Slot { client: ClientId(1), slot: 0, sequence: Sequence(1) };
    let refused = once(&peer, &Mutate { slot, caller: root(), mutation: directory("b") }).await;
    let refused = refused.expect_err("it does not lead");
    let node = NodeId(u32::try_from(leader + 1).expect("few"));
    assert_eq!(refused, WireError::NotLeader { leader: Some(node) });
    let words = refused.to_string();
    assert_eq!(words, format!("member {} leads the metadata group", leader + 1));
    // What is known here, as new as the leader has it.
    for number in 0..SOME {
        let made = format!("made {number}");
        finder.mutate(directory(&made)).await.expect("made");
        let found = once(&peer, &stat(&made)).await;
        assert!(matches!(found, Ok(QueryReply::Attributes(_))), "{found:?}");
    }
    let missing = once(&peer, &stat("missing")).await;
    assert_eq!(missing.expect_err("none"), WireError::from(FsError::NotFound));
    let routing = once(&peer, &GetRouting { since: RoutingVersion::NONE }).await;
    assert_eq!(routing.expect("the routing").cluster, trio.cluster);
    let space = Ask { caller: root(), query: Query::Space };
    let refused = once(&peer, &space).await.expect_err("the leader alone knows");
    assert_eq!(refused, WireError::NotLeader { leader: Some(node) });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_members_say_is_taken_from_members_alone() {
    let trio = Trio::new(GroupOptions::default()).await;
    let (leader, _) = trio.leader(&trio.running()).await;
    let peer = trio.peer(leader).await;
    let asked = FetchPiece { snapshot: SnapshotId(1), name: "CURRENT".into(), offset: 0, len: 1 };
    for refused in [
        once(&peer, &Tell { messages: Vec::new() }).await.map(drop),
        once(&peer, &asked).await.map(drop),
    ] {
        let words = refused.expect_err("no member says it").to_string();
        assert!(words.contains("for members of the metadata group alone"), "{words}");
    }
}

/// Creates directories of its own until it is told to end; gives those that were acknowledged: all of them.
pub(crate) async fn write(
    mut finder: Finder,
    writer: usize,
    mut end: watch::Receiver<bool>,
    made: watch::Sender<usize>,
) -> Vec<String> {
    let mut names = Vec::new();
    while !*end.borrow_and_update() {
        let name = format!("{writer} {}", names.len());
        let done = finder.mutate(directory(&name)).await;
        assert!(matches!(done, Ok(MutationReply::Inode { created: true, .. })), "{name}: {done:?}");
        names.push(name);
        made.send_modify(|made| *made += 1);
    }
    names
}

/// What happens to a leader under load.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Killed,
    Stopped,
    CutOff,
}

/// Under writers the leader goes, another leads, the first comes back: all that was acknowledged is there, once.
async fn leader_goes(fate: Fate) {
    let mut trio = Trio::new(GroupOptions::default()).await;
    let (leader, before) = trio.leader(&trio.running()).await;
    let (end, ended) = watch::channel(false);
    let (made, mut count) = watch::channel(0);
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let finder = trio.finder().opened().await;
        writers.push(tokio::spawn(write(finder, writer, ended.clone(), made.clone())));
    }
    let mut more = async || {
        let goal = *count.borrow_and_update() + WRITERS * SOME;
        count.wait_for(|made| *made >= goal).await.expect("writers run");
    };
    more().await;
    match fate {
        Fate::Killed => trio.kill(leader).await,
        Fate::Stopped => trio.stop(leader).await,
        Fate::CutOff => trio.isolate(leader),
    }
    let others: Vec<_> = (0..COUNT).filter(|&at| at != leader).collect();
    if fate == Fate::Stopped {
        // It was alive until another was elected: nobody lost patience.
        let now = trio.standing(others[0]).await;
        assert!(now.term > before.term, "{now:?}");
    }
    let (next, after) = trio.leader(&others).await;
    assert!(next != leader && after.term > before.term);
    more().await;
    match fate {
        Fate::CutOff => trio.join(leader),
        _ => trio.start(leader).await,
    }
    trio.leader(&trio.running()).await;
    more().await;
    end.send_replace(true);
    let mut known = BTreeSet::new();
    for writer in writers {
        known.extend(writer.await.expect("no panic"));
    }
    let mut finder = trio.finder();
    assert_eq!(names(&mut finder).await, known);
    // Also the one that was away has them all.
    let (now, _) = trio.leader(&trio.running()).await;
    trio.caught_up(leader, now).await;
    let peer = trio.peer(leader).await;
    for name in known.iter().step_by(known.len() / SOME) {
        let found = once(&peer, &stat(name)).await;
        assert!(matches!(found, Ok(QueryReply::Attributes(_))), "{name}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_under_load_takes_nothing_along() {
    leader_goes(Fate::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over_first() {
    leader_goes(Fate::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_under_load_gives_way_and_follows() {
    leader_goes(Fate::CutOff).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_never_answers_from_what_is_old() {
    let trio = Trio::new(GroupOptions::default()).await;
    let mut finder = trio.finder().opened().await;
    finder.mutate(directory("before")).await.expect("made");
    let (leader, _) = trio.leader(&trio.running()).await;
    let peer = trio.peer(leader).await;
    let found = once(&peer, &stat("before")).await;
    assert!(matches!(found, Ok(QueryReply::Attributes(_))), "{found:?}");
    trio.isolate(leader);
    let others: Vec<_> = (0..COUNT).filter(|&at| at != leader).collect();
    // Told of those that are left alone: it would wait for the one that is cut off.
    let mut finder = trio.finder_of(others).opened().await;
    // Asked over and over, it says at no time what is no longer so.
    for number in 0..SOME {
        let late = format!("late {number}");
        finder.mutate(directory(&late)).await.expect("the others go on");
        let said = once(&peer, &stat(&late)).await;
        assert!(matches!(said, Err(WireError::NotLeader { .. })), "{said:?}");
    }
    trio.join(leader);
    let last = format!("late {}", SOME - 1);
    let found = until(async || once(&peer, &stat(&last)).await.ok()).await;
    assert!(matches!(found, QueryReply::Attributes(_)), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_may_stop_and_start_again_in_any_order() {
    let mut trio = Trio::new(GroupOptions::default()).await;
    let mut finder = trio.finder().opened().await;
    finder.mutate(directory("kept")).await.expect("made");
    for (stopped, started) in [([0, 1, 2], [2, 0, 1]), ([2, 1, 0], [1, 2, 0])] {
        for at in stopped {
            trio.stop(at).await;
        }
        for at in started {
            trio.start(at).await;
        }
        assert!(finder.has("kept").await);
        let made = format!("made {started:?}");
        finder.mutate(directory(&made)).await.expect("the session lives");
        assert!(finder.has(&made).await);
    }
}
