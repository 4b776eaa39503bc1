//! Samples of what clients say to the metadata leader.

use emberfs_layout::{
    ByteLen, ChainId, ChangeNumber, ChunkSize, ClientId, DataId, DirectoryLayout, FileLayout,
    FileOffset, InodeId, Sequence, StripeWidth, TableId, TableVersion,
};

use super::{Sample, bytes_of};
use crate::meta::inode::FileData;
use crate::meta::{
    Access, Ask, AskHeld, AskHeldReply, AttributeChange, Attributes, Caller, Cursor, Device,
    EndSession, Entry, HandleId, InodeKind, LayoutChange, Mode, Mutate, Mutation, MutationReply,
    Name, NewNode, OpenChain, OpenSession, OpenSessionReply, Path, Place, Query, QueryReply,
    RemoveKind, RenameFlags, RenewSession, RenewSessionReply, SetTime, Setting, Slot, Space,
    SymlinkTarget, Time, WrittenRange,
};

const INODE: InodeId = InodeId(0x0000_0000_0001_0002);
const CLIENT: ClientId = ClientId(900);

fn name() -> Name {
    Name::new("model.pt").expect("a name")
}

fn place() -> Place {
    Place { start: INODE, path: Path::new("data/../runs").expect("a path") }
}

fn caller(groups: Option<Vec<u32>>) -> Caller {
    Caller { uid: 1000, gid: 1000, groups }
}

fn attributes() -> Attributes {
    let layout = FileLayout {
        chunk_size: ChunkSize::DEFAULT,
        stripe: StripeWidth::new(4).expect("not empty"),
        table: TableId(1),
        table_version: TableVersion(1),
        seed: 42,
    };
    let data = FileData { id: DataId(7), layout, dense_to: ByteLen(5), exact: true, cut: None };
    let time = |seconds| Time { seconds, nanos: 999_999_999 };
    Attributes {
        inode: INODE,
        kind: InodeKind::File,
        mode: Mode(0o4755),
        uid: 1000,
        gid: 100,
        nlink: 2,
        size: ByteLen(5_000_000_000),
        atime: time(-1),
        mtime: time(1),
        ctime: time(1_800_000_000),
        device: Device(0x0801),
        change: ChangeNumber(12),
        lease_ms: 0,
        data: Some(data),
        layout: None,
    }
}

/// Of a directory that says what new files in it get.
fn of_directory() -> Attributes {
    let layout =
        DirectoryLayout { chunk_size: Some(ChunkSize::MAX), stripe: None, table: Some(TableId(2)) };
    let kind = InodeKind::Directory;
    Attributes { kind, data: None, layout: Some(layout), ..attributes() }
}

fn layouts() -> [Mutation; 2] {
    let said = LayoutChange {
        inherit: false,
        chunk_size: Some(Setting::Is(ChunkSize::MAX)),
        stripe: Some(Setting::Is(StripeWidth::new(8).expect("not empty"))),
        table: Some(Setting::Default),
    };
    let inherit = LayoutChange { inherit: true, ..LayoutChange::default() };
    [said, inherit].map(|change| Mutation::SetLayout { of: place(), change })
}

/// Of a file that was cut.
fn of_cut() -> Attributes {
    let data = attributes().data.map(|data| FileData { cut: Some(Sequence(6)), ..data });
    Attributes { data, ..attributes() }
}

fn reports() -> [Mutation; 2] {
    [None, Some(Sequence(6))].map(|since| Mutation::Report {
        inode: INODE,
        handle: HandleId(3),
        written: Some(WrittenRange { start: FileOffset(4), end: FileOffset(9), since }),
        close: true,
    })
}

fn mutations() -> Vec<Mutation> {
    let (parent, write) = (place(), Some(HandleId(3)));
    let time = Time { seconds: 1, nanos: 2 };
    let change = AttributeChange {
        mode: Some(Mode(0o644)),
        uid: Some(1),
        gid: Some(2),
        size: Some(ByteLen(9)),
        atime: Some(SetTime::Now),
        mtime: Some(SetTime::At(time)),
        handle: write,
    };
    let target = SymlinkTarget::new("../elsewhere").expect("a target");
    let node = |node| Mutation::MakeNode { parent: place(), name: name(), mode: Mode(0o755), node };
    let remove = |kind| Mutation::Remove { parent: place(), name: name(), kind };
    let mutations = vec![
        Mutation::Create {
            parent: parent.clone(),
            name: name(),
            mode: Mode(0o644),
            exclusive: true,
            truncate: false,
            read: true,
            write,
            chunk_size: Some(ChunkSize::MIN),
        },
        node(NewNode::Directory),
        node(NewNode::Symlink(target)),
        node(NewNode::Special(InodeKind::CharDevice, Device(0x0103))),
        Mutation::Link { file: Place::inode(INODE), parent: parent.clone(), name: name() },
        remove(RemoveKind::File),
        remove(RemoveKind::Directory),
        remove(RemoveKind::Tree),
        Mutation::Rename {
            parent: parent.clone(),
            name: name(),
            new_parent: Place::inode(INODE),
            new_name: name(),
            flags: RenameFlags(1),
        },
        Mutation::SetAttributes { of: parent.clone(), follow: true, change },
        Mutation::Open { file: parent, read: true, write: None, truncate: true },
        Mutation::Reserve { inode: INODE, handle: HandleId(3), len: ByteLen(10) },
    ];
    mutations.into_iter().chain(reports()).chain(layouts()).collect()
}

fn changing() -> Vec<Sample> {
    let slot = Slot { client: CLIENT, slot: 2, sequence: Sequence(41) };
    let mutate = |mutation| Mutate { slot, caller: caller(Some(vec![4, 24])), mutation };
    let replies = [
        MutationReply::Inode { attributes: attributes(), created: true },
        MutationReply::Done,
        MutationReply::Reserved { at: FileOffset(4), attributes: attributes() },
        MutationReply::GroupsNeeded,
    ];
    let mutations = mutations().into_iter().map(|m| ("Mutate", bytes_of(&mutate(m))));
    mutations.chain(replies.iter().map(|r| ("MutationReply", bytes_of(r)))).collect()
}

fn asking() -> Vec<Sample> {
    let queries = [
        Query::Attributes { of: Place::entry(INODE, &name()), follow: false },
        Query::List { directory: place(), after: Cursor(9), limit: 100, attributes: true },
        Query::ReadLink { link: place() },
        Query::Access { of: place(), access: Access(5) },
        Query::Space,
    ];
    let entry = |attributes| Entry {
        name: name(),
        cursor: Cursor(9),
        inode: INODE,
        kind: InodeKind::Symlink,
        attributes,
    };
    let page = QueryReply::Entries {
        directory: attributes(),
        parent: InodeId(1),
        entries: vec![entry(None), entry(Some(attributes()))],
        end: false,
    };
    let space = Space { total: ByteLen(1 << 50), free: ByteLen(1 << 49), inodes: 12 };
    let replies = [
        QueryReply::Attributes(attributes()),
        QueryReply::Attributes(of_cut()),
        QueryReply::Attributes(of_directory()),
        page,
        QueryReply::Target(SymlinkTarget::new("x").expect("a target")),
        QueryReply::Space(space),
        QueryReply::GroupsNeeded,
    ];
    let ask = |query| bytes_of(&Ask { caller: caller(None), query });
    let queries = queries.into_iter().map(|query| ("Ask", ask(query)));
    queries.chain(replies.iter().map(|r| ("QueryReply", bytes_of(r)))).collect()
}

fn sessions() -> Vec<Sample> {
    let open = OpenSession { start: 8, host: "gpu-17".into(), what: "mount /mnt/ember".into() };
    let opened = OpenSessionReply { client: CLIENT, slots: 64, lease_ms: 30_000 };
    let waiting = OpenChain { chain: ChainId(4), low_water: Sequence(66) };
    let renewal = RenewSession { client: CLIENT, others: Sequence(70), open: vec![waiting] };
    vec![
        ("OpenSession", bytes_of(&open)),
        ("OpenSessionReply", bytes_of(&opened)),
        ("RenewSession", bytes_of(&renewal)),
        ("RenewSessionReply", bytes_of(&RenewSessionReply { lease_ms: 30_000 })),
        ("EndSession", bytes_of(&EndSession { client: CLIENT })),
        ("AskHeld", bytes_of(&AskHeld { inodes: vec![INODE, InodeId(3)] })),
        ("AskHeldReply", bytes_of(&AskHeldReply { held: vec![InodeId(3)] })),
    ]
}

pub(super) fn samples() -> Vec<Sample> {
    [changing(), asking(), sessions()].concat()
}
