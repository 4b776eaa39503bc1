//! Lengths: writers, reports, reservations, truncations, dead sessions.

use emberfs_layout::{ByteLen, FileOffset, InodeId, Sequence};
use emberfs_wire::FsError::{FileTooLarge, InvalidArgument, NotSupported, Stale};
use emberfs_wire::meta::{
    AttributeChange, HandleId, Mutation, MutationReply, NewNode, Place, Query, QueryReply,
};

use super::invariants;
use super::world::{World, at, create, make, open, report, report_since, resize, root, user};
use crate::command::{PendingTruncation, Unfinished};
use crate::namespace::{
    Answer, LengthWork, length_recoveries, length_recovery, pending_truncation, pending_truncations,
};
use crate::{Body, Outcome};

/// A file open for writing under handle 1, with 100 bytes reported.
fn written() -> (World, InodeId) {
    let mut world = World::new();
    let file = world.done(&root(), create("f", 0o644, Some(1))).expect("an inode").inode;
    world.done(&root(), report(file, 1, Some((0, 100)), false));
    (world, file)
}

fn reserve(inode: InodeId, handle: u64, len: u64) -> Mutation {
    Mutation::Reserve { inode, handle: HandleId(handle), len: ByteLen(len) }
}

fn blocked_at(inode: InodeId, len: u64) -> Outcome {
    Outcome::Blocked(Unfinished::Truncation(PendingTruncation { inode, len: ByteLen(len) }))
}

/// Length, dense part, exact.
fn lengths(world: &World, path: &str) -> (u64, u64, bool) {
    let found = world.stat(&root(), path).expect("is there");
    let data = found.data.expect("a file");
    (found.size.0, data.dense_to.0, data.exact)
}

fn recovery(world: &World, inode: InodeId) -> Option<LengthWork> {
    length_recovery(&world.store, inode).expect("memory")
}

fn recover(world: &mut World, work: LengthWork, end: u64) {
    let LengthWork { inode, round, .. } = work;
    world.run(Body::RecoverLength { inode, end: ByteLen(end), round });
}

#[test]
fn reports_move_the_length_and_the_dense_part() {
    let (mut world, file) = written();
    assert_eq!(lengths(&world, "f"), (100, 100, false));
    world.done(&root(), report(file, 1, Some((200, 300)), false));
    assert_eq!(lengths(&world, "f"), (300, 100, false), "a hole between");
    world.done(&root(), report(file, 1, Some((50, 250)), false));
    assert_eq!(lengths(&world, "f"), (300, 250, false));
    let before = world.stat(&root(), "f").expect("is there");
    world.done(&root(), report(file, 1, None, true));
    let after = world.stat(&root(), "f").expect("is there");
    assert_eq!(lengths(&world, "f"), (300, 250, true), "no writer: exact");
    assert_eq!(after.mtime, before.mtime, "nothing was written");
    assert_eq!(world.refused(&root(), report(file, 1, None, false)), Stale, "closed");
    invariants::check(&world);
}

#[test]
fn reports_that_make_no_sense_are_refused() {
    let (mut world, file) = written();
    assert_eq!(world.refused(&root(), report(file, 1, Some((5, 4)), false)), InvalidArgument);
    assert_eq!(world.refused(&root(), report(file, 1, Some((5, u64::MAX)), false)), FileTooLarge);
    assert_eq!(world.refused(&root(), report(file, 2, None, false)), Stale, "another handle");
    assert_eq!(world.refused(&root(), report(InodeId(77), 1, None, false)), Stale);
    assert_eq!(world.refused(&root(), open("f", true, Some(1), false)), InvalidArgument);
    world.done(
        &root(),
        make("p", 0o600, NewNode::Special(emberfs_wire::meta::InodeKind::Fifo, Default::default())),
    );
    assert_eq!(world.refused(&root(), open("p", false, Some(2), false)), NotSupported);
}

#[test]
fn reservations_never_overlap() {
    let (mut world, file) = written();
    world.done(&root(), open("f", false, Some(2), false));
    let at = |reply| match reply {
        Ok(MutationReply::Reserved { at: FileOffset(at), .. }) => at,
        other => panic!("{other:?}"),
    };
    assert_eq!(at(world.mutate(&root(), reserve(file, 1, 10))), 100);
    assert_eq!(at(world.mutate(&root(), reserve(file, 2, 5))), 110);
    assert_eq!(lengths(&world, "f"), (115, 100, false), "reserved is not written");
    assert_eq!(world.refused(&root(), reserve(file, 1, 0)), InvalidArgument);
    assert_eq!(world.refused(&root(), reserve(file, 1, u64::MAX)), FileTooLarge);
    // A retry is given the same range.
    let asked = world.request(&root(), reserve(file, 2, 5));
    let first = world.run(Body::Mutate(asked.clone()));
    assert_eq!(world.run(Body::Mutate(asked)), first);
    assert_eq!(lengths(&world, "f").0, 120);
}

#[test]
fn nothing_grows_while_a_cut_is_under_way() {
    let (mut world, file) = written();
    let cut = PendingTruncation { inode: file, len: ByteLen(50) };
    let Outcome::Mutation { truncation, .. } = world.begin(&root(), resize("f", 50)) else {
        panic!("a mutation")
    };
    assert_eq!(truncation, Some(cut));
    assert_eq!(lengths(&world, "f"), (50, 50, false));
    let blocked = blocked_at(file, 50);
    for growing in [resize("f", 60), reserve(file, 1, 1)] {
        assert_eq!(world.begin(&root(), growing), blocked);
    }
    world.done(&root(), report(file, 1, Some((0, 40)), false));
    // Shorter still: the first cut no longer ends it.
    let first = pending_truncation(&world.store, file).expect("memory").expect("stands").round;
    world.begin(&root(), resize("f", 20));
    world.run(Body::FinishTruncation { inode: file, round: first });
    let work = pending_truncation(&world.store, file).expect("memory").expect("stands");
    assert_eq!(work.len, ByteLen(20));
    assert_eq!(pending_truncations(&world.store, None, 9).expect("memory"), [work]);
    assert!(pending_truncations(&world.store, Some(file), 9).expect("memory").is_empty());
    // Once more to the same length: what was written since the chains began must go, too.
    world.begin(&root(), resize("f", 20));
    world.run(Body::FinishTruncation { inode: file, round: work.round });
    assert_eq!(world.begin(&root(), reserve(file, 1, 1)), blocked_at(file, 20));
    world.done(&root(), resize("f", 60));
    assert_eq!(lengths(&world, "f"), (60, 20, false), "new bytes are a hole");
}

#[test]
fn a_retry_waits_for_the_same_cut() {
    let (mut world, file) = written();
    let asked = world.request(&root(), resize("f", 50));
    let first = world.run(Body::Mutate(asked.clone()));
    assert_eq!(world.run(Body::Mutate(asked.clone())), first);
    world.finish_truncation(file);
    let Outcome::Mutation { reply, truncation } = world.run(Body::Mutate(asked)) else {
        panic!("a mutation")
    };
    assert!(reply.is_ok() && truncation.is_none());
}

#[test]
fn a_length_that_is_exact_and_grows_cuts_nothing() {
    let (mut world, file) = written();
    world.done(&root(), report(file, 1, None, true));
    let truncation = |outcome| match outcome {
        Outcome::Mutation { truncation, .. } => truncation,
        other => panic!("{other:?}"),
    };
    assert_eq!(truncation(world.begin(&root(), resize("f", 400))), None);
    world.done(&root(), open("f", false, Some(2), false));
    let cut = PendingTruncation { inode: file, len: ByteLen(500) };
    assert_eq!(
        truncation(world.begin(&root(), resize("f", 500))),
        Some(cut),
        "a writer may be further"
    );
}

/// What a report of handle 1 brings about: length, dense part, whether the chains must be asked.
fn reported(
    world: &mut World,
    file: InodeId,
    written: (u64, u64),
    since: Option<Sequence>,
) -> (u64, u64, bool) {
    let found = world.done(&root(), report_since(file, 1, written, since)).expect("an inode");
    let data = found.data.expect("a file");
    (found.size.0, data.dense_to.0, recovery(world, file).is_some())
}

/// The last cut that a writer can have heard of.
fn heard_of(world: &World, path: &str) -> Option<Sequence> {
    world.stat(&root(), path).expect("is there").data.expect("a file").cut
}

#[test]
fn a_report_from_before_a_cut_asks_the_chains() {
    let (mut world, file) = written();
    assert_eq!(heard_of(&world, "f"), None);
    world.done(&root(), resize("f", 10));
    let cut = heard_of(&world, "f");
    assert!(cut.is_some(), "it is carried out");
    assert_eq!(reported(&mut world, file, (50, 60), None), (10, 10, true), "cut away, or not");
    let stat = Query::Attributes { of: at("f"), follow: true };
    assert_eq!(world.ask(&root(), stat), Answer::After(Unfinished::Length(file)));
    assert_eq!(
        world.begin(&root(), reserve(file, 1, 5)),
        Outcome::Blocked(Unfinished::Length(file)),
        "an append would lie over it"
    );
    let early = recovery(&world, file).expect("to be asked");
    assert_eq!(reported(&mut world, file, (70, 80), None), (10, 10, true));
    recover(&mut world, early, 60);
    let late = recovery(&world, file).expect("the answer may be from before the second");
    recover(&mut world, late, 80);
    assert_eq!(lengths(&world, "f"), (80, 10, false));
    assert_eq!(reported(&mut world, file, (60, 75), None), (80, 10, false), "it is as long");
    // Who has heard of the cut is believed, whatever the handle saw before.
    assert_eq!(reported(&mut world, file, (0, 90), cut), (90, 90, false));
    world.done(&root(), report(file, 1, None, true));
    assert_eq!(lengths(&world, "f"), (90, 90, true));
    invariants::check(&world);
}

#[test]
fn a_report_under_a_cut_waits_for_nothing_and_is_asked_for_after_it() {
    let (mut world, file) = written();
    world.done(&root(), resize("f", 90));
    let before = heard_of(&world, "f");
    world.begin(&root(), resize("f", 50));
    assert_eq!(heard_of(&world, "f"), before, "not carried out yet");
    world.done(&root(), report_since(file, 1, (0, 51), before));
    world.done(&root(), report(file, 1, None, true));
    assert_eq!(recovery(&world, file), None, "the cut comes first");
    let stat = Query::Attributes { of: at("f"), follow: true };
    let cut = PendingTruncation { inode: file, len: ByteLen(50) };
    assert_eq!(world.ask(&root(), stat), Answer::After(Unfinished::Truncation(cut)));
    world.finish_truncation(file);
    let work = recovery(&world, file).expect("now they can be asked");
    recover(&mut world, work, 51);
    assert_eq!(lengths(&world, "f"), (51, 50, true));
    assert!(heard_of(&world, "f") > before);
}

#[test]
fn whoever_cuts_hears_of_it_by_the_answer() {
    let (mut world, file) = written();
    let cut = world.done(&root(), resize("f", 10)).expect("an inode").data.expect("a file").cut;
    assert_eq!((cut, cut.is_some()), (heard_of(&world, "f"), true));
    assert_eq!(reported(&mut world, file, (10, 20), cut), (20, 20, false));
    world.done(&root(), open("f", false, Some(2), true));
    world.done(&root(), report(file, 2, Some((0, 70)), false));
    assert_eq!(lengths(&world, "f"), (70, 70, false), "opened by the cut: surely since");
    assert_eq!(reported(&mut world, file, (0, 90), cut), (70, 70, true), "that cut was another");
}

#[test]
fn a_handle_opened_under_a_cut_is_asked_for_and_makes_nothing_dense_behind_it() {
    let (mut world, file) = written();
    world.begin(&root(), resize("f", 10));
    world.begin(&root(), open("f", false, Some(2), false));
    world.finish_truncation(file);
    world.done(&root(), report(file, 2, Some((0, 30)), false));
    let work = recovery(&world, file).expect("perhaps written before the chains cut");
    recover(&mut world, work, 30);
    assert_eq!(lengths(&world, "f"), (30, 10, false));
}

#[test]
fn opening_with_truncation_cuts_once() {
    let (mut world, file) = written();
    world.done(&root(), report(file, 1, None, true));
    let opened = world.begin(&root(), open("f", false, Some(2), true));
    let cut = Some(PendingTruncation { inode: file, len: ByteLen::ZERO });
    assert!(matches!(opened, Outcome::Mutation { truncation, .. } if truncation == cut));
    world.finish_truncation(file);
    world.done(&root(), report(file, 2, None, true));
    let again = world.begin(&root(), open("f", false, Some(3), true));
    assert!(matches!(again, Outcome::Mutation { truncation: None, .. }), "it is empty");
}

#[test]
fn a_dead_session_leaves_a_length_to_be_asked() {
    let (mut world, file) = written();
    let dead = world.client;
    world.client = world.open_session(2);
    world.run(Body::EndSession(dead));
    invariants::check(&world);
    let unfinished = Unfinished::Length(file);
    let stat = Query::Attributes { of: at("f"), follow: true };
    assert_eq!(world.ask(&root(), stat), Answer::After(unfinished));
    let mode = AttributeChange { mode: Some(emberfs_wire::meta::Mode(0)), ..Default::default() };
    for asks in [open("f", true, None, false), super::world::set("f", mode)] {
        assert_eq!(world.begin(&root(), asks), Outcome::Blocked(unfinished));
    }
    let (entries, _) = world.page("", Default::default(), 9);
    assert_eq!(entries[0].attributes, None, "a listing leaves it out");
    let work = recovery(&world, file).expect("to be asked");
    assert_eq!(length_recoveries(&world.store, None, 9).expect("memory"), (vec![work], None));
    recover(&mut world, work, 180);
    assert_eq!(lengths(&world, "f"), (180, 100, true));
    recover(&mut world, work, 999);
    assert_eq!(lengths(&world, "f").0, 180, "an answer counts once");
}

#[test]
fn a_session_that_closed_its_files_leaves_nothing() {
    let (mut world, file) = written();
    world.done(&root(), report(file, 1, None, true));
    world.run(Body::EndSession(world.client));
    assert_eq!(recovery(&world, file), None);
    assert_eq!(world.refused(&root(), resize("f", 1)), Stale, "the session has ended");
}

#[test]
fn an_answer_from_before_a_cut_does_not_bring_bytes_back() {
    let (mut world, file) = written();
    let dead = world.client;
    world.client = world.open_session(2);
    world.run(Body::EndSession(dead));
    let before = recovery(&world, file).expect("to be asked");
    let cut = PendingTruncation { inode: file, len: ByteLen(10) };
    assert!(matches!(
        world.begin(&root(), resize("f", 10)),
        Outcome::Mutation { truncation: Some(found), .. } if found == cut
    ));
    assert_eq!(recovery(&world, file), None, "not while it is cut");
    recover(&mut world, before, 180);
    world.finish_truncation(file);
    recover(&mut world, before, 180);
    let after = recovery(&world, file).expect("asked anew");
    assert_ne!(after.round, before.round);
    recover(&mut world, after, 10);
    assert_eq!(lengths(&world, "f"), (10, 10, true));
}

#[test]
fn a_second_death_asks_anew() {
    let (mut world, file) = written();
    let first = world.client;
    let second = world.open_session(2);
    let third = world.open_session(3);
    world.client = second;
    world.done(&root(), open("f", false, Some(1), false));
    world.client = third;
    world.run(Body::EndSession(first));
    let early = recovery(&world, file).expect("to be asked");
    world.run(Body::EndSession(second));
    recover(&mut world, early, 500);
    let late = recovery(&world, file).expect("asked anew");
    assert!(late.round > early.round && late.round > Sequence::NONE);
    recover(&mut world, late, 700);
    assert_eq!(lengths(&world, "f"), (700, 100, true));
}

#[test]
fn writers_are_checked_when_they_open_not_when_they_report() {
    let mut world = World::new();
    let owner = user(1, &[]);
    let file = world.done(&owner, create("f", 0o400, Some(1))).expect("an inode").inode;
    world.done(&owner, report(file, 1, Some((0, 5)), false));
    let query = Query::Attributes { of: Place::inode(file), follow: true };
    let Answer::Reply(QueryReply::Attributes(found)) = world.ask(&owner, query) else {
        panic!("attributes")
    };
    assert_eq!(found.size, ByteLen(5));
}
