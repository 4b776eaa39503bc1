//! Samples of what servers and operators say to the metadata leader.

use emberfs_layout::{
    BootNumber, ByteLen, ChainId, ChainVersion, ChunkId, ChunkIndex, ChunkOffset, ChunkSize,
    ClientId, ClusterId, DataId, DiskId, FileId, FileSystemId, KernelId, NodeId, RoutingVersion,
    Sequence, TableId, TableVersion, TargetId,
};

use super::{Sample, bytes_of};
use crate::cluster::{
    AdminOrder, Administer, AdministerReply, Chain, ChainMember, ChainTable, ClientStatus, Disk,
    DiskDamage, DiskLoad, DiskReport, DomainId, GetClients, GetClientsReply, GetRouting,
    GetRoutingReply, GetStatus, GetStatusReply, Growth, Heartbeat, HeartbeatReply, Hindrance,
    LocalState, Node, NodeLoad, NodeStatus, PublicState, Register, RegisterReply, RoutingDelta,
    SessionMark, TakenIn, TargetReport, TellRouting, TellRoutingReply, WantedMark,
};
use crate::meta::Time;

const CLUSTER: ClusterId = ClusterId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
const DISK: DiskId = DiskId(0xd15c);
const FILE_SYSTEM: FileSystemId = FileSystemId { kernel: KernelId(0xb007), device: 0x801 };

const LOAD: NodeLoad = NodeLoad {
    window_ms: 5000,
    requests: 1200,
    received: ByteLen(1 << 27),
    sent: ByteLen(1 << 28),
};
const DISK_LOAD: DiskLoad = DiskLoad {
    window_ms: 5000,
    read: ByteLen(1 << 28),
    written: ByteLen(1 << 27),
    read_p99_us: Some(180),
    sync_p99_us: Some(2400),
};

fn disk() -> Disk {
    Disk { id: DISK, node: NodeId(3), targets: vec![TargetId(11), TargetId(12)] }
}

fn table() -> ChainTable {
    ChainTable {
        id: TableId(1),
        version: TableVersion(1),
        chains: vec![ChainId(4)],
        lengths: vec![1],
        replicas: 3,
        chunk_size: Some(ChunkSize::DEFAULT),
        is_default: true,
    }
}

fn delta() -> RoutingDelta {
    let node = Node {
        id: NodeId(3),
        name: "storage-1".into(),
        addresses: vec!["[::1]:7001".into()],
        boot: BootNumber(17),
        domain: DomainId(3),
    };
    let states = [
        PublicState::Serving,
        PublicState::Syncing,
        PublicState::Waiting,
        PublicState::LastServing,
        PublicState::Offline,
    ];
    let member = |state| ChainMember { target: TargetId(11), state };
    let chain = Chain {
        id: ChainId(4),
        version: ChainVersion(9),
        members: states.map(member).to_vec(),
        min_serving: 2,
    };
    RoutingDelta {
        version: RoutingVersion(30),
        more: true,
        nodes: vec![node],
        disks: vec![disk()],
        chains: vec![chain],
        tables: vec![table()],
    }
}

fn reports() -> (Vec<TargetReport>, Vec<DiskReport>) {
    let unreadable = Hindrance::Unreadable(ChunkId::new(DataId(41), ChunkIndex(3)));
    let target = |(state, hindrance)| {
        let (target, chain) = (TargetId(11), ChainVersion(9));
        TargetReport { target, state, chain, hindrance }
    };
    let targets = [
        (LocalState::UpToDate, Some(unreadable)),
        (LocalState::Online, Some(Hindrance::NoRoom)),
        (LocalState::Offline, None),
    ];
    let targets = targets.map(target);
    let room = ByteLen(1 << 38);
    let growth = Growth { file_system: FILE_SYSTEM, counted: room, room };
    let chunk = ChunkId::new(DataId(40), ChunkIndex(2));
    let at = ChunkOffset(8192);
    let damage = DiskDamage { chunks: 3, target: TargetId(11), chunk, at };
    let bare = DiskReport {
        disk: DISK,
        capacity: ByteLen(1 << 40),
        used: ByteLen(1 << 30),
        growth: None,
        damage: None,
        load: None,
    };
    let full =
        DiskReport { growth: Some(growth), damage: Some(damage), load: Some(DISK_LOAD), ..bare };
    (targets.to_vec(), vec![bare, full])
}

fn servers() -> Vec<Sample> {
    let register = Register {
        start: 5,
        node: None,
        name: "storage-1".into(),
        addresses: vec!["127.0.0.1:7001".into()],
        domain: Some(DomainId(2)),
        disks: vec![DISK],
        lock: Some(FileId { file_system: FILE_SYSTEM, number: 77 }),
    };
    let (targets, disks) = reports();
    let heartbeat = Heartbeat {
        node: NodeId(3),
        boot: BootNumber(17),
        targets,
        disks,
        routing: RoutingVersion(29),
        ended: Sequence(4),
        marks_wanted: vec![WantedMark { client: ClientId(902), chain: ChainId(4) }],
        load: Some(LOAD),
    };
    let mark = SessionMark {
        client: ClientId(902),
        chain: ChainId(4),
        low_water: Sequence(65),
        version: ChainVersion(3),
    };
    let granted = HeartbeatReply {
        lease_ms: 1500,
        routing: delta(),
        ended: vec![ClientId(900)],
        ended_to: Sequence(5),
        marks: vec![mark],
    };
    let routing = GetRoutingReply { cluster: CLUSTER, delta: delta() };
    let registered = RegisterReply::TakenIn(TakenIn {
        node: NodeId(3),
        boot: BootNumber(17),
        sessions: vec![ClientId(871), ClientId(902)],
        next_session: ClientId(911),
    });
    let refused = RegisterReply::Refused { text: "node-3 runs at [::1]:7001".into() };
    vec![
        ("Register", bytes_of(&register)),
        ("RegisterReply", bytes_of(&registered)),
        ("RegisterReply", bytes_of(&refused)),
        ("Heartbeat", bytes_of(&heartbeat)),
        ("HeartbeatReply", bytes_of(&granted)),
        ("GetRouting", bytes_of(&GetRouting { since: RoutingVersion(29) })),
        ("GetRoutingReply", bytes_of(&routing)),
        ("TellRouting", bytes_of(&TellRouting { since: RoutingVersion(29), delta: delta() })),
        ("TellRoutingReply", bytes_of(&TellRoutingReply { version: RoutingVersion(30) })),
    ]
}

fn operators() -> Vec<Sample> {
    let add = AdminOrder::AddDisk { disk: DISK, targets: 4 };
    let create = AdminOrder::CreateTable {
        replicas: 3,
        min_serving: None,
        chunk_size: Some(ChunkSize::DEFAULT),
        disks: vec![DISK],
        is_default: true,
    };
    let order = |order| bytes_of(&Administer { order_id: 77, order });
    let refused = AdministerReply::Refused { text: "no free targets".into() };
    let (targets, disks) = reports();
    let (heard_ms_ago, load) = (Some(120), Some(LOAD));
    let node = NodeStatus { node: NodeId(3), heard_ms_ago, disks, targets, load };
    let status = GetStatusReply {
        cluster: CLUSTER,
        leader: NodeId(1),
        nodes: vec![node],
        sessions: 2,
        lease_ms: Some(3000),
        load: Some(LOAD),
    };
    let client = ClientStatus {
        client: ClientId(900),
        host: "login-1".into(),
        what: "mount at /mnt/a".into(),
        opened: Time { seconds: 1_700_000_000, nanos: 5 },
        heard_ms_ago: Some(2000),
        writers: 3,
    };
    let clients = GetClientsReply { clients: vec![client], more: true, lease_ms: 30_000 };
    vec![
        ("Administer", order(add)),
        ("Administer", order(create)),
        ("AdministerReply", bytes_of(&AdministerReply::DiskAdded(disk()))),
        ("AdministerReply", bytes_of(&AdministerReply::TableCreated(table()))),
        ("AdministerReply", bytes_of(&refused)),
        ("GetStatus", bytes_of(&GetStatus {})),
        ("GetStatusReply", bytes_of(&status)),
        ("GetClients", bytes_of(&GetClients { after: ClientId(0) })),
        ("GetClientsReply", bytes_of(&clients)),
    ]
}

pub(super) fn samples() -> Vec<Sample> {
    [servers(), operators()].concat()
}
