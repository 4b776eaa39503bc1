//! The records, as they stand in a store.

use std::collections::BTreeSet;

use emberfs_layout::{
    BootNumber, ByteLen, ChainId, ChainVersion, ClientId, InodeId, Sequence, TargetId,
};
use emberfs_wire::cluster::{Chain, ChainMember, PublicState};
use emberfs_wire::meta::{Device, InodeKind, NewNode, OpenSession, RemoveKind};

use super::world::{
    World, create, layout, make, mkdir, open, remove, report, report_since, resize, root,
    set_layout, symlink,
};
use crate::keys::Kind;
use crate::transaction::put_record;
use crate::{Body, MemoryStore, Overlay, Transaction, View, apply, golden};

/// The records of the tree; its counters stand under [`Kind::Cluster`].
const KINDS: [Kind; 7] = [
    Kind::Inode,
    Kind::Entry,
    Kind::Writer,
    Kind::SessionWriter,
    Kind::Truncation,
    Kind::Garbage,
    Kind::LengthRecovery,
];

/// One of each record.
fn world() -> World {
    let mut world = World::new();
    let dead = world.client;
    let doubtful = world.done(&root(), create("doubtful", 0o644, Some(1))).expect("an inode");
    world.done(&root(), report(doubtful.inode, 1, Some((0, 70_000)), false));
    world.client = world.open_session(2);
    world.run(Body::EndSession(dead));
    world.done(&root(), create("file", 0o640, Some(2)));
    world.begin(&root(), resize("file", 5));
    world.done(&root(), mkdir("directory", 0o755));
    world.done(&root(), symlink("directory/link", "../file"));
    let pipe = NewNode::Special(InodeKind::Fifo, Device(0));
    world.done(&root(), make("pipe", 0o600, pipe));
    world.done(&root(), remove("pipe", RemoveKind::File));
    let cut = world.done(&root(), create("cut", 0o600, Some(3))).expect("an inode");
    world.done(&root(), resize("cut", 0));
    let since = world.stat(&root(), "cut").expect("is there").data.and_then(|data| data.cut);
    world.done(&root(), report_since(cut.inode, 3, (0, 9), since));
    world.done(&root(), set_layout("directory", layout(Some(22), Some(4), Some(1))));
    world
}

#[test]
fn records_are_pinned() {
    let world = world();
    let text = golden::dump(&world.store);
    for kind in KINDS {
        assert!(text.lines().any(|line| line.as_bytes()[0] == kind as u8), "no {kind:?}");
    }
    let mut tree = MemoryStore::default();
    for (key, value) in world.store.scan(&[0], &[0xff], usize::MAX).expect("memory") {
        if KINDS.iter().any(|kind| key[0] == *kind as u8) || key == b"Cnamespace" || key == b"Cid" {
            tree.put(&key, &value);
        }
    }
    golden::check("namespace", &tree);
}

#[test]
fn the_same_commands_make_the_same_store() {
    let world = world();
    let mut again = MemoryStore::default();
    for command in &world.log {
        apply(&mut again, command).expect("memory");
    }
    assert_eq!(golden::dump(&again), golden::dump(&world.store));
    let nothing = MemoryStore::default();
    let mut overlay = Overlay::new(&nothing);
    for command in &world.log {
        apply(&mut overlay, command).expect("memory");
    }
    let mut put = MemoryStore::default();
    overlay.into_changes().apply(&mut put);
    assert_eq!(put, again);
}

#[test]
fn commands_survive_the_log() {
    let world = world();
    for command in world.log {
        let mut bytes = Vec::new();
        emberfs_wire::encode(&command, &mut bytes);
        assert_eq!(emberfs_wire::decode::<crate::Command>(&bytes).expect("just written"), command);
    }
}

#[test]
fn commands_are_pinned() {
    let (inode, place, round) = (InodeId(3), Sequence(4), Sequence(5));
    let member = ChainMember { target: TargetId(6), state: PublicState::Serving };
    let version = ChainVersion(7);
    let chain = Chain { id: ChainId(8), version, members: vec![member], min_serving: 1 };
    let own = OpenSession { start: 9, host: "1".to_owned(), what: "metadata leader".to_owned() };
    let mut world = world();
    for body in [
        Body::ForgetEnded(place),
        Body::FinishTruncation { inode, round },
        Body::RecoverLength { inode, end: ByteLen(9), round },
        Body::UnfoldGarbage { place },
        Body::FinishRemoval { place },
        Body::SetChain { from: ChainVersion(6), chain, boots: vec![BootNumber(2)] },
        Body::Lead { earlier: vec![ClientId(2)], own, lease_ms: 3_000 },
        Body::SetLease(2_000),
    ] {
        world.run(body);
    }
    let mut log = MemoryStore::default();
    for (at, command) in (1_u8..).zip(&world.log) {
        put_record(&mut log, &[at], command);
    }
    golden::check("commands", &log);
    each_variant_is_there(world.log.iter().map(|command| &command.body));
}

/// The bodies are of all variants: their numbers have no gap, and what is behind them is none.
fn each_variant_is_there<'a>(bodies: impl Iterator<Item = &'a Body>) {
    let number = |body| {
        let bytes = minicbor::to_vec(body).expect("memory");
        let mut pair = minicbor::Decoder::new(&bytes);
        pair.array().and_then(|_| pair.u8()).expect("a variant is a pair")
    };
    let numbers: BTreeSet<u8> = bodies.map(number).collect();
    let next = *numbers.last().expect("some") + 1;
    assert_eq!(numbers, (0..next).collect());
    let behind = minicbor::to_vec((next, [0_u8; 0])).expect("memory");
    let error = minicbor::decode::<Body>(&behind).expect_err("no such variant");
    assert!(error.is_unknown_variant(), "{error}: a body without a command in the golden file");
}

#[test]
fn opened_again_a_file_is_the_same() {
    let mut world = world();
    let file = world.done(&root(), open("file", true, None, false)).expect("an inode");
    let data = file.data.expect("a file");
    assert_eq!(data.layout.stripe.get(), 16, "of twenty chains");
    assert_eq!(world.stat(&root(), "file").expect("is there").data, Some(data));
}
