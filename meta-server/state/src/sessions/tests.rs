//! Rules of sessions one by one, and any sequence of operations against a simple model.

use std::collections::BTreeMap;

use emberfs_layout::{ClientId, InodeId, Sequence};
use emberfs_wire::FsError;
use emberfs_wire::meta::{MutationReply, OpenSession, Slot, Time};
use proptest::prelude::*;

use super::{
    Admission, LastReply, SLOTS, admit, alive, count, end, ended, find, forget_ended, keep_reply,
    last_ended, list, open,
};
use crate::command::PendingTruncation;
use crate::transaction::{MemoryStore, View};

const TIME: Time = Time { seconds: 5, nanos: 6 };

fn asked(start: u64) -> OpenSession {
    OpenSession { start, host: "n1".into(), what: "mount /ember".into() }
}

fn opened(store: &mut MemoryStore, start: u64) -> ClientId {
    open(store, TIME, &asked(start)).expect("memory").client
}

fn slot(client: ClientId, slot: u16, sequence: u64) -> Slot {
    Slot { client, slot, sequence: Sequence(sequence) }
}

fn replied(store: &mut MemoryStore, slot: &Slot, reply: Result<MutationReply, FsError>) {
    let last = LastReply { sequence: slot.sequence, reply, truncation: None };
    keep_reply(store, slot, &last);
}

fn admitted(store: &MemoryStore, slot: &Slot) -> Admission {
    admit(store, slot).expect("memory")
}

#[test]
fn the_same_start_is_the_same_session_and_an_ended_one_is_not_reopened() {
    let mut store = MemoryStore::default();
    let first = opened(&mut store, 70);
    assert_eq!(opened(&mut store, 70), first);
    assert_eq!(opened(&mut store, 71), ClientId(first.get() + 1));
    assert_eq!(count(&store), Ok(2));
    assert_eq!(end(&mut store, first), Ok(true));
    assert_eq!(end(&mut store, first), Ok(false), "ended once");
    assert!(opened(&mut store, 70) > ClientId(2), "no number is used again");
}

#[test]
fn a_retry_gets_the_kept_reply_and_a_late_message_nothing() {
    let mut store = MemoryStore::default();
    let client = opened(&mut store, 1);
    assert_eq!(admitted(&store, &slot(client, 0, 1)), Admission::New);
    replied(&mut store, &slot(client, 0, 1), Ok(MutationReply::Done));
    let Admission::Again(last) = admitted(&store, &slot(client, 0, 1)) else { panic!("a retry") };
    assert_eq!(last.reply, Ok(MutationReply::Done));
    assert_eq!(admitted(&store, &slot(client, 1, 1)), Admission::New, "slots are apart");
    replied(&mut store, &slot(client, 0, 2), Err(FsError::Exists));
    assert_eq!(admitted(&store, &slot(client, 0, 1)), Admission::Refused(FsError::Stale));
    let Admission::Again(last) = admitted(&store, &slot(client, 0, 2)) else { panic!("a retry") };
    assert_eq!(last.reply, Err(FsError::Exists), "a failure is a reply too");
}

#[test]
fn what_is_no_slot_of_a_live_session_is_refused() {
    let mut store = MemoryStore::default();
    let client = opened(&mut store, 1);
    let refused = |slot| admitted(&store, &slot);
    let invalid = Admission::Refused(FsError::InvalidArgument);
    assert_eq!(refused(slot(client, SLOTS, 1)), invalid);
    assert_eq!(refused(slot(client, 0, 0)), invalid);
    assert_eq!(refused(slot(ClientId(9), 0, 1)), Admission::Refused(FsError::Stale));
}

#[test]
fn an_ended_session_leaves_its_name_in_the_list_and_nothing_else() {
    let mut store = MemoryStore::default();
    let (gone, stays) = (opened(&mut store, 1), opened(&mut store, 2));
    for client in [gone, stays] {
        for number in 0..SLOTS {
            replied(&mut store, &slot(client, number, 3), Ok(MutationReply::Done));
        }
    }
    assert_eq!(alive(&store), Ok((vec![gone, stays], ClientId(stays.get() + 1))));
    end(&mut store, gone).expect("memory");
    assert_eq!(alive(&store), Ok((vec![stays], ClientId(stays.get() + 1))));
    assert_eq!(admitted(&store, &slot(gone, 0, 3)), Admission::Refused(FsError::Stale));
    assert!(matches!(admitted(&store, &slot(stays, 0, 3)), Admission::Again(_)));
    assert_eq!(ended(&store, Sequence::NONE), Ok((vec![gone], Sequence(1))));
    assert_eq!(ended(&store, Sequence(1)), Ok((vec![], Sequence(1))));
    end(&mut store, stays).expect("memory");
    assert_eq!(ended(&store, Sequence(1)), Ok((vec![stays], Sequence(2))));
    forget_ended(&mut store, Sequence(1)).expect("memory");
    assert_eq!(ended(&store, Sequence::NONE), Ok((vec![stays], Sequence(2))));
    forget_ended(&mut store, Sequence(u64::MAX)).expect("memory");
    assert_eq!(last_ended(&store), Ok(Sequence(2)), "numbers go on");
    assert_eq!(store.scan(&[0], &[0xff], 9).expect("memory").len(), 1, "the counters");
}

#[test]
fn texts_for_people_are_cut() {
    let mut store = MemoryStore::default();
    let host = "é".repeat(200);
    let long = OpenSession { start: 1, host, what: String::new() };
    let client = open(&mut store, TIME, &long).expect("memory").client;
    let session = find(&store, client).expect("memory").expect("lives");
    assert_eq!(session.host, "é".repeat(127));
}

#[test]
fn records_are_pinned() {
    let mut store = MemoryStore::default();
    let client = opened(&mut store, 0x0102);
    let truncation = PendingTruncation { inode: InodeId(7), len: emberfs_layout::ByteLen(8) };
    let reply = Err(FsError::NoSpace);
    let last = LastReply { sequence: Sequence(9), reply, truncation: Some(truncation) };
    keep_reply(&mut store, &slot(client, 3, 9), &last);
    opened(&mut store, 0x0103);
    end(&mut store, ClientId(2)).expect("memory");
    crate::golden::check("sessions", &store);
}

/// What a client or the leader does: small numbers, so that they meet.
#[derive(Clone, Debug)]
enum Deed {
    Open(u64),
    End(u64),
    Ask { client: u64, slot: u16, sequence: u64 },
    Forget(u64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        2 => (1_u64..4).prop_map(Deed::Open),
        1 => (1_u64..6).prop_map(Deed::End),
        6 => (1_u64..6, 0_u16..2, 1_u64..5)
            .prop_map(|(client, slot, sequence)| Deed::Ask { client, slot, sequence }),
        1 => (0_u64..4).prop_map(Deed::Forget),
    ];
    prop::collection::vec(deed, 0..60)
}

/// The same rules over plain maps.
#[derive(Default)]
struct Model {
    live: BTreeMap<u64, u64>,
    last: BTreeMap<(u64, u16), (u64, u64)>,
    ended: Vec<(u64, u64)>,
    clients: u64,
    ends: u64,
    applied: u64,
}

impl Model {
    fn open(&mut self, start: u64) -> u64 {
        if let Some((client, _)) = self.live.iter().find(|(_, known)| **known == start) {
            return *client;
        }
        self.clients += 1;
        self.live.insert(self.clients, start);
        self.clients
    }

    fn end(&mut self, client: u64) {
        if self.live.remove(&client).is_some() {
            self.ends += 1;
            self.ended.push((self.ends, client));
        }
    }

    /// The number under which the request was carried out, if the asker is told.
    fn ask(&mut self, client: u64, slot: u16, sequence: u64) -> Option<u64> {
        self.live.get(&client)?;
        let (last, applied) = self.last.get(&(client, slot)).copied().unwrap_or_default();
        if sequence > last {
            self.applied += 1;
            self.last.insert((client, slot), (sequence, self.applied));
            return Some(self.applied);
        }
        (sequence == last).then_some(applied)
    }
}

/// Asks the real one; what is carried out counts `applied` up and answers it, as a place in a file.
fn ask(store: &mut MemoryStore, slot: &Slot, applied: &mut u64) -> Option<u64> {
    match admitted(store, slot) {
        Admission::New => {
            *applied += 1;
            let len = emberfs_layout::ByteLen(*applied);
            let truncation = Some(PendingTruncation { inode: InodeId(1), len });
            let reply = Ok(MutationReply::Done);
            keep_reply(store, slot, &LastReply { sequence: slot.sequence, reply, truncation });
            Some(*applied)
        }
        Admission::Again(last) => Some(last.truncation.expect("kept with it").len.get()),
        Admission::Refused(_) => None,
    }
}

proptest! {
    #[test]
    fn any_sequence_is_as_the_model_says(deeds in deeds()) {
        let (mut store, mut model, mut applied) = (MemoryStore::default(), Model::default(), 0);
        for deed in deeds {
            match deed {
                Deed::Open(start) => {
                    prop_assert_eq!(opened(&mut store, start).get(), model.open(start));
                }
                Deed::End(client) => {
                    end(&mut store, ClientId(client)).expect("memory");
                    model.end(client);
                }
                Deed::Ask { client, slot: place, sequence } => {
                    let name = slot(ClientId(client), place, sequence);
                    let told = ask(&mut store, &name, &mut applied);
                    prop_assert_eq!(told, model.ask(client, place, sequence));
                }
                Deed::Forget(to) => {
                    forget_ended(&mut store, Sequence(to)).expect("memory");
                    model.ended.retain(|(number, _)| *number > to);
                }
            }
            prop_assert_eq!(applied, model.applied, "carried out once each");
        }
        let live: Vec<_> = list(&store, ClientId(0), 99).expect("memory");
        let live: BTreeMap<u64, u64> = live.iter().map(|s| (s.client.get(), s.start)).collect();
        prop_assert_eq!(count(&store).expect("memory") as usize, live.len());
        prop_assert_eq!(live, model.live);
        let (clients, _) = ended(&store, Sequence::NONE).expect("memory");
        let clients: Vec<u64> = clients.iter().map(|client| client.get()).collect();
        prop_assert_eq!(clients, model.ended.iter().map(|(_, client)| *client).collect::<Vec<_>>());
    }
}
