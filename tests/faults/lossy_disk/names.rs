//! The names in one directory: as its users see them, and as they are on the medium.
//!
//! What happened since the last sync is kept as a list of changes. Of those any may survive a loss of power, in
//! any combination; a rename survives as a whole or not at all.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::image::Number;
use super::luck::Luck;

/// What a name stands for afterwards.
type Assignment = (OsString, Option<Number>);

/// A directory's names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    seen: BTreeMap<OsString, Number>,
    kept: BTreeMap<OsString, Number>,
    changes: Vec<Vec<Assignment>>,
}

impl Names {
    pub(crate) fn get(&self, name: &OsStr) -> Option<Number> {
        self.seen.get(name).copied()
    }

    /// All of them, in order.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&OsStr, Number)> {
        self.seen.iter().map(|(name, number)| (name.as_os_str(), *number))
    }

    /// Changes what names stand for, all at once.
    pub(crate) fn change(&mut self, change: Vec<Assignment>) {
        assign(&mut self.seen, &change);
        self.changes.push(change);
    }

    /// Makes all of it durable.
    pub(crate) fn sync(&mut self) {
        self.kept.clone_from(&self.seen);
        self.changes.clear();
    }

    /// The power is gone, and on again.
    pub(crate) fn lose(&mut self, luck: &mut Luck) {
        for change in std::mem::take(&mut self.changes) {
            if luck.keeps() {
                assign(&mut self.kept, &change);
            }
        }
        self.seen.clone_from(&self.kept);
    }

    /// All that can still be reached, now or after a loss of power.
    pub(crate) fn reachable(&self) -> impl Iterator<Item = Number> {
        let changed = self.changes.iter().flatten().filter_map(|(_, number)| *number);
        self.seen.values().chain(self.kept.values()).copied().chain(changed)
    }

    /// The same names for other numbers.
    pub(crate) fn renumbered(&self, numbers: &BTreeMap<Number, Number>) -> Self {
        let renumber = |(name, number): (&OsString, &Number)| (name.clone(), numbers[number]);
        let seen: BTreeMap<_, _> = self.seen.iter().map(renumber).collect();
        Self { kept: seen.clone(), seen, changes: Vec::new() }
    }
}

fn assign(names: &mut BTreeMap<OsString, Number>, change: &[Assignment]) {
    for (name, number) in change {
        match number {
            Some(number) => names.insert(name.clone(), *number),
            None => names.remove(name),
        };
    }
}
