//! What was synced is there after a crash, and the state agrees with the position it claims.

use bytes::Bytes;
use emberfs_meta_server_consensus::{Entry, Index, Input, Position, Term};
use emberfs_meta_server_state::{Changes, Overlay, Transaction, View};
use tempfile::TempDir;

use crate::crash_image;
use crate::store::{Loss, StateView, StoreOptions, accept_loss};

use super::{applied_at, crashed, entries, numbered, open, options, written};

#[test]
fn each_synced_entry_survives_a_crash() {
    let dir = TempDir::new().unwrap();
    let mut alone = written(dir.path(), 1);
    for place in 2..12 {
        alone.propose(&super::text(place));
        let left = crashed(dir.path());
        assert_eq!(entries(left.path()), numbered(1..=place));
    }
}

#[test]
fn a_log_begins_behind_its_cut() {
    let dir = TempDir::new().unwrap();
    let mut alone = written(dir.path(), 9);
    alone.state.commit(Changes::default(), applied_at(6)).unwrap();
    assert_eq!(alone.state.flush().unwrap(), Index(6));
    alone.step(Input::StateDurable(Index(6)));
    alone.propose(&super::text(10));
    let left = crashed(dir.path());
    assert_eq!(open(&options(left.path())).unwrap().restored.cut.index, Index(6));
    assert_eq!(entries(left.path()), numbered(7..=10));
}

#[test]
fn restarts_and_crashes_add_up() {
    let mut dir = TempDir::new().unwrap();
    let mut last = 0;
    for _ in 0..6 {
        // Each start puts an entry of its own.
        let mut alone = written(dir.path(), 1);
        alone.propose("one");
        alone.propose("two");
        last += 3;
        let left = crashed(dir.path());
        drop(alone);
        dir = left;
        assert_eq!(entries(dir.path()).len(), last);
    }
}

/// An entry of the first term.
fn entry(index: u64) -> Entry {
    let position = Position { index: Index(index), term: Term(1) };
    Entry { position, data: Bytes::from_static(b"sent by a leader") }
}

/// Puts these into the log of a member of three.
fn take(options: &StoreOptions, last: u64) {
    let entries: Vec<_> = (1..=last).map(entry).collect();
    open(options).unwrap().log.finish_install(Position::default(), &entries).unwrap();
}

/// It is of no use to know that a member began with nothing, if the next start does not know it.
#[test]
fn a_member_of_several_is_new_until_it_was_brought_up_to_date() {
    let dir = TempDir::new().unwrap();
    let options = StoreOptions { members: 3, ..options(dir.path()) };
    for _ in 0..2 {
        assert!(open(&options).unwrap().is_new, "it holds nothing");
    }
    take(&options, 1);
    for _ in 0..2 {
        let mut stores = open(&options).unwrap();
        assert!(stores.is_new, "it holds a part");
        stores.log.refresh_guard().unwrap();
    }
    open(&options).unwrap().log.brought_up().unwrap();
    let stores = open(&options).unwrap();
    assert!(!stores.is_new && stores.restored.entries.len() == 1);
}

/// What a leader tells of, before anything that it sends.
#[test]
fn a_debt_stays_over_a_start_until_the_log_ends_there() {
    let dir = TempDir::new().unwrap();
    let options = StoreOptions { members: 3, ..options(dir.path()) };
    open(&options).unwrap().log.owe(Index(3)).unwrap();
    take(&options, 2);
    assert_eq!(open(&options).unwrap().must_reach, Index(3));
    // How much it had before its directory was made nobody knows, whatever a leader knew of.
    assert_eq!(accept_loss(&options, Some(Index(3))).unwrap(), Loss::New);
    take(&options, 3);
    assert_eq!(open(&options).unwrap().must_reach, Index::NONE);
}

/// At each position the state holds the key of that number, and one that is rewritten each time.
#[test]
fn the_state_is_exactly_what_its_position_says() {
    let dir = TempDir::new().unwrap();
    let alone = written(dir.path(), 40);
    for index in 1..=40 {
        let mut transaction = Overlay::new(&alone.state);
        transaction.put(format!("key {index:02}").as_bytes(), b"there");
        transaction.put(b"last", index.to_string().as_bytes());
        alone.state.commit(transaction.into_changes(), applied_at(index)).unwrap();
        if index % 10 == 7 {
            assert_eq!(alone.state.flush().unwrap(), Index(index));
        }
        if index % 5 == 0 {
            let left = crashed(dir.path());
            let stores = open(&options(left.path())).unwrap();
            let kept = stores.restored.applied.get();
            assert_eq!(kept, if index < 7 { 0 } else { (index - 7) / 10 * 10 + 7 });
            let look =
                |view: &StateView<'_>| Ok((view.scan(b"key", b"kez", 100)?, view.get(b"last")?));
            let (keys, last) = stores.state.read(look).unwrap();
            assert_eq!(keys.len() as u64, kept);
            assert_eq!(last, (kept > 0).then(|| kept.to_string().into_bytes()));
        }
    }
}

#[test]
fn a_crash_while_the_directory_is_made_is_made_good() {
    let whole = TempDir::new().unwrap();
    drop(open(&options(whole.path())).unwrap());
    for gone in [&["guard"][..], &["guard", "state"]] {
        let dir = TempDir::new().unwrap();
        crash_image::take(whole.path(), dir.path());
        for part in gone {
            let path = dir.path().join(part);
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
        }
        assert_eq!(open(&options(dir.path())).unwrap().restored.applied, Index::NONE);
    }
}
