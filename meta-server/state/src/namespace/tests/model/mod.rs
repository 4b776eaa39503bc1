//! A file system in a few lines: a tree in memory with Linux's rules, written without a look at the real
//! one. It knows no records, pages, cursors or truncations under way.

mod node;
mod paths;

use std::collections::BTreeMap;

use emberfs_wire::FsError::{
    self, Exists, InvalidArgument, IsADirectory, NotADirectory, NotEmpty, NotFound, NotPermitted,
    PermissionDenied, SymlinkLoop,
};
use emberfs_wire::meta::{Caller, RenameFlags};

use node::{Id, fail, member};
pub(super) use node::{Kind, Layout, Node};

/// How many chains each table has; there is no table 0.
const CHAINS: [u32; 3] = [0, 20, 4];

/// What a file gets in a directory that says this.
fn file_layout([chunk, stripe, table]: Layout) -> Layout {
    let table = table.unwrap_or(1);
    let chains = CHAINS[table as usize];
    let of_table = if table == 1 { 16 } else { 20 };
    [chunk.unwrap_or(of_table), stripe.unwrap_or(16).min(chains), table].map(Some)
}

#[derive(Debug)]
pub(super) struct Model {
    nodes: Vec<Node>,
}

impl Model {
    pub(super) fn new() -> Self {
        let kind = Kind::Directory { entries: BTreeMap::new(), parent: 0 };
        let layout = [None; 3];
        Self { nodes: vec![Node { kind, mode: 0o777, uid: 0, gid: 0, names: 1, layout }] }
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    pub(super) fn entries(&self, id: Id) -> &BTreeMap<String, Id> {
        let Kind::Directory { entries, .. } = &self.nodes[id].kind else { panic!("a directory") };
        entries
    }

    fn entries_mut(&mut self, id: Id) -> &mut BTreeMap<String, Id> {
        let Kind::Directory { entries, .. } = &mut self.nodes[id].kind else {
            panic!("a directory")
        };
        entries
    }

    fn parent(&self, id: Id) -> Id {
        let Kind::Directory { parent, .. } = self.nodes[id].kind else { panic!("a directory") };
        parent
    }

    pub(super) fn links(&self, id: Id) -> u32 {
        match &self.nodes[id].kind {
            Kind::Directory { entries, .. } => {
                let below = entries.values().filter(|child| self.nodes[**child].is_directory());
                2 + u32::try_from(below.count()).expect("few")
            }
            _ => self.nodes[id].names,
        }
    }

    pub(super) fn size(&self, id: Id) -> u64 {
        match &self.nodes[id].kind {
            Kind::File { size } => *size,
            Kind::Link(target) => target.len() as u64,
            Kind::Directory { entries, .. } => entries.len() as u64,
        }
    }

    fn add(&mut self, who: &Caller, parent: Id, name: &str, kind: Kind, mode: u16) -> Id {
        let (id, above) = (self.nodes.len(), self.nodes[parent].clone());
        let (mut gid, mut mode) = (who.gid, mode);
        if above.mode & 0o2000 != 0 {
            gid = above.gid;
            match kind {
                Kind::Directory { .. } => mode |= 0o2000,
                _ if mode & 0o2010 == 0o2010 && who.uid != 0 && !member(who, gid) => {
                    mode &= !0o2000;
                }
                _ => {}
            }
        }
        let layout = match kind {
            Kind::File { .. } => file_layout(above.layout),
            Kind::Directory { .. } => above.layout,
            Kind::Link(_) => [None; 3],
        };
        self.nodes.push(Node { kind, mode, uid: who.uid, gid, names: 1, layout });
        self.entries_mut(parent).insert(name.to_owned(), id);
        id
    }

    pub(super) fn make(
        &mut self,
        who: &Caller,
        parent: &str,
        name: &str,
        target: Option<&str>,
        mode: u16,
    ) -> Result<Id, FsError> {
        let parent = self.free(who, parent, name)?;
        Ok(match target {
            Some(target) => self.add(who, parent, name, Kind::Link(target.into()), 0o777),
            None => {
                let kind = Kind::Directory { entries: BTreeMap::new(), parent };
                self.add(who, parent, name, kind, mode)
            }
        })
    }

    fn free(&self, who: &Caller, parent: &str, name: &str) -> Result<Id, FsError> {
        let parent = self.directory(who, parent)?;
        if self.entries(parent).contains_key(name) {
            return fail(Exists);
        }
        self.nodes[parent].need(who, 3)?;
        Ok(parent)
    }

    pub(super) fn create(
        &mut self,
        who: &Caller,
        parent: &str,
        name: &str,
        mode: u16,
        (exclusive, truncate): (bool, bool),
    ) -> Result<Id, FsError> {
        let (mut hops, mut name) = (0, name.to_owned());
        let mut parent = self.resolve(who, 0, parent, true, &mut hops)?;
        self.pass(who, parent)?;
        loop {
            let Some(&child) = self.entries(parent).get(&name) else {
                self.nodes[parent].need(who, 3)?;
                return Ok(self.add(who, parent, &name, Kind::File { size: 0 }, mode));
            };
            if exclusive {
                return fail(Exists);
            }
            match self.nodes[child].kind.clone() {
                Kind::Directory { .. } => return fail(IsADirectory),
                Kind::File { .. } => {
                    self.nodes[child].need(who, if truncate { 6 } else { 4 })?;
                    if truncate {
                        self.cut(who, child, 0);
                    }
                    return Ok(child);
                }
                Kind::Link(target) => {
                    hops += 1;
                    if hops > 40 {
                        return fail(SymlinkLoop);
                    }
                    let (way, last) = target.rsplit_once('/').unwrap_or(("", &target));
                    if matches!(last, "" | "." | "..") {
                        return fail(IsADirectory);
                    }
                    let way = if target.starts_with('/') { format!("/{way}") } else { way.into() };
                    parent = self.resolve(who, parent, &way, true, &mut hops)?;
                    self.pass(who, parent)?;
                    name = last.to_owned();
                }
            }
        }
    }

    fn cut(&mut self, who: &Caller, id: Id, size: u64) {
        self.nodes[id].kind = Kind::File { size };
        if who.uid != 0 {
            self.nodes[id].strip_ids(who);
        }
    }

    pub(super) fn resize(&mut self, who: &Caller, path: &str, size: u64) -> Result<(), FsError> {
        let id = self.find(who, path, true)?;
        if self.nodes[id].is_directory() {
            return fail(IsADirectory);
        }
        self.nodes[id].need(who, 2)?;
        self.cut(who, id, size);
        Ok(())
    }

    pub(super) fn link(
        &mut self,
        who: &Caller,
        file: &str,
        parent: &str,
        name: &str,
    ) -> Result<(), FsError> {
        let file = self.find(who, file, false)?;
        let parent = self.free(who, parent, name)?;
        let node = &self.nodes[file];
        let is_safe = matches!(node.kind, Kind::File { .. })
            && node.mode & 0o4000 == 0
            && node.mode & 0o2010 != 0o2010
            && node.allows(who, 6);
        if node.is_directory() || !(who.uid == 0 || who.uid == node.uid || is_safe) {
            return fail(NotPermitted);
        }
        self.entries_mut(parent).insert(name.to_owned(), file);
        self.nodes[file].names += 1;
        Ok(())
    }

    fn take(&self, who: &Caller, parent: Id, child: Id) -> Result<(), FsError> {
        let (parent, child) = (&self.nodes[parent], &self.nodes[child]);
        parent.need(who, 3)?;
        let owner = [0, parent.uid, child.uid].contains(&who.uid);
        if parent.mode & 0o1000 != 0 && !owner { fail(NotPermitted) } else { Ok(()) }
    }

    /// `which`: 'f' anything but a directory, 'd' an empty directory, 't' anything.
    pub(super) fn remove(
        &mut self,
        who: &Caller,
        parent: &str,
        name: &str,
        which: char,
    ) -> Result<(), FsError> {
        let parent = self.directory(who, parent)?;
        let child = *self.entries(parent).get(name).ok_or(NotFound)?;
        self.take(who, parent, child)?;
        match (which, self.nodes[child].is_directory()) {
            ('f', true) => return fail(IsADirectory),
            ('d', false) => return fail(NotADirectory),
            ('d', true) if self.size(child) > 0 => return fail(NotEmpty),
            ('t', true) if !self.can_empty(who, child) => return fail(PermissionDenied),
            _ => {}
        }
        self.entries_mut(parent).remove(name);
        self.lose(child);
        Ok(())
    }

    fn can_empty(&self, who: &Caller, id: Id) -> bool {
        let node = &self.nodes[id];
        let Kind::Directory { entries, .. } = &node.kind else { return true };
        let free = node.mode & 0o1000 == 0 && node.allows(who, 7);
        let may = entries.is_empty() || who.uid == 0 || who.uid == node.uid || free;
        may && entries.values().all(|child| self.can_empty(who, *child))
    }

    fn lose(&mut self, id: Id) {
        if self.nodes[id].is_directory() {
            let below = std::mem::take(self.entries_mut(id));
            below.into_values().for_each(|child| self.lose(child));
        } else {
            self.nodes[id].names -= 1;
        }
    }

    pub(super) fn rename(
        &mut self,
        who: &Caller,
        (parent, name): (&str, &str),
        (to, new): (&str, &str),
        flags: RenameFlags,
    ) -> Result<(), FsError> {
        let (parent, to) = (self.directory(who, parent)?, self.directory(who, to)?);
        let moved = *self.entries(parent).get(name).ok_or(NotFound)?;
        let is_directory = self.nodes[moved].is_directory();
        let replaced = self.entries(to).get(new).copied();
        let exchanges = flags == RenameFlags::EXCHANGE;
        match replaced {
            Some(_) if flags == RenameFlags::NO_REPLACE => return fail(Exists),
            None if exchanges => return fail(NotFound),
            _ => {}
        }
        if is_directory && self.inside(to, moved) {
            return fail(InvalidArgument);
        }
        let other = replaced.filter(|_| exchanges);
        if let Some(other) = other
            && self.nodes[other].is_directory()
            && self.inside(parent, other)
        {
            return fail(InvalidArgument);
        }
        if replaced == Some(moved) {
            return Ok(());
        }
        self.take(who, parent, moved)?;
        match replaced {
            None => self.nodes[to].need(who, 3)?,
            Some(replaced) => {
                self.take(who, to, replaced)?;
                match (is_directory, self.nodes[replaced].is_directory()) {
                    _ if exchanges => {}
                    (true, false) => return fail(NotADirectory),
                    (false, true) => return fail(IsADirectory),
                    _ => {}
                }
            }
        }
        for id in [Some(moved), other].into_iter().flatten() {
            if self.nodes[id].is_directory() && parent != to {
                self.nodes[id].need(who, 2)?;
            }
        }
        if let Some(other) = other {
            self.entries_mut(parent).insert(name.to_owned(), other);
            self.entries_mut(to).insert(new.to_owned(), moved);
            for (id, above) in [(other, parent), (moved, to)] {
                if let Kind::Directory { parent, .. } = &mut self.nodes[id].kind {
                    *parent = above;
                }
            }
            return Ok(());
        }
        if let Some(replaced) = replaced {
            if self.nodes[replaced].is_directory() && self.size(replaced) > 0 {
                return fail(NotEmpty);
            }
            self.lose(replaced);
        }
        self.entries_mut(parent).remove(name);
        self.entries_mut(to).insert(new.to_owned(), moved);
        if let Kind::Directory { parent, .. } = &mut self.nodes[moved].kind {
            *parent = to;
        }
        Ok(())
    }

    pub(super) fn may(&self, who: &Caller, id: Id, bits: u16) -> bool {
        self.nodes[id].allows(who, bits)
    }

    /// How many nodes still have a name, with the root.
    pub(super) fn reachable(&self) -> u64 {
        let mut seen = std::collections::BTreeSet::from([0]);
        let mut directories = vec![0];
        while let Some(id) = directories.pop() {
            for child in self.entries(id).values() {
                if seen.insert(*child) && self.nodes[*child].is_directory() {
                    directories.push(*child);
                }
            }
        }
        seen.len() as u64
    }

    pub(super) fn chmod(&mut self, who: &Caller, path: &str, mode: u16) -> Result<(), FsError> {
        let id = self.find(who, path, true)?;
        let node = &mut self.nodes[id];
        if who.uid != 0 && who.uid != node.uid {
            return fail(NotPermitted);
        }
        node.mode = mode;
        if who.uid != 0 && !member(who, node.gid) {
            node.mode &= !0o2000;
        }
        Ok(())
    }

    /// `said`: of each setting nothing, or what it becomes.
    pub(super) fn set_layout(
        &mut self,
        who: &Caller,
        path: &str,
        (inherit, said): (bool, [Option<Option<u32>>; 3]),
    ) -> Result<(), FsError> {
        let id = self.find(who, path, true)?;
        let node = &self.nodes[id];
        if !node.is_directory() {
            return fail(NotADirectory);
        }
        if who.uid != 0 && who.uid != node.uid {
            return fail(NotPermitted);
        }
        let mut layout = match (inherit, id) {
            (false, _) => node.layout,
            (true, 0) => [None; 3],
            (true, _) => self.nodes[self.parent(id)].layout,
        };
        for (setting, said) in layout.iter_mut().zip(said) {
            *setting = said.unwrap_or(*setting);
        }
        let [_, stripe, table] = layout;
        let chains = CHAINS.get(table.unwrap_or(1) as usize);
        let fits = chains.is_some_and(|chains| stripe.is_none_or(|width| width <= *chains));
        if (said[1].is_some() || said[2].is_some()) && !fits {
            return fail(InvalidArgument);
        }
        self.nodes[id].layout = layout;
        Ok(())
    }

    pub(super) fn chown(
        &mut self,
        who: &Caller,
        path: &str,
        (uid, gid): (Option<u32>, Option<u32>),
    ) -> Result<(), FsError> {
        let id = self.find(who, path, true)?;
        let node = &mut self.nodes[id];
        if (uid, gid) == (None, None) {
            return Ok(());
        }
        let owner = who.uid == node.uid;
        let uid_fits = uid.is_none_or(|uid| owner && uid == node.uid);
        let gid_fits = gid.is_none_or(|gid| owner && (gid == node.gid || member(who, gid)));
        if who.uid != 0 && !(uid_fits && gid_fits) {
            return fail(NotPermitted);
        }
        if !node.is_directory() {
            node.strip_ids(who);
        }
        (node.uid, node.gid) = (uid.unwrap_or(node.uid), gid.unwrap_or(node.gid));
        Ok(())
    }
}
