//! The names of the scripted metadata server: no permissions, only what the client's tests need.

use std::collections::{BTreeMap, BTreeSet};

use emberfs_layout::{ByteLen, ClientId, DataId, FileOffset, InodeId, Sequence};
use emberfs_wire::FsError;
use emberfs_wire::meta::inode::FileData;
use emberfs_wire::meta::{
    Attributes, Cursor, Device, Entry, HandleId, InodeKind, Mode, Mutate, Mutation, MutationReply,
    Name, NewNode, Place, Query, QueryReply, RemoveKind, RenewSession, Space, SymlinkTarget, Time,
    WrittenRange,
};

use super::world::layout;

#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    pub(super) sessions: BTreeSet<ClientId>,
    /// The latest of each.
    pub(super) renewals: BTreeMap<ClientId, RenewSession>,
    pub(super) last_session: u64,
    pub(super) writers: BTreeSet<(InodeId, ClientId, HandleId)>,
    /// Of which a listing says no attributes, as if their lengths were being found out.
    pub(super) unsettled: BTreeSet<InodeId>,
    /// Which are gone for good: whoever names one by its number is told so.
    pub(super) gone: BTreeSet<InodeId>,
    /// Users whose groups are asked for.
    pub(super) ask_groups: bool,
    replies: BTreeMap<(ClientId, u16), (Sequence, Result<MutationReply, FsError>)>,
    /// Changes that were made, not counting retries.
    pub(super) changes: u64,
    pub(super) reports: usize,
    /// What they said.
    pub(super) reported: Vec<WrittenRange>,
    cuts: Sequence,
}

#[derive(Debug)]
pub(super) struct Inode {
    pub(super) attributes: Attributes,
    entries: BTreeMap<Name, InodeId>,
    target: Option<SymlinkTarget>,
}

fn inode(id: u64, kind: InodeKind) -> Inode {
    let dense_to = ByteLen::ZERO;
    let file = FileData { id: DataId(id), layout: layout(), dense_to, exact: true, cut: None };
    let time = Time { seconds: 0, nanos: 0 };
    let attributes = Attributes {
        inode: InodeId(id),
        kind,
        mode: Mode(0o755),
        uid: 0,
        gid: 0,
        nlink: 1,
        size: ByteLen::ZERO,
        atime: time,
        mtime: time,
        ctime: time,
        device: Device(0),
        change: Default::default(),
        lease_ms: 0,
        data: (kind == InodeKind::File).then_some(file),
        layout: None,
    };
    Inode { attributes, entries: BTreeMap::new(), target: None }
}

impl Default for Namespace {
    fn default() -> Self {
        Self {
            inodes: [(InodeId::ROOT, inode(1, InodeKind::Directory))].into(),
            sessions: BTreeSet::new(),
            renewals: BTreeMap::new(),
            last_session: 0,
            writers: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            gone: BTreeSet::new(),
            ask_groups: false,
            replies: BTreeMap::new(),
            changes: 0,
            reports: 0,
            reported: Vec::new(),
            cuts: Sequence::NONE,
        }
    }
}

impl Namespace {
    fn find(&self, place: &Place) -> Result<InodeId, FsError> {
        if self.gone.contains(&place.start) {
            return Err(FsError::Stale);
        }
        place.path.parts().try_fold(place.start, |at, part| {
            let name = Name::new(part).expect("no test uses other parts");
            self.inodes[&at].entries.get(&name).copied().ok_or(FsError::NotFound)
        })
    }

    pub(super) fn ask(&self, query: &Query, groups: bool) -> Result<QueryReply, FsError> {
        if self.ask_groups && !groups {
            return Ok(QueryReply::GroupsNeeded);
        }
        Ok(match query {
            Query::Attributes { of, .. } | Query::Access { of, .. } => {
                QueryReply::Attributes(self.inodes[&self.find(of)?].attributes)
            }
            Query::List { directory, after, limit, attributes } => {
                let directory = &self.inodes[&self.find(directory)?];
                let cursors = (3..).map(Cursor).zip(&directory.entries);
                let mut rest = cursors.filter(|(cursor, _)| cursor > after);
                let limit = (*limit).min(2) as usize;
                let entries = rest.by_ref().take(limit).map(|(cursor, (name, inode))| Entry {
                    name: name.clone(),
                    cursor,
                    inode: *inode,
                    kind: self.inodes[inode].attributes.kind,
                    attributes: Some(self.inodes[inode].attributes)
                        .filter(|_| *attributes && !self.unsettled.contains(inode)),
                });
                let entries = entries.collect();
                let (directory, parent) = (directory.attributes, InodeId::ROOT);
                QueryReply::Entries { directory, parent, entries, end: rest.next().is_none() }
            }
            Query::ReadLink { link } => {
                let target = self.inodes[&self.find(link)?].target.clone();
                QueryReply::Target(target.ok_or(FsError::InvalidArgument)?)
            }
            Query::Space => {
                let total = ByteLen(1 << 40);
                QueryReply::Space(Space { total, free: total, inodes: self.inodes.len() as u64 })
            }
        })
    }

    /// A change, once for each slot and number, without a gap.
    pub(super) fn mutate(&mut self, request: &Mutate) -> Result<MutationReply, FsError> {
        let slot = request.slot;
        if !self.sessions.contains(&slot.client) {
            return Err(FsError::Stale);
        }
        let key = (slot.client, slot.slot);
        let last = self.replies.get(&key).map_or(Sequence::NONE, |(last, _)| *last);
        if last == slot.sequence {
            return self.replies[&key].1;
        }
        assert_eq!(slot.sequence, last.next(), "no number is skipped or comes late");
        let reply = if self.ask_groups && request.caller.groups.is_none() {
            Ok(MutationReply::GroupsNeeded)
        } else {
            self.changes += 1;
            self.change(&request.mutation, slot.client)
        };
        self.replies.insert(key, (slot.sequence, reply));
        reply
    }

    fn change(&mut self, mutation: &Mutation, client: ClientId) -> Result<MutationReply, FsError> {
        match mutation {
            Mutation::Create { parent, name, exclusive, truncate, write, .. } => {
                let parent = self.find(parent)?;
                let there = self.inodes[&parent].entries.get(name).copied();
                if there.is_some() && *exclusive {
                    return Err(FsError::Exists);
                }
                let id = there.unwrap_or_else(|| self.add(parent, name, InodeKind::File));
                self.open(id, client, *write, *truncate);
                Ok(self.said(id, there.is_none()))
            }
            Mutation::Open { file, write, truncate, .. } => {
                let id = self.find(file)?;
                self.open(id, client, *write, *truncate);
                Ok(self.said(id, false))
            }
            Mutation::MakeNode { parent, name, node, .. } => self.make(parent, name, node),
            Mutation::Link { file, parent, name } => {
                let (id, parent) = (self.find(file)?, self.find(parent)?);
                self.inode(parent).entries.insert(name.clone(), id);
                self.inode(id).attributes.nlink += 1;
                Ok(self.said(id, false))
            }
            Mutation::Remove { parent, name, kind } => self.remove(parent, name, *kind),
            Mutation::Rename { parent, name, new_parent, new_name, .. } => {
                let (from, to) = (self.find(parent)?, self.find(new_parent)?);
                let id = self.inode(from).entries.remove(name).ok_or(FsError::NotFound)?;
                self.inode(to).entries.insert(new_name.clone(), id);
                Ok(MutationReply::Done)
            }
            Mutation::SetAttributes { of, change, .. } => {
                let id = self.find(of)?;
                if let Some(size) = change.size {
                    self.set_len(id, size);
                }
                Ok(self.said(id, false))
            }
            Mutation::SetLayout { of, change } => {
                let id = self.find(of)?;
                let said = self.inodes[&id].attributes.layout.unwrap_or_default();
                let said = change.apply(said, said);
                self.inode(id).attributes.layout = Some(said);
                Ok(self.said(id, false))
            }
            Mutation::Report { inode, handle, written, close } => {
                let writer = (*inode, client, *handle);
                assert!(self.writers.contains(&writer), "open for writing");
                self.report(*inode, *written);
                if *close {
                    self.writers.remove(&writer);
                }
                Ok(self.said(*inode, false))
            }
            Mutation::Reserve { inode, len, .. } => {
                assert!(*len > ByteLen::ZERO, "nothing cannot be reserved");
                let file = &mut self.inode(*inode).attributes;
                let at = FileOffset(file.size.get());
                file.size = ByteLen(at.get() + len.get());
                Ok(MutationReply::Reserved { at, attributes: *file })
            }
        }
    }

    fn remove(
        &mut self,
        parent: &Place,
        name: &Name,
        kind: RemoveKind,
    ) -> Result<MutationReply, FsError> {
        let parent = self.find(parent)?;
        let id = *self.inodes[&parent].entries.get(name).ok_or(FsError::NotFound)?;
        let full = !self.inodes[&id].entries.is_empty();
        if kind == RemoveKind::Directory && full {
            return Err(FsError::NotEmpty);
        }
        self.inode(parent).entries.remove(name);
        Ok(MutationReply::Done)
    }

    fn make(
        &mut self,
        parent: &Place,
        name: &Name,
        node: &NewNode,
    ) -> Result<MutationReply, FsError> {
        let parent = self.find(parent)?;
        if self.inodes[&parent].entries.contains_key(name) {
            return Err(FsError::Exists);
        }
        let kind = match node {
            NewNode::Directory => InodeKind::Directory,
            NewNode::Symlink(_) => InodeKind::Symlink,
            NewNode::Special(kind, _) => *kind,
        };
        let id = self.add(parent, name, kind);
        if let NewNode::Symlink(target) = node {
            self.inode(id).target = Some(target.clone());
        }
        Ok(self.said(id, true))
    }

    fn report(&mut self, inode: InodeId, written: Option<WrittenRange>) {
        self.reports += 1;
        self.reported.extend(written);
        let Some(WrittenRange { start, end, .. }) = written else { return };
        let file = &mut self.inode(inode).attributes;
        file.size = file.size.max(ByteLen(end.get()));
        let data = file.data.as_mut().expect("a file");
        if start.get() <= data.dense_to.get() {
            data.dense_to = data.dense_to.max(ByteLen(end.get()));
        }
    }

    fn inode(&mut self, id: InodeId) -> &mut Inode {
        let inode = self.inodes.get_mut(&id).expect("none is ever forgotten");
        inode.attributes.change = inode.attributes.change.next();
        inode
    }

    fn add(&mut self, parent: InodeId, name: &Name, kind: InodeKind) -> InodeId {
        let id = self.inodes.len() as u64 + 1;
        self.inodes.insert(InodeId(id), inode(id, kind));
        self.inode(parent).entries.insert(name.clone(), InodeId(id));
        InodeId(id)
    }

    fn open(&mut self, id: InodeId, client: ClientId, write: Option<HandleId>, truncate: bool) {
        self.writers.extend(write.map(|handle| (id, client, handle)));
        if truncate {
            self.set_len(id, ByteLen::ZERO);
        }
    }

    fn set_len(&mut self, id: InodeId, len: ByteLen) {
        self.cuts = self.cuts.next();
        let cut = Some(self.cuts);
        let file = &mut self.inode(id).attributes;
        file.size = len;
        let data = file.data.as_mut().expect("a file");
        (data.dense_to, data.cut) = (data.dense_to.min(len), cut);
    }

    fn said(&self, id: InodeId, created: bool) -> MutationReply {
        MutationReply::Inode { attributes: self.inodes[&id].attributes, created }
    }
}
