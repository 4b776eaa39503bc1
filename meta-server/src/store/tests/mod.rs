//! The stores over crashes and damage. A crash is a copy of the directory while it is open: what the
//! process holds in its own memory is gone in it.

mod crash;
mod damage;
mod install;
mod overlay;
mod overwrite;

use std::path::Path;

use bytes::Bytes;
use emberfs_meta_server_consensus::{
    Config, Effect, Index, Input, Limits, Member, MemberId, Millis, ProposalId,
};
use tempfile::TempDir;

use crate::crash_image;

use super::{LogStore, OpenError, StateStore, StoreOptions, Stores, SyncPoint, Syncs, open};

const US: MemberId = MemberId(1);

fn options(dir: &Path) -> StoreOptions {
    StoreOptions { dir: dir.to_owned(), member: US, members: 1, syncs: Syncs::all() }
}

/// What a crash now would leave.
fn crashed(dir: &Path) -> TempDir {
    let left = TempDir::new().unwrap();
    crash_image::take(dir, left.path());
    left
}

fn refused(dir: &Path) -> OpenError {
    open(&options(dir)).expect_err("it must be refused")
}

/// A member that is alone, on its real log.
struct Alone {
    member: Member,
    log: LogStore,
    state: StateStore,
    proposed: u64,
}

impl Alone {
    fn start(dir: &Path) -> Self {
        Self::open(&options(dir))
    }

    fn open(options: &StoreOptions) -> Self {
        let Stores { log, state, restored, .. } = open(options).unwrap();
        let (must_reach, limits) = (Index::NONE, Limits::default());
        let voters = vec![US];
        let config = Config { member: US, voters, seed: 0, is_new: true, must_reach, limits };
        let member = Member::new(&config, restored, Millis(0)).unwrap();
        let mut alone = Self { member, log, state, proposed: 0 };
        alone.step(Input::Tick);
        alone
    }

    /// Steps until nothing is left to do; the state counts as applied at once.
    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut effects = Vec::new();
            self.member.step(Millis(0), input, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Append(append) => {
                        let durable = self.log.append(vec![append], None).unwrap();
                        inputs.push(Input::Durable(durable.unwrap()));
                    }
                    Effect::Cut(cut) => {
                        assert!(self.log.append(Vec::new(), Some(cut)).unwrap().is_none());
                    }
                    Effect::Apply(batch) => {
                        inputs.push(Input::Applied(batch.last().unwrap().entry.position.index));
                    }
                    Effect::Refused { why, .. } => panic!("refused: {why:?}"),
                    _ => {}
                }
            }
        }
    }

    fn propose(&mut self, text: &str) {
        self.proposed += 1;
        let data = Bytes::from(text.to_owned());
        self.step(Input::Propose { id: ProposalId(self.proposed), data });
    }
}

/// The entries that a directory holds: place and text.
fn entries(dir: &Path) -> Vec<(u64, String)> {
    let stores = open(&options(dir)).unwrap();
    let text = |data: &Bytes| String::from_utf8(data.to_vec()).unwrap();
    let restored = stores.restored.entries;
    restored.iter().map(|entry| (entry.position.index.get(), text(&entry.data))).collect()
}

fn numbered(range: std::ops::RangeInclusive<u64>) -> Vec<(u64, String)> {
    range.map(|place| (place, if place == 1 { String::new() } else { text(place) })).collect()
}

/// What the tests put at a place.
fn text(place: u64) -> String {
    format!("what was proposed at place {place}")
}

/// A member whose log ends at `last`.
fn written(dir: &Path, last: u64) -> Alone {
    let mut alone = Alone::start(dir);
    (2..=last).for_each(|place| alone.propose(&text(place)));
    alone
}

fn applied_at(index: u64) -> super::Applied {
    let position =
        emberfs_meta_server_consensus::Position { index: Index(index), ..Default::default() };
    super::Applied { position, ..Default::default() }
}
