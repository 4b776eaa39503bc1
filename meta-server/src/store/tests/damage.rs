//! A directory that has lost something is refused, with words.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use emberfs_meta_server_consensus::{Entry, Index, Input, MemberId, Position, Term};
use emberfs_meta_server_state::Changes;
use rocksdb::DB;
use tempfile::TempDir;

use crate::crash_image;

use super::{
    Alone, OpenError, StateStore, StoreOptions, Stores, SyncPoint, Syncs, US, applied_at, crashed,
    open, options, refused, text, written,
};
use crate::store::format::{FORMAT_KEY, Whose};
use crate::store::{Loss, accept_loss};

/// Turns a bit in the first place of any file under `dir` with this ending that holds `text`.
fn damage(dir: &Path, ending: &str, text: &str) {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    for path in files {
        let mut bytes = fs::read(&path).unwrap();
        let found = bytes.windows(text.len()).position(|window| window == text.as_bytes());
        if let Some(place) = found {
            bytes[place] ^= 1;
            fs::write(&path, bytes).unwrap();
            return;
        }
    }
    let names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    panic!("{names:?} no .{ending} file holds {text:?}");
}

fn says_what_to_do(error: &OpenError) {
    let words = error.to_string();
    assert!(words.contains("must not start") && words.contains("restore"), "{words}");
}

#[test]
fn a_log_that_lost_its_end_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut alone = written(dir.path(), 9);
    alone.log.refresh_guard().unwrap();
    let left = crashed(dir.path());
    damage(&left.path().join("log"), "log", &text(6));
    let error = refused(left.path());
    let (last, synced) = (Index(5), Index(9));
    assert!(
        matches!(error, OpenError::LogShortened { last: l, synced: s, .. } if (l, s) == (last, synced)),
        "{error}"
    );
    says_what_to_do(&error);
    // The refusal has changed nothing: it is refused again.
    assert!(matches!(refused(left.path()), OpenError::LogShortened { .. }));
}

#[test]
fn a_damaged_table_of_the_log_is_refused() {
    let dir = TempDir::new().unwrap();
    drop(written(dir.path(), 9));
    // Recovery writes what the WAL held into a table.
    drop(open(&options(dir.path())).unwrap());
    damage(&dir.path().join("log"), "sst", &text(6));
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Rocks { .. }), "{error}");
    says_what_to_do(&error);
}

#[test]
fn an_older_log_beside_a_newer_guard_is_refused() {
    let dir = TempDir::new().unwrap();
    let alone = written(dir.path(), 1);
    let old = crashed(dir.path());
    drop(alone);
    // A second start votes in a second term.
    drop(written(dir.path(), 1));
    fs::copy(dir.path().join("guard"), old.path().join("guard")).unwrap();
    let error = refused(old.path());
    assert!(matches!(error, OpenError::VoteLost { .. }), "{error}");
    says_what_to_do(&error);
}

/// Nine entries, of which the state has six, and the log was cut there.
fn written_and_cut(dir: &Path) {
    let mut alone = written(dir, 9);
    alone.state.commit(Changes::default(), applied_at(6)).unwrap();
    alone.state.flush().unwrap();
    alone.step(Input::StateDurable(Index(6)));
}

#[test]
fn a_missing_part_is_refused() {
    let dir = TempDir::new().unwrap();
    written_and_cut(dir.path());
    let without = |part: &str| {
        let left = TempDir::new().unwrap();
        crash_image::take(dir.path(), left.path());
        let path = left.path().join(part);
        fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)).unwrap();
        let error = refused(left.path());
        says_what_to_do(&error);
        error
    };
    assert!(matches!(without("log"), OpenError::Missing { .. }));
    assert!(matches!(without("guard"), OpenError::Missing { .. }));
    assert!(matches!(without("state"), OpenError::Apart { .. }));
    assert!(open(&options(dir.path())).is_ok());
}

/// What the row is for: without it the log is cut below a state that was never written.
#[test]
fn a_cut_without_the_sync_of_the_state_is_refused() {
    let dir = TempDir::new().unwrap();
    let syncs = Syncs::without(SyncPoint::State);
    let mut alone = Alone::open(&StoreOptions { syncs, ..options(dir.path()) });
    (2..=9).for_each(|place| alone.propose(&text(place)));
    alone.state.commit(Changes::default(), applied_at(6)).unwrap();
    let index = alone.state.flush().unwrap();
    alone.step(Input::StateDurable(index));
    let left = crashed(dir.path());
    assert!(matches!(refused(left.path()), OpenError::Apart { .. }));
}

#[test]
fn a_state_ahead_of_its_log_is_refused() {
    let dir = TempDir::new().unwrap();
    let alone = written(dir.path(), 3);
    alone.state.commit(Changes::default(), applied_at(4)).unwrap();
    alone.state.flush().unwrap();
    drop(alone);
    assert!(matches!(refused(dir.path()), OpenError::Apart { .. }));
}

#[test]
fn another_member_and_a_newer_format_are_refused() {
    let dir = TempDir::new().unwrap();
    drop(open(&options(dir.path())).unwrap());
    let other = StoreOptions { member: MemberId(2), syncs: Syncs::all(), ..options(dir.path()) };
    assert!(matches!(open(&other), Err(OpenError::OtherMember { .. })));
    let more = StoreOptions { members: 3, ..options(dir.path()) };
    let error = open(&more).expect_err("it is of a group of one");
    assert!(matches!(error, OpenError::OtherGroup { found: 1, wanted: 3, .. }), "{error}");
    let db = DB::open_default(dir.path().join("state")).unwrap();
    // CBOR: [9, 1], version 9 of member 1.
    db.put(FORMAT_KEY, [0x82, 9, 1]).unwrap();
    db.flush().unwrap();
    drop(db);
    assert!(matches!(refused(dir.path()), OpenError::Format { found: 9, .. }));
}

/// A member of three whose log ends at `last`, with a vote of term 1.
fn one_of_three(dir: &Path, last: u64) -> StoreOptions {
    drop(written(dir, last));
    of_three(dir)
}

/// Makes the member in `dir`, which was alone, one of three.
fn of_three(dir: &Path) -> StoreOptions {
    let of_three = StoreOptions { members: 3, ..options(dir) };
    for part in ["log", "state"] {
        let db = DB::open_default(dir.join(part)).unwrap();
        // CBOR: [1, 1, 3], version 1 of member 1 of 3.
        db.put(FORMAT_KEY, [0x83, 1, 1, 3]).unwrap();
        db.flush().unwrap();
    }
    of_three
}

#[test]
fn a_member_of_several_begins_in_debt_for_what_its_log_lost() {
    let dir = TempDir::new().unwrap();
    let options = one_of_three(dir.path(), 5);
    drop(open(&options).unwrap());
    let newer = TempDir::new().unwrap();
    drop(written(newer.path(), 1));
    written(newer.path(), 8).log.refresh_guard().unwrap();
    // A guard that knows entry 9 and a vote of term 2, beside a log that ends at 5 with one of term 1.
    fs::copy(newer.path().join("guard"), dir.path().join("guard")).unwrap();
    for _ in 0..2 {
        let Stores { restored, must_reach, mut log, .. } = open(&options).unwrap();
        assert_eq!(restored.entries.last().map(|entry| entry.position.index), Some(Index(5)));
        assert_eq!((must_reach, restored.vote.term), (Index(9), Term(2)));
        // Neither a start nor the second that passes forgets it, nor does a log that ends sooner yet.
        log.refresh_guard().unwrap();
    }
    // But an operator may have it forgotten.
    let left = crashed(dir.path());
    let told = StoreOptions { dir: left.path().to_owned(), ..options.clone() };
    let end = |accepted| Loss::End { last: Index(5), to: Index(9), accepted };
    for to in [None, Some(Index(8))] {
        assert_eq!(accept_loss(&told, to).unwrap(), end(false));
        assert_eq!(open(&told).unwrap().must_reach, Index(9), "nothing was changed");
    }
    assert_eq!(accept_loss(&told, Some(Index(9))).unwrap(), end(true));
    let Stores { restored, must_reach, .. } = open(&told).unwrap();
    assert_eq!((must_reach, restored.vote.term, restored.entries.len()), (Index::NONE, Term(2), 5));
    assert_eq!(accept_loss(&told, Some(Index(9))).unwrap(), Loss::Nothing);
    let mut log = open(&options).unwrap().log;
    let entry = |index| {
        let position = Position { index: Index(index), term: Term(2) };
        Entry { position, data: Bytes::from_static(b"again") }
    };
    let at = Position { index: Index(3), term: Term(1) };
    log.finish_install(at, &[entry(4)]).unwrap();
    drop(log);
    let Stores { state, mut log, must_reach, .. } = open_unapplied(&options, 3);
    assert_eq!(must_reach, Index(9));
    log.finish_install(at, &(4..=9).map(entry).collect::<Vec<_>>()).unwrap();
    drop((log, state));
    assert_eq!(open(&options).unwrap().must_reach, Index::NONE, "it holds as much again");
}

/// Opens after the state has taken in what the log was cut at.
fn open_unapplied(options: &StoreOptions, applied: u64) -> Stores {
    let whose = Whose { member: US, members: 3 };
    let state = StateStore::open(&options.dir, whose, &Syncs::all()).unwrap();
    state.commit(Changes::default(), applied_at(applied)).unwrap();
    state.flush().unwrap();
    drop(state);
    open(options).unwrap()
}

/// What a member of three begins with: where its log was cut, what is behind, what its state has taken in, its debt.
fn begun(options: &StoreOptions) -> (Index, usize, Index, Index) {
    let Stores { restored, must_reach, mut log, .. } = open(options).unwrap();
    assert_eq!(restored.vote.term, Term(1));
    log.refresh_guard().unwrap();
    (restored.cut.index, restored.entries.len(), restored.applied, must_reach)
}

#[test]
fn a_member_of_several_without_its_state_begins_anew_in_debt_for_its_log() {
    let dir = TempDir::new().unwrap();
    written_and_cut(dir.path());
    let options = of_three(dir.path());
    drop(open(&options).unwrap());
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    // Wherever it is cut off meanwhile.
    let crashes = Arc::new(Mutex::new(Vec::new()));
    let (kept, watched) = (crashes.clone(), dir.path().to_owned());
    let syncs = Syncs::watched(move || kept.lock().unwrap().push(crashed(&watched)));
    drop(open(&StoreOptions { syncs, ..options.clone() }).unwrap());
    for left in std::mem::take(&mut *crashes.lock().unwrap()) {
        let options = StoreOptions { dir: left.path().to_owned(), ..options.clone() };
        assert_eq!(begun(&options), (Index(0), 0, Index(0), Index(9)));
    }
    for _ in 0..2 {
        assert_eq!(begun(&options), (Index(0), 0, Index(0), Index(9)));
    }
    let all = Loss::All { to: Index(9) };
    assert_eq!(accept_loss(&options, Some(Index(9))).unwrap(), all, "it holds nothing");
    assert!(open(&options).unwrap().is_new, "nor does it later, before a leader has sent it all");
    let at = Position { index: Index(12), term: Term(2) };
    open(&options).unwrap().log.finish_install(at, &[]).unwrap();
    assert_eq!(open_unapplied(&options, 12).must_reach, Index::NONE, "it has as much again");
}

#[test]
fn what_a_member_that_never_ran_has_lost_nobody_knows() {
    let dir = TempDir::new().unwrap();
    let options = StoreOptions { members: 3, ..options(dir.path()) };
    assert_eq!(accept_loss(&options, Some(Index(9))).unwrap(), Loss::New);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
    drop(open(&options).unwrap());
    assert_eq!(accept_loss(&options, Some(Index(9))).unwrap(), Loss::New);
}

/// What it acknowledged behind that is in no log of its own, and its guard may not know of it.
#[test]
fn a_log_that_ends_before_the_state_is_refused_in_a_group_of_several_too() {
    let dir = TempDir::new().unwrap();
    let alone = written(dir.path(), 3);
    alone.state.commit(Changes::default(), applied_at(7)).unwrap();
    alone.state.flush().unwrap();
    drop(alone);
    let error = open(&of_three(dir.path())).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Apart { .. }), "{error}");
}
