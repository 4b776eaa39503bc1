//! A small cluster's metadata in memory, and short words for what tests do to it.

use emberfs_layout::{
    ByteLen, ChunkSize, ClientId, ClusterId, DiskId, FileOffset, InodeId, Sequence, StripeWidth,
    TableId, TargetId,
};
use emberfs_wire::FsError;
use emberfs_wire::cluster::{AdministerReply, Register};
use emberfs_wire::meta::{
    Ask, AttributeChange, Attributes, Caller, Cursor, Entry, HandleId, LayoutChange, Mode, Mutate,
    Mutation, MutationReply, Name, NewNode, OpenSession, Path, Place, Query, QueryReply,
    RemoveKind, RenameFlags, Setting, Slot, SymlinkTarget, Time, WrittenRange,
};

use crate::command::Unfinished;
use crate::namespace::{Answer, ROOT, ask, garbage, inode_count, pending_truncation};
use crate::{Body, Command, MemoryStore, Outcome, Schema, apply};

pub(super) type Answered = Result<MutationReply, FsError>;

/// A store, and all commands that made it.
pub(super) struct World {
    pub(super) store: MemoryStore,
    pub(super) log: Vec<Command>,
    /// The session that mutations come from.
    pub(super) client: ClientId,
    sequence: u64,
}

/// Root.
pub(super) fn root() -> Caller {
    Caller { uid: 0, gid: 0, groups: Some(Vec::new()) }
}

/// A user with a group of its own and these beside it.
pub(super) fn user(uid: u32, groups: &[u32]) -> Caller {
    Caller { uid, gid: uid, groups: Some(groups.to_vec()) }
}

/// A path from the root directory.
pub(super) fn at(path: &str) -> Place {
    Place { start: ROOT, path: Path::new(path).expect("a test's path") }
}

pub(super) fn name(name: &str) -> Name {
    Name::new(name).expect("a test's name")
}

/// A path, parted into directory and name.
fn parted(path: &str) -> (Place, Name) {
    let (directory, last) = path.rsplit_once('/').unwrap_or(("", path));
    (at(directory), name(last))
}

pub(super) fn mkdir(path: &str, mode: u16) -> Mutation {
    make(path, mode, NewNode::Directory)
}

pub(super) fn make(path: &str, mode: u16, node: NewNode) -> Mutation {
    let (parent, name) = parted(path);
    Mutation::MakeNode { parent, name, mode: Mode(mode), node }
}

pub(super) fn symlink(path: &str, target: &str) -> Mutation {
    let target = SymlinkTarget::new(target).expect("a test's target");
    make(path, 0, NewNode::Symlink(target))
}

/// Creates or opens, for reading and under `write`.
pub(super) fn create(path: &str, mode: u16, write: Option<u64>) -> Mutation {
    let (parent, name) = parted(path);
    let write = write.map(HandleId);
    Mutation::Create {
        parent,
        name,
        mode: Mode(mode),
        exclusive: false,
        truncate: false,
        read: true,
        write,
        chunk_size: None,
    }
}

pub(super) fn open(path: &str, read: bool, write: Option<u64>, truncate: bool) -> Mutation {
    Mutation::Open { file: at(path), read, write: write.map(HandleId), truncate }
}

pub(super) fn link(file: &str, path: &str) -> Mutation {
    let (parent, name) = parted(path);
    Mutation::Link { file: at(file), parent, name }
}

pub(super) fn remove(path: &str, kind: RemoveKind) -> Mutation {
    let (parent, name) = parted(path);
    Mutation::Remove { parent, name, kind }
}

pub(super) fn rename(from: &str, to: &str) -> Mutation {
    let ((parent, name), (new_parent, new_name)) = (parted(from), parted(to));
    Mutation::Rename { parent, name, new_parent, new_name, flags: RenameFlags::default() }
}

pub(super) fn rename_with(from: &str, to: &str, with: RenameFlags) -> Mutation {
    let mut rename = rename(from, to);
    let Mutation::Rename { flags, .. } = &mut rename else { unreachable!() };
    *flags = with;
    rename
}

pub(super) fn set(path: &str, change: AttributeChange) -> Mutation {
    Mutation::SetAttributes { of: at(path), follow: true, change }
}

pub(super) fn resize(path: &str, size: u64) -> Mutation {
    set(path, AttributeChange { size: Some(ByteLen(size)), ..Default::default() })
}

/// Settings of a directory: chunk size as its logarithm, stripe, table.
pub(super) fn layout(chunk: Option<u8>, stripe: Option<u32>, table: Option<u32>) -> LayoutChange {
    LayoutChange {
        inherit: false,
        chunk_size: chunk.map(|log2| Setting::Is(ChunkSize::from_log2(log2).expect("a size"))),
        stripe: stripe.map(|width| Setting::Is(StripeWidth::new(width).expect("not empty"))),
        table: table.map(|table| Setting::Is(TableId(table))),
    }
}

pub(super) fn set_layout(path: &str, change: LayoutChange) -> Mutation {
    Mutation::SetLayout { of: at(path), change }
}

pub(super) fn report(
    inode: InodeId,
    handle: u64,
    written: Option<(u64, u64)>,
    close: bool,
) -> Mutation {
    let written = written.map(|written| range(written, None));
    Mutation::Report { inode, handle: HandleId(handle), written, close }
}

/// The same of bytes whose writer had heard of this cut before it began, without closing.
pub(super) fn report_since(
    inode: InodeId,
    handle: u64,
    written: (u64, u64),
    since: Option<Sequence>,
) -> Mutation {
    let written = Some(range(written, since));
    Mutation::Report { inode, handle: HandleId(handle), written, close: false }
}

pub(super) fn range((start, end): (u64, u64), since: Option<Sequence>) -> WrittenRange {
    WrittenRange { start: FileOffset(start), end: FileOffset(end), since }
}

impl World {
    /// A root directory for all, a table of chains, one session.
    pub(super) fn new() -> Self {
        let mut world = Self::empty();
        let register = Register {
            start: 1,
            node: None,
            name: "one".into(),
            addresses: vec!["one:1".into()],
            domain: None,
            disks: vec![DiskId(1)],
            lock: None,
        };
        world.run(Body::Register(register));
        let added = world.run(Body::AddDisk { order_id: 1, disk: DiskId(1), targets: 20 });
        let Outcome::Administered(AdministerReply::DiskAdded(disk)) = added else {
            panic!("no disk: {added:?}")
        };
        let chains = disk.targets.iter().map(|target: &TargetId| vec![*target]).collect();
        let chunk_size = ChunkSize::MIN;
        world.run(Body::CreateTable {
            order_id: 2,
            chains,
            replicas: 1,
            min_serving: 1,
            chunk_size,
            is_default: false,
        });
        world
    }

    /// A further table, table 2: of four chains, and of larger chunks.
    pub(super) fn second_table(&mut self, is_default: bool) {
        let register = Register {
            start: 2,
            node: None,
            name: "two".into(),
            addresses: vec!["two:1".into()],
            domain: None,
            disks: vec![DiskId(2)],
            lock: None,
        };
        self.run(Body::Register(register));
        let added = self.run(Body::AddDisk { order_id: 3, disk: DiskId(2), targets: 4 });
        let Outcome::Administered(AdministerReply::DiskAdded(disk)) = added else {
            panic!("no disk: {added:?}")
        };
        let chains = disk.targets.iter().map(|target| vec![*target]).collect();
        self.run(Body::CreateTable {
            order_id: 4,
            chains,
            replicas: 1,
            min_serving: 1,
            chunk_size: ChunkSize::DEFAULT,
            is_default,
        });
    }

    /// The same without storage.
    pub(super) fn empty() -> Self {
        let store = MemoryStore::default();
        let mut world = Self { store, log: Vec::new(), client: ClientId(0), sequence: 0 };
        world.run(Body::Found { cluster: ClusterId(7), uid: 0, gid: 0 });
        world.mutate_setup();
        world
    }

    fn mutate_setup(&mut self) {
        self.client = self.open_session(1);
        let mode = Some(Mode(0o777));
        self.done(&root(), set("", AttributeChange { mode, ..Default::default() }));
    }

    pub(super) fn open_session(&mut self, start: u64) -> ClientId {
        let asked = OpenSession { start, host: "host".into(), what: "test".into() };
        let Outcome::SessionOpened(opened) = self.run(Body::OpenSession(asked)) else {
            panic!("a session")
        };
        opened.client
    }

    /// Applies a command, one second after the last.
    pub(super) fn run(&mut self, body: Body) -> Outcome {
        let number = self.log.len() as u64;
        let time = Time { seconds: 1_000 + self.log.len() as i64, nanos: 5 };
        let command = Command { schema: Schema::OURS, time, seed: number * 31, body };
        let outcome = apply(&mut self.store, &command).expect("memory");
        self.log.push(command);
        outcome
    }

    /// The time of the last command.
    pub(super) fn now(&self) -> Time {
        self.log.last().expect("a command").time
    }

    /// The mutation as the next of its session.
    pub(super) fn request(&mut self, caller: &Caller, mutation: Mutation) -> Mutate {
        self.sequence += 1;
        let slot = Slot { client: self.client, slot: 0, sequence: Sequence(self.sequence) };
        Mutate { slot, caller: caller.clone(), mutation }
    }

    /// Applies a mutation; truncations are left as they are.
    pub(super) fn begin(&mut self, caller: &Caller, mutation: Mutation) -> Outcome {
        let asked = self.request(caller, mutation);
        self.run(Body::Mutate(asked))
    }

    /// Applies a mutation and carries on what it waits for.
    pub(super) fn mutate(&mut self, caller: &Caller, mutation: Mutation) -> Answered {
        let asked = self.request(caller, mutation);
        loop {
            match self.run(Body::Mutate(asked.clone())) {
                Outcome::Mutation { reply, truncation } => {
                    if let Some(pending) = truncation {
                        self.finish_truncation(pending.inode);
                    }
                    return reply;
                }
                Outcome::Blocked(Unfinished::Truncation(pending)) => {
                    self.finish_truncation(pending.inode);
                }
                other => panic!("of a mutation: {other:?}"),
            }
        }
    }

    /// Finishes the truncation of this file that stands.
    pub(super) fn finish_truncation(&mut self, inode: InodeId) {
        let work = pending_truncation(&self.store, inode).expect("memory").expect("it stands");
        self.run(Body::FinishTruncation { inode, round: work.round });
    }

    /// Does what must succeed.
    pub(super) fn done(&mut self, caller: &Caller, mutation: Mutation) -> Option<Attributes> {
        match self.mutate(caller, mutation).expect("it is permitted") {
            MutationReply::Inode { attributes, .. }
            | MutationReply::Reserved { attributes, .. } => Some(attributes),
            MutationReply::Done => None,
            MutationReply::GroupsNeeded => panic!("groups are given"),
        }
    }

    pub(super) fn refused(&mut self, caller: &Caller, mutation: Mutation) -> FsError {
        let before = self.tree();
        let error = self.mutate(caller, mutation).expect_err("it is refused");
        assert_eq!(self.tree(), before, "a refusal leaves no trace");
        error
    }

    /// All that is not about sessions.
    fn tree(&self) -> Vec<String> {
        let text = crate::golden::dump(&self.store);
        text.lines().filter(|line| !line.starts_with('R')).map(str::to_owned).collect()
    }

    pub(super) fn ask(&self, caller: &Caller, query: Query) -> Answer {
        ask(&self.store, &Ask { caller: caller.clone(), query }).expect("memory")
    }

    pub(super) fn stat(&self, caller: &Caller, path: &str) -> Result<Attributes, FsError> {
        self.attributes(caller, at(path), true)
    }

    pub(super) fn attributes(
        &self,
        caller: &Caller,
        of: Place,
        follow: bool,
    ) -> Result<Attributes, FsError> {
        match self.ask(caller, Query::Attributes { of, follow }) {
            Answer::Reply(QueryReply::Attributes(attributes)) => Ok(attributes),
            Answer::Refused(why) => Err(why),
            other => panic!("of a stat: {other:?}"),
        }
    }

    /// One page of a listing, and whether it is the last.
    pub(super) fn page(&self, path: &str, after: Cursor, limit: u32) -> (Vec<Entry>, bool) {
        let query = Query::List { directory: at(path), after, limit, attributes: true };
        match self.ask(&root(), query) {
            Answer::Reply(QueryReply::Entries { entries, end, .. }) => (entries, end),
            other => panic!("of a listing: {other:?}"),
        }
    }

    /// Removes all garbage, as a leader would when nobody holds anything.
    pub(super) fn collect(&mut self) {
        loop {
            let queue = garbage(&self.store, None, 10).expect("memory");
            if queue.is_empty() {
                return;
            }
            for work in queue {
                let place = work.place;
                self.run(match work.entries {
                    0 => Body::FinishRemoval { place },
                    _ => Body::UnfoldGarbage { place },
                });
            }
        }
    }

    pub(super) fn inodes(&self) -> u64 {
        inode_count(&self.store).expect("memory")
    }
}
