//! What was synced survives, whatever else does.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use proptest::prelude::*;
use rustix::io::Errno;

use super::contents::SECTOR;
use super::image::{Image, Number, ROOT};
use super::luck::Luck;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// A file is at most a few pages long.
const LEN_MAX: u64 = 20_000;

fn name(name: &str) -> &OsStr {
    OsStr::new(name)
}

fn all(image: &mut Image, path: Number) -> Vec<u8> {
    let file = image.file(path).expect("a file");
    file.read(0, file.len() as usize + 1)
}

/// A file with synced bytes and a synced name in a directory of which nobody synced the name.
#[test]
fn a_name_needs_a_sync_of_its_directory_and_of_all_above() {
    for above in [false, true] {
        let mut image = Image::default();
        let sub = image.make(ROOT, name("sub"), 0o755, true).expect("new").number;
        let file = image.make(sub, name("file"), 0o644, false).expect("new").number;
        image.file(file).expect("a file").write(5, b"bytes");
        image.sync(file).expect("there");
        image.sync(sub).expect("there");
        if above {
            image.sync(ROOT).expect("there");
        }
        image.lose_power(&mut Luck::none());
        match image.lookup(ROOT, name("sub")) {
            Ok(sub) => {
                let file = image.lookup(sub.number, name("file")).expect("synced").number;
                assert_eq!(all(&mut image, file), b"\0\0\0\0\0bytes");
                assert!(above);
            }
            Err(errno) => assert_eq!((errno, above), (Errno::NOENT, false)),
        }
    }
}

#[test]
fn a_rename_over_another_is_the_one_or_the_other() {
    let mut seen = BTreeSet::new();
    for seed in 0..20 {
        let mut image = Image::default();
        for (of, bytes) in [("file", b"old"), ("new", b"new")] {
            let made = image.make(ROOT, name(of), 0o644, false).expect("new").number;
            image.file(made).expect("a file").write(0, bytes);
            image.sync(made).expect("there");
            if of == "file" {
                image.sync(ROOT).expect("there");
            }
        }
        image.rename((ROOT, name("new")), (ROOT, name("file"))).expect("there");
        image.lose_power(&mut Luck::seeded(seed));
        let file = image.lookup(ROOT, name("file")).expect("one of them").number;
        seen.insert(all(&mut image, file));
    }
    assert_eq!(seen, [b"old".to_vec(), b"new".to_vec()].into());
}

#[test]
fn a_removed_file_stays_for_those_who_have_it_open_and_may_come_back() {
    let mut image = Image::default();
    let file = image.make(ROOT, name("file"), 0o644, false).expect("new").number;
    image.sync(ROOT).expect("there");
    image.open(file).expect("there");
    image.remove(ROOT, name("file"), false).expect("there");
    image.file(file).expect("it is open").write(0, b"more");
    image.close(file);
    assert!(image.file(file).is_ok(), "nobody synced that it is gone");
    image.sync(ROOT).expect("there");
    assert_eq!(image.about(file), Err(Errno::NOENT));
    image.lose_power(&mut Luck::none());
    assert_eq!(image.list(ROOT).expect("there"), []);
}

#[test]
fn what_is_wrong_is_refused() {
    let mut image = Image::default();
    let sub = image.make(ROOT, name("sub"), 0o755, true).expect("new").number;
    let file = image.make(sub, name("file"), 0o644, false).expect("new").number;
    assert_eq!(image.make(ROOT, name("sub"), 0o644, false), Err(Errno::EXIST));
    assert_eq!(image.make(file, name("x"), 0o644, false), Err(Errno::NOTDIR));
    assert_eq!(image.remove(ROOT, name("sub"), true), Err(Errno::NOTEMPTY));
    assert_eq!(image.remove(ROOT, name("sub"), false), Err(Errno::ISDIR));
    assert_eq!(image.remove(sub, name("file"), true), Err(Errno::NOTDIR));
    assert_eq!(image.rename((sub, name("file")), (ROOT, name("file"))), Err(Errno::XDEV));
    assert_eq!(image.lookup(ROOT, name("file")), Err(Errno::NOENT));
}

#[derive(Clone, Debug)]
enum Step {
    Make(usize),
    Remove(usize),
    Rename(usize, usize),
    Write(usize, u64, usize, u8),
    SetLen(usize, u64),
    Sync(usize),
    SyncNames,
    Lose(Option<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    let one = 0..NAMES.len();
    prop_oneof![
        2 => one.clone().prop_map(Step::Make),
        1 => one.clone().prop_map(Step::Remove),
        1 => (one.clone(), one.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        4 => (one.clone(), 0..LEN_MAX, 0..9_000_usize, 0..4_u8)
            .prop_map(|(of, at, len, byte)| Step::Write(of, at, len, byte)),
        1 => (one.clone(), 0..LEN_MAX).prop_map(|(of, len)| Step::SetLen(of, len)),
        2 => one.prop_map(Step::Sync),
        2 => Just(Step::SyncNames),
        1 => prop::option::of(any::<u64>()).prop_map(Step::Lose),
    ]
}

/// Whole copies of everything, as it is seen and as it is kept.
#[derive(Default)]
struct Model {
    names: BTreeMap<usize, Number>,
    kept_names: BTreeMap<usize, Number>,
    /// Names that were changed since the last sync.
    changed: BTreeSet<usize>,
    files: BTreeMap<Number, (Vec<u8>, Vec<u8>)>,
}

impl Model {
    fn do_step(&mut self, image: &mut Image, step: &Step) {
        match *step {
            Step::Make(of) => {
                let made = image.make(ROOT, name(NAMES[of]), 0o644, false);
                assert_eq!(made.is_err(), self.names.contains_key(&of));
                if let Ok(made) = made {
                    self.names.insert(of, made.number);
                    self.files.insert(made.number, Default::default());
                    self.changed.insert(of);
                }
            }
            Step::Remove(of) => {
                let removed = image.remove(ROOT, name(NAMES[of]), false);
                assert_eq!(removed.is_ok(), self.names.remove(&of).is_some());
                self.changed.insert(of);
            }
            Step::Rename(from, to) => {
                let renamed = image.rename((ROOT, name(NAMES[from])), (ROOT, name(NAMES[to])));
                let file = self.names.remove(&from);
                assert_eq!(renamed.is_ok(), file.is_some());
                if let Some(file) = file {
                    self.names.insert(to, file);
                    self.changed.extend([from, to]);
                }
            }
            Step::Write(of, at, len, byte) => self.write(image, of, at, &vec![byte; len]),
            Step::SetLen(of, len) => {
                if let Some(number) = self.names.get(&of) {
                    image.file(*number).expect("a file").set_len(len);
                    let (seen, _) = self.files.get_mut(number).expect("made");
                    seen.resize(len as usize, 0);
                }
            }
            Step::Sync(of) => {
                if let Some(number) = self.names.get(&of) {
                    image.sync(*number).expect("there");
                    let (seen, kept) = self.files.get_mut(number).expect("made");
                    kept.clone_from(seen);
                }
            }
            Step::SyncNames => {
                image.sync(ROOT).expect("there");
                self.kept_names.clone_from(&self.names);
                self.changed.clear();
            }
            Step::Lose(seed) => self.lose(image, seed),
        }
    }

    fn write(&mut self, image: &mut Image, of: usize, at: u64, bytes: &[u8]) {
        let Some(number) = self.names.get(&of) else { return };
        image.file(*number).expect("a file").write(at, bytes);
        let (seen, _) = self.files.get_mut(number).expect("made");
        let end = at as usize + bytes.len();
        seen.resize(seen.len().max(end), 0);
        seen[at as usize..end].copy_from_slice(bytes);
    }

    fn lose(&mut self, image: &mut Image, seed: Option<u64>) {
        image.lose_power(&mut seed.map_or_else(Luck::none, Luck::seeded));
        let found = (0..NAMES.len())
            .filter_map(|of| Some((of, image.lookup(ROOT, name(NAMES[of])).ok()?.number)));
        let found: BTreeMap<_, _> = found.collect();
        let mut files = BTreeMap::new();
        for of in 0..NAMES.len() {
            let kept = self.kept_names.get(&of);
            let there = found.get(&of);
            if seed.is_none() || !self.changed.contains(&of) {
                assert_eq!(there.is_some(), kept.is_some(), "{of}");
            }
            let Some(there) = there else { continue };
            let bytes = all(image, *there);
            // Where the name was changed, it may be any file's that there ever was.
            if let Some((seen, synced)) =
                kept.filter(|_| !self.changed.contains(&of)).map(|kept| &self.files[kept])
            {
                hold(seed.is_some(), &bytes, seen, synced);
            }
            files.insert(*there, (bytes.clone(), bytes));
        }
        *self = Self { names: found.clone(), kept_names: found, changed: BTreeSet::new(), files };
    }
}

/// Each sector is the seen or the synced one, and so is the length.
fn hold(lucky: bool, bytes: &[u8], seen: &[u8], synced: &[u8]) {
    if !lucky {
        assert!(bytes == synced, "{} bytes for {}", bytes.len(), synced.len());
    }
    assert!([seen.len(), synced.len()].contains(&bytes.len()), "{}", bytes.len());
    let sector = |of: &[u8], start: usize| {
        let part = of.get(start..).unwrap_or_default();
        let mut part = part[..part.len().min(SECTOR)].to_vec();
        part.resize(SECTOR.min(bytes.len() - start), 0);
        part
    };
    for start in (0..bytes.len()).step_by(SECTOR) {
        let found = sector(bytes, start);
        let fits = found == sector(seen, start) || found == sector(synced, start);
        assert!(fits, "the sector at {start}");
    }
}

proptest! {
    #[test]
    fn what_was_synced_survives(steps in prop::collection::vec(step(), 1..60)) {
        let (mut image, mut model) = (Image::default(), Model::default());
        for step in &steps {
            model.do_step(&mut image, step);
            for (of, number) in &model.names {
                prop_assert_eq!(image.lookup(ROOT, name(NAMES[*of])).map(|about| about.number), Ok(*number));
                prop_assert!(all(&mut image, *number) == model.files[number].0);
            }
        }
    }
}
