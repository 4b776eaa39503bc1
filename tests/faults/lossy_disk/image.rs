//! A file system in memory that knows of each byte and each name whether it is on the medium.
//!
//! It promises what POSIX does, and nothing more that some file system adds:
//!
//! * A sync of a file keeps its bytes and its length, not its name.
//! * A sync of a directory keeps the names in it: not the bytes of what they name, nor the directory's own
//!   name in its parent.
//! * All else is lost with the power, or a part of it is ([`Luck`]).
//!
//! A file that has no name any more stays while it is open, or while its name could come back. After a loss of
//! power everything but the root has a new number, so that nobody who still knows an old one meets it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use rustix::io::Errno;

use super::contents::Contents;
use super::luck::Luck;
use super::names::Names;

/// Names a file or directory; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(pub(crate) u64);

/// The top directory.
pub(crate) const ROOT: Number = Number(1);

/// What is where.
#[derive(Debug)]
pub(crate) struct Image {
    nodes: BTreeMap<Number, Node>,
    next: u64,
}

/// A file or a directory.
#[derive(Debug)]
struct Node {
    mode: u16,
    /// How often it is open.
    opened: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    File(Contents),
    Directory(Names),
}

/// What is known about a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) number: Number,
    pub(crate) is_directory: bool,
    /// Permission bits.
    pub(crate) mode: u16,
    /// In bytes.
    pub(crate) len: u64,
}

impl Default for Image {
    fn default() -> Self {
        let root = Node { mode: 0o755, opened: 0, kind: Kind::Directory(Names::default()) };
        Self { nodes: [(ROOT, root)].into(), next: ROOT.0 + 1 }
    }
}

impl Image {
    /// # Errors
    /// `ENOENT`.
    pub(crate) fn about(&self, number: Number) -> Result<About, Errno> {
        let node = self.node(number)?;
        let (is_directory, len) = match &node.kind {
            Kind::File(contents) => (false, contents.len()),
            Kind::Directory(_) => (true, 0),
        };
        Ok(About { number, is_directory, mode: node.mode, len })
    }

    /// # Errors
    /// `ENOENT`, `ENOTDIR`.
    pub(crate) fn lookup(&self, directory: Number, name: &OsStr) -> Result<About, Errno> {
        self.about(self.names(directory)?.get(name).ok_or(Errno::NOENT)?)
    }

    /// The entries of a directory, in order.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`.
    pub(crate) fn list(&self, directory: Number) -> Result<Vec<(OsString, About)>, Errno> {
        let entries = self.names(directory)?.list();
        entries.map(|(name, number)| Ok((name.to_owned(), self.about(number)?))).collect()
    }

    /// Makes an empty file, or a directory.
    ///
    /// # Errors
    /// `EEXIST`, `ENOENT`, `ENOTDIR`.
    pub(crate) fn make(
        &mut self,
        directory: Number,
        name: &OsStr,
        mode: u16,
        is_directory: bool,
    ) -> Result<About, Errno> {
        let number = Number(self.next);
        let names = self.names_mut(directory)?;
        if names.get(name).is_some() {
            return Err(Errno::EXIST);
        }
        names.change(vec![(name.to_owned(), Some(number))]);
        self.next += 1;
        let kind = match is_directory {
            true => Kind::Directory(Names::default()),
            false => Kind::File(Contents::default()),
        };
        self.nodes.insert(number, Node { mode, opened: 0, kind });
        self.about(number)
    }

    /// Removes a file's name, or an empty directory.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EISDIR`, `ENOTEMPTY`.
    pub(crate) fn remove(
        &mut self,
        directory: Number,
        name: &OsStr,
        is_directory: bool,
    ) -> Result<(), Errno> {
        let found = self.lookup(directory, name)?;
        self.may_go(found, is_directory)?;
        self.names_mut(directory)?.change(vec![(name.to_owned(), None)]);
        self.sweep();
        Ok(())
    }

    /// Gives another name, in place of what has it.
    ///
    /// # Errors
    /// `EXDEV` for another directory: no server asks for that. Those of [`Self::remove`].
    pub(crate) fn rename(
        &mut self,
        (from, name): (Number, &OsStr),
        (to, new_name): (Number, &OsStr),
    ) -> Result<(), Errno> {
        let found = self.lookup(from, name)?;
        if from != to {
            return Err(Errno::XDEV);
        }
        if let Ok(replaced) = self.lookup(to, new_name) {
            self.may_go(replaced, found.is_directory)?;
        }
        let change = [(name.to_owned(), None), (new_name.to_owned(), Some(found.number))];
        self.names_mut(from)?.change(change.into());
        self.sweep();
        Ok(())
    }

    /// # Errors
    /// `ENOENT`.
    pub(crate) fn set_mode(&mut self, number: Number, mode: u16) -> Result<(), Errno> {
        self.node_mut(number)?.mode = mode;
        Ok(())
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// `ENOENT`, `EISDIR`.
    pub(crate) fn file(&mut self, number: Number) -> Result<&mut Contents, Errno> {
        match &mut self.node_mut(number)?.kind {
            Kind::File(contents) => Ok(contents),
            Kind::Directory(_) => Err(Errno::ISDIR),
        }
    }

    /// # Errors
    /// `ENOENT`.
    pub(crate) fn open(&mut self, number: Number) -> Result<(), Errno> {
        self.node_mut(number)?.opened += 1;
        Ok(())
    }

    /// One who had it open has closed it. Whoever opened it before a loss of power closes nothing.
    pub(crate) fn close(&mut self, number: Number) {
        if let Ok(node) = self.node_mut(number) {
            node.opened = node.opened.saturating_sub(1);
            self.sweep();
        }
    }

    /// Makes the bytes of a file or the names in a directory durable.
    ///
    /// # Errors
    /// `ENOENT`.
    pub(crate) fn sync(&mut self, number: Number) -> Result<(), Errno> {
        match &mut self.node_mut(number)?.kind {
            Kind::File(contents) => contents.sync(),
            Kind::Directory(names) => {
                names.sync();
                self.sweep();
            }
        }
        Ok(())
    }

    /// The power is gone, and on again: nobody has anything open.
    pub(crate) fn lose_power(&mut self, luck: &mut Luck) {
        for node in self.nodes.values_mut() {
            node.opened = 0;
            match &mut node.kind {
                Kind::File(contents) => contents.lose(luck),
                Kind::Directory(names) => names.lose(luck),
            }
        }
        self.sweep();
        let mut numbers: BTreeMap<Number, Number> = [(ROOT, ROOT)].into();
        for number in self.nodes.keys().filter(|number| **number != ROOT) {
            numbers.insert(*number, Number(self.next));
            self.next += 1;
        }
        for (number, mut node) in std::mem::take(&mut self.nodes) {
            if let Kind::Directory(names) = &mut node.kind {
                *names = names.renumbered(&numbers);
            }
            self.nodes.insert(numbers[&number], node);
        }
    }

    /// Forgets what nobody can reach any more.
    fn sweep(&mut self) {
        let open = self.nodes.iter().filter(|(_, node)| node.opened > 0);
        let mut ahead: Vec<Number> = open.map(|(number, _)| *number).chain([ROOT]).collect();
        let mut reached = BTreeSet::new();
        while let Some(number) = ahead.pop() {
            if reached.insert(number)
                && let Some(Node { kind: Kind::Directory(names), .. }) = self.nodes.get(&number)
            {
                ahead.extend(names.reachable());
            }
        }
        self.nodes.retain(|number, _| reached.contains(number));
    }

    fn may_go(&self, about: About, is_directory: bool) -> Result<(), Errno> {
        match (is_directory, about.is_directory) {
            (true, false) => Err(Errno::NOTDIR),
            (false, true) => Err(Errno::ISDIR),
            (false, false) => Ok(()),
            (true, true) => match self.names(about.number)?.list().next() {
                Some(_) => Err(Errno::NOTEMPTY),
                None => Ok(()),
            },
        }
    }

    fn node(&self, number: Number) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(Errno::NOENT)
    }

    fn node_mut(&mut self, number: Number) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&number).ok_or(Errno::NOENT)
    }

    fn names(&self, directory: Number) -> Result<&Names, Errno> {
        match &self.node(directory)?.kind {
            Kind::Directory(names) => Ok(names),
            Kind::File(_) => Err(Errno::NOTDIR),
        }
    }

    fn names_mut(&mut self, directory: Number) -> Result<&mut Names, Errno> {
        match &mut self.node_mut(directory)?.kind {
            Kind::Directory(names) => Ok(names),
            Kind::File(_) => Err(Errno::NOTDIR),
        }
    }
}
