//! A state machine for tests: a ledger that numbers its lines.

use std::path::Path;

use emberfs_meta_server_consensus::MemberId;
use emberfs_meta_server_state::{StoreError, Transaction, View};
use emberfs_wire::meta::Time;
use minicbor::{Decode, Encode};

use crate::group::machine::decode;
use crate::group::{Group, GroupOptions, Machine, Post, Stamp};
use crate::store::{StateView, StoreOptions, Syncs, open};

/// Numbers the lines that it is given.
pub(super) struct Ledger;

/// One line as it was ordered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Line {
    #[n(0)]
    pub(super) time: Time,
    #[n(1)]
    pub(super) seed: u64,
    #[n(2)]
    pub(super) text: String,
}

/// This line cannot be applied.
pub(super) const POISON: &str = "poison";
/// This one panics.
pub(super) const BOMB: &str = "bomb";

impl Machine for Ledger {
    type Request = String;
    type Outcome = (u64, Line);

    fn encode(&self, text: String, Stamp { time, seed }: Stamp) -> Vec<u8> {
        minicbor::to_vec(Line { time, seed, text }).unwrap()
    }

    fn apply(
        &self,
        transaction: &mut dyn Transaction,
        command: &[u8],
    ) -> Result<(u64, Line), StoreError> {
        let line: Line = decode(command, "line")?;
        if line.text == POISON {
            return Err(StoreError::Failed { text: "a poisoned line".to_owned() });
        }
        assert_ne!(line.text, BOMB, "the line explodes");
        let count = transaction.get(b"count")?;
        let number = 1 + count.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
        transaction.put(b"count", &number.to_be_bytes());
        transaction.put(&[b"line ", &number.to_be_bytes()[..]].concat(), command);
        Ok((number, line))
    }
}

/// All lines, in order.
pub(super) fn lines(view: &StateView<'_>) -> Result<Vec<Line>, StoreError> {
    let pairs = view.scan(b"line", b"linf", usize::MAX)?;
    pairs.iter().map(|(_, value)| decode(value, "line")).collect()
}

pub(super) async fn start(dir: &Path, syncs: &Syncs, options: GroupOptions) -> Group<Ledger> {
    let (dir, member) = (dir.to_owned(), MemberId(1));
    let store = StoreOptions { dir, member, members: 1, syncs: syncs.clone() };
    let group = Group::start(open(&store).unwrap(), Ledger, options, Post::default()).unwrap();
    group.leading().await.unwrap();
    group
}

pub(super) async fn start_plain(dir: &Path) -> Group<Ledger> {
    start(dir, &Syncs::all(), GroupOptions::default()).await
}
