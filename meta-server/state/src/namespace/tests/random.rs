//! Random operations by several users: the real tree does what the model does.

use std::collections::BTreeSet;

use emberfs_layout::{ByteLen, ChunkSize, StripeWidth, TableId};
use emberfs_wire::FsError;
use emberfs_wire::meta::{
    Access, AttributeChange, Attributes, Caller, Cursor, InodeKind, LayoutChange, Mode, Mutation,
    Query, QueryReply, RemoveKind, RenameFlags, Setting,
};
use proptest::prelude::*;

use super::invariants;
use super::model::{Kind, Layout, Model};
use super::world::{
    World, at, create, link, mkdir, remove, rename_with, resize, root, set, set_layout, symlink,
    user,
};
use crate::namespace::Answer;

/// Directories, as paths from the root, good and bad.
const WAYS: [&str; 12] =
    ["", "a", "b", "a/b", "b/a", "a/b/c", "c", "a/..", "a/c/", "/b/./c", "c/a", "b/../a/b"];
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const TARGETS: [&str; 8] = ["a", "/a", "b/c", "../b", "c", ".", "a/", "../a/d"];
const MODES: [u16; 10] = [0o777, 0o755, 0o700, 0o750, 0o1777, 0o2775, 0o6777, 0o500, 0o070, 0o000];

/// A path: a way and a name in it.
type Spot = (usize, usize);

#[derive(Clone, Debug)]
enum Step {
    Create(Spot, usize, bool, bool),
    Mkdir(Spot, usize),
    Symlink(Spot, usize),
    Link(Spot, Spot),
    Remove(Spot, char),
    Rename(Spot, Spot, RenameFlags),
    Chmod(Spot, usize),
    Chown(Spot, Option<u32>, Option<u32>),
    Resize(Spot, u64),
    SetLayout(Spot, bool, [Option<Option<u32>>; 3]),
    Access(Spot, u8),
    Collect,
}

fn spot() -> impl Strategy<Value = Spot> {
    (0..WAYS.len(), 0..NAMES.len())
}

/// Of a layout: chunk size as its logarithm, stripe, table, of which there are two.
fn settings() -> impl Strategy<Value = [Option<Option<u32>>; 3]> {
    let said = |values: std::ops::RangeInclusive<u32>| {
        prop::option::of(prop::option::weighted(0.8, values))
    };
    (said(16..=26), said(1..=22), said(1..=3))
        .prop_map(|(chunk, stripe, table)| [chunk, stripe, table])
}

/// As the wire has it.
fn layout_change(inherit: bool, [chunk, stripe, table]: [Option<Option<u32>>; 3]) -> LayoutChange {
    fn setting<T>(said: Option<Option<u32>>, make: impl Fn(u32) -> T) -> Option<Setting<T>> {
        said.map(|said| said.map_or(Setting::Default, |value| Setting::Is(make(value))))
    }
    let size = |log2| ChunkSize::from_log2(u8::try_from(log2).expect("small")).expect("a size");
    LayoutChange {
        inherit,
        chunk_size: setting(chunk, size),
        stripe: setting(stripe, |width| StripeWidth::new(width).expect("not empty")),
        table: setting(table, TableId),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let mode = 0..MODES.len();
    let id = || prop::option::of(prop::sample::select(vec![1_u32, 2, 7]));
    prop_oneof![
        4 => (spot(), mode.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(at, mode, exclusive, truncate)| Step::Create(at, mode, exclusive, truncate)),
        6 => (spot(), mode.clone()).prop_map(|(at, mode)| Step::Mkdir(at, mode)),
        3 => (spot(), 0..TARGETS.len()).prop_map(|(at, target)| Step::Symlink(at, target)),
        2 => (spot(), spot()).prop_map(|(from, to)| Step::Link(from, to)),
        4 => (spot(), prop::sample::select(vec!['f', 'd', 't']))
            .prop_map(|(at, which)| Step::Remove(at, which)),
        5 => (spot(), spot()).prop_map(|(from, to)| Step::Rename(from, to, RenameFlags::default())),
        2 => (spot(), spot(), 1_u32..=2)
            .prop_map(|(from, to, flags)| Step::Rename(from, to, RenameFlags(flags))),
        2 => (spot(), mode).prop_map(|(at, mode)| Step::Chmod(at, mode)),
        2 => (spot(), id(), id()).prop_map(|(at, uid, gid)| Step::Chown(at, uid, gid)),
        2 => (spot(), 0_u64..200_000).prop_map(|(at, size)| Step::Resize(at, size)),
        4 => (spot(), prop::bool::weighted(0.2), settings())
            .prop_map(|(at, inherit, said)| Step::SetLayout(at, inherit, said)),
        2 => (spot(), 0_u8..8).prop_map(|(at, bits)| Step::Access(at, bits)),
        1 => Just(Step::Collect),
    ]
}

fn path((way, name): Spot) -> String {
    format!("{}/{}", WAYS[way].trim_end_matches('/'), NAMES[name])
}

fn callers() -> [Caller; 4] {
    [root(), user(1, &[7]), user(2, &[7, 1]), user(3, &[])]
}

fn mutation(step: &Step) -> Option<Mutation> {
    let change = AttributeChange::default();
    Some(match *step {
        Step::Create(at, mode, is_exclusive, cuts) => {
            let mut made = create(&path(at), MODES[mode], None);
            let Mutation::Create { exclusive, truncate, .. } = &mut made else { unreachable!() };
            (*exclusive, *truncate) = (is_exclusive, cuts);
            made
        }
        Step::Mkdir(at, mode) => mkdir(&path(at), MODES[mode]),
        Step::Symlink(at, target) => symlink(&path(at), TARGETS[target]),
        Step::Link(from, to) => link(&path(from), &path(to)),
        Step::Remove(at, which) => {
            let kind = match which {
                'f' => RemoveKind::File,
                'd' => RemoveKind::Directory,
                _ => RemoveKind::Tree,
            };
            remove(&path(at), kind)
        }
        Step::Rename(from, to, flags) => rename_with(&path(from), &path(to), flags),
        Step::Chmod(at, mode) => {
            set(&path(at), AttributeChange { mode: Some(Mode(MODES[mode])), ..change })
        }
        Step::Chown(at, uid, gid) => set(&path(at), AttributeChange { uid, gid, ..change }),
        Step::Resize(at, size) => resize(&path(at), size),
        Step::SetLayout(at, inherit, said) => set_layout(&path(at), layout_change(inherit, said)),
        Step::Access(..) | Step::Collect => return None,
    })
}

fn expected(model: &mut Model, who: &Caller, step: &Step) -> Result<(), FsError> {
    let way = |(way, _): Spot| WAYS[way].trim_end_matches('/');
    let name = |(_, name): Spot| NAMES[name];
    match *step {
        Step::Create(at, mode, exclusive, truncate) => {
            let how = (exclusive, truncate);
            model.create(who, way(at), name(at), MODES[mode], how).map(drop)
        }
        Step::Mkdir(at, mode) => model.make(who, way(at), name(at), None, MODES[mode]).map(drop),
        Step::Symlink(at, target) => {
            model.make(who, way(at), name(at), Some(TARGETS[target]), 0).map(drop)
        }
        Step::Link(from, to) => model.link(who, &path(from), way(to), name(to)),
        Step::Remove(at, which) => model.remove(who, way(at), name(at), which),
        Step::Rename(from, to, flags) => {
            model.rename(who, (way(from), name(from)), (way(to), name(to)), flags)
        }
        Step::Chmod(at, mode) => model.chmod(who, &path(at), MODES[mode]),
        Step::Chown(at, uid, gid) => model.chown(who, &path(at), (uid, gid)),
        Step::Resize(at, size) => model.resize(who, &path(at), size),
        Step::SetLayout(at, inherit, said) => model.set_layout(who, &path(at), (inherit, said)),
        Step::Access(at, bits) => {
            let found = model.find(who, &path(at), true)?;
            let allowed = model.may(who, found, bits.into());
            if allowed { Ok(()) } else { Err(FsError::PermissionDenied) }
        }
        Step::Collect => Ok(()),
    }
}

fn carry_out(world: &mut World, who: &Caller, step: &Step) -> Result<(), FsError> {
    if let Some(mutation) = mutation(step) {
        return world.mutate(who, mutation).map(drop);
    }
    if let Step::Access(spot, bits) = *step {
        let query = Query::Access { of: at(&path(spot)), access: Access(bits) };
        return match world.ask(who, query) {
            Answer::Reply(QueryReply::Attributes(_)) => Ok(()),
            Answer::Refused(why) => Err(why),
            other => panic!("{other:?}"),
        };
    }
    world.collect();
    Ok(())
}

/// Compares all that is below a directory.
fn compare(world: &World, model: &Model, path: &str, id: usize) {
    let mut entries = Vec::new();
    let mut after = Cursor::START;
    loop {
        let (page, end) = world.page(path, after, 2);
        after = page.last().map_or(after, |last| last.cursor);
        entries.extend(page);
        if end {
            break;
        }
    }
    let names: BTreeSet<String> = entries.iter().map(|entry| entry.name.to_string()).collect();
    assert!(names.iter().eq(model.entries(id).keys()), "{path}: {names:?}");
    for entry in entries {
        let name = entry.name.to_string();
        let child = model.entries(id)[&name];
        let below = format!("{path}/{name}");
        let found = entry.attributes.expect("nobody died");
        assert_eq!(world.attributes(&root(), at(&below), false), Ok(found));
        same(model, child, &found, &below);
        if found.kind == InodeKind::Directory {
            compare(world, model, &below, child);
        }
    }
}

fn same(model: &Model, id: usize, found: &Attributes, path: &str) {
    let node = model.node(id);
    let kind = match node.kind {
        Kind::File { .. } => InodeKind::File,
        Kind::Link(_) => InodeKind::Symlink,
        Kind::Directory { .. } => InodeKind::Directory,
    };
    let real = (found.kind, found.mode, found.uid, found.gid, found.nlink, found.size);
    let size = ByteLen(model.size(id));
    let expected = (kind, Mode(node.mode), node.uid, node.gid, model.links(id), size);
    assert_eq!(real, expected, "{path}");
    assert_eq!(layout(found), node.layout, "{path}");
}

fn layout(found: &Attributes) -> Layout {
    let said = found.layout.unwrap_or_default();
    match found.data {
        Some(data) => {
            let layout = data.layout;
            let chunk = layout.chunk_size.log2().into();
            [chunk, layout.stripe.get(), layout.table.get()].map(Some)
        }
        None => [
            said.chunk_size.map(|size| size.log2().into()),
            said.stripe.map(StripeWidth::get),
            said.table.map(TableId::get),
        ],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_tree_is_the_model_s(
        steps in prop::collection::vec((0_usize..4, step()), 1..60),
    ) {
        let (mut world, mut model) = (World::new(), Model::new());
        world.second_table(false);
        for (i, (who, step)) in steps.iter().enumerate() {
            let who = &callers()[*who];
            let wanted = expected(&mut model, who, step);
            let found = carry_out(&mut world, who, step);
            prop_assert_eq!(found, wanted, "step {} by {}: {:?}", i, who.uid, step);
        }
        compare(&world, &model, "", 0);
        invariants::check(&world);
        world.collect();
        invariants::check(&world);
        prop_assert_eq!(world.inodes(), model.reachable());
    }
}
