//! Who votes, and who is silent for a while.

use bytes::Bytes;
use emberfs_wire::group::{Index, MemberId, Position, Term};

use super::one::speak;
use crate::{
    Abstention, Config, Entry, Input, Limits, Member, Millis, PeerMessage, Restored, SILENCE, TICK,
    Vote,
};

fn member(id: u64, is_new: bool) -> Member {
    member_with(id, is_new, Restored::default())
}

fn member_with(id: u64, is_new: bool, restored: Restored) -> Member {
    let voters = (1..=3).map(MemberId).collect();
    let (must_reach, limits) = (Index::NONE, Limits::default());
    let config = Config { member: MemberId(id), voters, seed: 0, is_new, must_reach, limits };
    Member::new(&config, restored, Millis(0)).unwrap()
}

/// The first words of a member that asks for votes, and when.
fn candidacy(member: &mut Member) -> (Millis, PeerMessage) {
    let mut now = Millis(0);
    loop {
        now = now.after(TICK);
        assert!(now < Millis(100_000), "it never asks");
        let said = speak(member, now, Input::Tick);
        if let Some(message) = said.into_iter().find(|message| message.to() == MemberId(2)) {
            return (now, message);
        }
    }
}

#[test]
fn a_member_that_ran_before_is_silent_for_a_while() {
    let (asks, asked) = candidacy(&mut member(1, false));
    assert!(asks >= SILENCE, "it asked for votes at {asks:?}");
    let answers = |is_new, now| {
        let asked = Input::Message(asked.clone());
        speak(&mut member(2, is_new), now, asked).len()
    };
    let late = Millis(SILENCE.0 - 1);
    assert_eq!((answers(true, Millis(1)), answers(false, late)), (1, 0));
    assert_eq!(answers(false, SILENCE), 1);
}

/// Of three the one whose directory was made anew must not make a leader of the one that lags, whether it holds nothing
/// yet or a part, and however often it was started.
#[test]
fn who_is_new_elects_nobody_who_holds_anything() {
    let position = Position { index: Index(1), term: Term(1) };
    let entries = vec![Entry { position, data: Bytes::from_static(b"order") }];
    let vote = Vote { term: Term(1), member: MemberId(1) };
    let restored = Restored { vote, entries, ..Restored::default() };
    let (_, asked) = candidacy(&mut member_with(1, false, restored.clone()));
    // An earlier version does not say whether it holds anything.
    let mut unsaid = asked.clone();
    unsaid.0.reject_hint = 0;
    for asked in [asked, unsaid] {
        let answers = |mut of: Member| speak(&mut of, SILENCE, Input::Message(asked.clone())).len();
        let part = member_with(2, true, restored.clone());
        for new in [member(2, true), member(2, false), part] {
            assert_eq!((new.abstains(), answers(new)), (Some(Abstention::New), 0));
        }
        let holds = member_with(2, false, restored.clone());
        assert_eq!((holds.abstains(), answers(holds)), (None, 1));
    }
}
