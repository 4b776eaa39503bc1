//! What a member keeps in its two stores, pinned by `golden/member_1.txt`: all of a small member's records.

use std::path::Path;

use emberfs_layout::ClusterId;
use emberfs_meta_server_consensus::{Index, MemberId, Position, Term};
use emberfs_meta_server_state::{Body, Outcome, StoreError, Transaction};
use emberfs_wire::meta::{OpenSession, Time};
use rocksdb::{DB, IteratorMode, Options};
use tempfile::TempDir;

use crate::group::{Group, GroupOptions, Machine, Metadata, Post, Stamp};
use crate::store::{StoreOptions, Stores, Syncs, open};

/// The machine that ships, with the same randomness each time.
struct Certain;

impl Machine for Certain {
    type Request = Body;
    type Outcome = Outcome;

    fn encode(&self, body: Body, stamp: Stamp) -> Vec<u8> {
        Metadata.encode(body, Stamp { seed: 7, ..stamp })
    }

    fn apply(
        &self,
        transaction: &mut dyn Transaction,
        command: &[u8],
    ) -> Result<Outcome, StoreError> {
        Metadata.apply(transaction, command)
    }
}

fn clock() -> Time {
    Time { seconds: 1_000, nanos: 5 }
}

/// A member that founded a cluster, took a client in, stopped, and had its log cut below that.
async fn write(dir: &Path) {
    let (dir, member) = (dir.to_owned(), MemberId(1));
    let store = StoreOptions { dir, member, members: 1, syncs: Syncs::all() };
    let options = GroupOptions { clock, ..GroupOptions::default() };
    let group = Group::start(open(&store).unwrap(), Certain, options, Post::default()).unwrap();
    group.leading().await.unwrap();
    let found = Body::Found { cluster: ClusterId(7), uid: 0, gid: 0 };
    let come = OpenSession { start: 258, host: "n1".to_owned(), what: "mount".to_owned() };
    for body in [found, Body::OpenSession(come)] {
        group.propose(body).await.unwrap();
    }
    group.stop().await.unwrap();
    drop(group);
    let Stores { mut log, .. } = open(&store).unwrap();
    let cut = Position { index: Index(1), term: Term(1) };
    log.append(Vec::new(), Some(cut)).unwrap();
    // An install that was begun, as no member that is alone does.
    log.begin_install(Position { index: Index(9), term: Term(1) }, None).unwrap();
}

/// All records of a store: keys as escaped characters, values in hexadecimal.
fn dump(dir: &Path, store: &str) -> String {
    let db = DB::open_for_read_only(&Options::default(), dir.join(store), false).unwrap();
    let line = |(key, value): (Box<[u8]>, Box<[u8]>)| {
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{store} {} = {hex}\n", key.escape_ascii())
    };
    db.iterator(IteratorMode::Start).map(|pair| line(pair.unwrap())).collect()
}

/// A record of a kind that is new stands in the dump and nowhere in the file.
#[tokio::test]
async fn all_records_of_a_member_are_pinned() {
    let dir = TempDir::new().unwrap();
    write(dir.path()).await;
    let text = dump(dir.path(), "log") + &dump(dir.path(), "state");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/member_1.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    let golden = std::fs::read_to_string(file).unwrap();
    assert_eq!(text, golden, "the records changed: that is a new version of the format");
}
