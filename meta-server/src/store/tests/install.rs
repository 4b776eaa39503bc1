//! A state of another member takes the place of the present one, wherever the member is cut off meanwhile.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use emberfs_meta_server_consensus::{Entry, Index, MemberId, Position, SnapshotId, Term, Vote};
use emberfs_meta_server_state::{Overlay, Transaction, View};
use emberfs_wire::group::SnapshotFile;
use tempfile::TempDir;

use super::{OpenError, StateStore, StoreOptions, Stores, Syncs, crashed, open};
use crate::store::{Applied, Checkpoint, Inbox, PieceError, Received};

/// Where the state stands that is sent.
const SENT: Position = Position { index: Index(20), term: Term(2) };

fn member(dir: &Path, member: u64, syncs: Syncs) -> StoreOptions {
    StoreOptions { dir: dir.to_owned(), member: MemberId(member), members: 3, syncs }
}

fn entry(index: u64, term: u64) -> Entry {
    let position = Position { index: Index(index), term: Term(term) };
    Entry { position, data: Bytes::from(format!("entry {index}")) }
}

/// Puts `text` into a state that has then taken in `position`.
fn put(state: &StateStore, text: &str, position: Position) {
    let mut transaction = Overlay::new(state);
    transaction.put(b"what", text.as_bytes());
    let applied = Applied { position, ..Applied::default() };
    state.commit(transaction.into_changes(), applied).unwrap();
}

fn what(state: &StateStore) -> Vec<u8> {
    state.read(|view| view.get(b"what")).unwrap().unwrap()
}

/// A member with a state to send, which goes on afterwards.
fn sender() -> (TempDir, Stores, Checkpoint) {
    let dir = TempDir::new().unwrap();
    let stores = open(&member(dir.path(), 1, Syncs::all())).unwrap();
    put(&stores.state, "new", SENT);
    let checkpoint = stores.state.checkpoint(SnapshotId(7)).unwrap();
    put(&stores.state, "newer", Position { index: Index(21), ..SENT });
    stores.state.flush().unwrap();
    (dir, stores, checkpoint)
}

/// Takes all of `checkpoint` in, in pieces of a few bytes.
fn receive(inbox: &Inbox, checkpoint: &Checkpoint, at: Position) -> Result<Received, OpenError> {
    let incoming = inbox.begin(checkpoint.files().to_vec())?;
    for SnapshotFile { name, len } in checkpoint.files() {
        for offset in (0..*len).step_by(1000) {
            let most = u32::try_from(1000.min(len - offset)).unwrap();
            let piece = checkpoint.read(name, offset, most).unwrap();
            incoming.put(name, offset, &piece).unwrap();
        }
    }
    incoming.complete(at)
}

/// A member whose log ends at 5 and whose state has taken in 3.
fn lagging(dir: &Path) {
    let Stores { state, mut log, .. } = open(&member(dir, 2, Syncs::all())).unwrap();
    let entries: Vec<_> = (1..=5).map(|index| entry(index, 1)).collect();
    log.finish_install(Position::default(), &entries).unwrap();
    put(&state, "old", entries[2].position);
    state.flush().unwrap();
}

/// Has the lagging member install what was sent, in a term that it hears of with it, and behind it one more entry.
fn install(options: &StoreOptions, checkpoint: &Checkpoint) {
    let Stores { state, mut log, inbox, .. } = open(options).unwrap();
    let received = receive(&inbox, checkpoint, SENT).unwrap();
    assert_eq!(received.position(), SENT);
    log.begin_install(SENT, Some(Vote { term: Term(3), member: MemberId::NONE })).unwrap();
    assert_eq!(state.install(received).unwrap().0.position, SENT);
    assert_eq!(what(&state), b"new");
    log.finish_install(SENT, &[entry(21, 3)]).unwrap();
}

/// Which of the two the member in `dir` has; its log must fit.
fn found(options: &StoreOptions) -> &'static str {
    let Stores { state, restored, .. } = open(options).unwrap();
    let (cut, applied) = (restored.cut.index, restored.applied);
    let last = restored.entries.last().map(|entry| entry.position.index);
    let leftovers = ["incoming", "state-old"].map(|part| options.dir.join(part).exists());
    assert_eq!(leftovers, [false; 2]);
    match what(&state).as_slice() {
        b"old" => {
            assert_eq!((cut, applied, last), (Index(0), Index(3), Some(Index(5))));
            "old"
        }
        b"new" => {
            assert_eq!((cut, applied), (SENT.index, SENT.index));
            assert!(last.is_none_or(|last| last == Index(21)));
            assert_eq!(restored.vote.term, Term(3));
            "new"
        }
        other => panic!("{:?}", other.escape_ascii().to_string()),
    }
}

/// What a crash before each sync would leave.
#[derive(Clone, Default)]
struct Crashes(Arc<Mutex<Vec<TempDir>>>);

impl Crashes {
    fn watch(&self, dir: &Path) -> Syncs {
        let (crashes, dir) = (self.clone(), dir.to_owned());
        Syncs::watched(move || crashes.0.lock().unwrap().push(crashed(&dir)))
    }

    fn take(&self) -> Vec<TempDir> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn a_crash_at_any_sync_leaves_the_old_state_or_the_new_one_with_the_log_that_fits() {
    let (_sender, _stores, checkpoint) = sender();
    let dir = TempDir::new().unwrap();
    lagging(dir.path());
    let crashes = Crashes::default();
    install(&member(dir.path(), 2, crashes.watch(dir.path())), &checkpoint);
    let mut seen = Vec::new();
    for left in crashes.take() {
        // The start that follows may be cut off as well.
        let again = Crashes::default();
        seen.push(found(&member(left.path(), 2, again.watch(left.path()))));
        for left in again.take() {
            assert_eq!(found(&member(left.path(), 2, Syncs::all())), *seen.last().unwrap());
        }
    }
    seen.push(found(&member(dir.path(), 2, Syncs::all())));
    assert!(seen.is_sorted_by_key(|what| *what == "new"), "{seen:?}");
    assert!(seen.contains(&"old") && seen.iter().filter(|what| **what == "new").count() > 4);
}

/// An operator removes `state` alone, as the words of an error allow, wherever the member was cut off.
#[test]
fn a_state_that_is_gone_after_a_crash_in_an_install_is_owed_to_the_others() {
    let (_sender, _stores, checkpoint) = sender();
    let dir = TempDir::new().unwrap();
    lagging(dir.path());
    let crashes = Crashes::default();
    install(&member(dir.path(), 2, crashes.watch(dir.path())), &checkpoint);
    let mut owed = Vec::new();
    for left in crashes.take() {
        let state = left.path().join("state");
        if state.exists() {
            fs::remove_dir_all(state).unwrap();
        }
        // The start that follows may be cut off as well.
        let again = Crashes::default();
        let options = member(left.path(), 2, again.watch(left.path()));
        let first = begins(&options);
        for left in again.take() {
            assert_eq!(begins(&member(left.path(), 2, Syncs::all())), first);
        }
        assert_eq!(begins(&member(left.path(), 2, Syncs::all())), first, "the debt is kept");
        owed.push(first);
    }
    owed.dedup();
    let (none, sent) = (Index::NONE, SENT.index);
    // The log has all; the new state stands beside; it is gone; with the entry behind it.
    assert_eq!(owed, [(none, none, 5), (sent, none, 0), (none, sent, 0), (none, Index(21), 0)]);
}

/// What the state of a member has taken in when it starts, what it must reach, and how many entries it has.
fn begins(options: &StoreOptions) -> (Index, Index, usize) {
    let Stores { restored, must_reach, .. } = open(options).unwrap();
    assert_eq!(restored.cut.index, restored.applied);
    (restored.applied, must_reach, restored.entries.len())
}

#[test]
fn a_state_that_is_not_what_was_announced_is_not_taken() {
    let (_sender, _stores, checkpoint) = sender();
    let dir = TempDir::new().unwrap();
    lagging(dir.path());
    let options = member(dir.path(), 2, Syncs::all());
    let Stores { inbox, .. } = open(&options).unwrap();
    let said = |error: OpenError| error.to_string();
    let other = Position { index: Index(19), ..SENT };
    let words = said(receive(&inbox, &checkpoint, other).unwrap_err());
    assert!(words.contains("it has taken in"), "{words}");
    let short = inbox.begin(checkpoint.files().to_vec()).unwrap();
    let words = said(short.complete(SENT).unwrap_err());
    assert!(words.contains("0 bytes of a file of"), "{words}");
    for name in ["", ".", "..", "/etc/passwd", "../guard", "a/b", "a\0b", "a b"] {
        let files = vec![SnapshotFile { name: name.to_owned(), len: 1 }];
        let words = said(inbox.begin(files).unwrap_err());
        assert!(words.contains("a snapshot has a file"), "{words}");
    }
    let twice = SnapshotFile { name: "a".to_owned(), len: 1 };
    assert!(inbox.begin(vec![twice.clone(), twice]).is_err());
    assert!(!dir.path().join("incoming").exists(), "nothing is left of it");
    let alone = StoreOptions { members: 1, ..member(&dir.path().join("alone"), 1, Syncs::all()) };
    let Stores { inbox, .. } = open(&alone).unwrap();
    let error = receive(&inbox, &checkpoint, SENT).unwrap_err();
    assert!(matches!(error, OpenError::OtherGroup { found: 3, wanted: 1, .. }), "{error}");
}

#[test]
fn a_checkpoint_stays_as_it_was_and_goes_with_its_owner() {
    let (dir, stores, checkpoint) = sender();
    assert_eq!(what(&stores.state), b"newer");
    let folder = dir.path().join("snapshot-7");
    assert!(folder.exists());
    let current = checkpoint.files().iter().find(|file| file.name == "CURRENT");
    let SnapshotFile { name, len } = current.unwrap().clone();
    assert_eq!(checkpoint.read(&name, 0, 1).unwrap().len(), 1);
    for (name, offset) in [(&*name, len), (&*name, u64::MAX), ("../guard", 0), ("LOCK", 0)] {
        let refused = checkpoint.read(name, offset, 1).unwrap_err();
        assert!(matches!(refused, PieceError::Nowhere { .. }), "{refused}");
    }
    drop(checkpoint);
    assert!(!folder.exists());
    fs::create_dir(&folder).unwrap();
    drop(stores);
    let refused = open(&member(dir.path(), 1, Syncs::all())).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Apart { .. }), "its log is empty: {refused}");
    assert!(!folder.exists(), "what an earlier start left is gone");
}

/// Stops the next sync once it is armed; gives the word that it has begun, and what lets it go on.
fn stopped_sync(armed: &Arc<AtomicBool>) -> (Syncs, Receiver<()>, Sender<()>) {
    let ((began, begun), (go, gate)) = (mpsc::channel(), mpsc::channel());
    let (armed, gate) = (armed.clone(), Mutex::new(gate));
    let syncs = Syncs::watched(move || {
        if armed.swap(false, Ordering::SeqCst) {
            began.send(()).unwrap();
            // Without a test there is nothing to wait for.
            let _ = gate.lock().unwrap().recv();
        }
    });
    (syncs, begun, go)
}

#[test]
fn who_reads_does_not_wait_for_a_flush_when_another_state_comes() {
    const LONG: Duration = Duration::from_secs(60);
    let (_keeps, _stores, checkpoint) = sender();
    let dir = TempDir::new().unwrap();
    lagging(dir.path());
    let armed = Arc::new(AtomicBool::new(false));
    let (syncs, flushing, go) = stopped_sync(&armed);
    let Stores { state, inbox, .. } = open(&member(dir.path(), 2, syncs)).unwrap();
    let received = receive(&inbox, &checkpoint, SENT).unwrap();
    armed.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let go = go;
        scope.spawn(|| state.flush().unwrap());
        flushing.recv().unwrap();
        let (installs, installing) = mpsc::channel();
        let (state, installs) = (&state, installs);
        let installed = scope.spawn(move || {
            installs.send(()).unwrap();
            state.install(received).unwrap().0.position
        });
        installing.recv().unwrap();
        let (reads, read) = mpsc::channel();
        scope.spawn(move || {
            for _ in 0..10_000 {
                reads.send(what(state)).unwrap();
                thread::yield_now();
            }
        });
        for _ in 0..10_000 {
            let read = read.recv_timeout(LONG).expect("it waits for the flush");
            assert_eq!(read, b"old");
        }
        go.send(()).unwrap();
        assert_eq!(installed.join().unwrap(), SENT);
        assert_eq!(what(state), b"new");
    });
}
