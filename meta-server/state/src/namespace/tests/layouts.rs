//! What new files get: from their directory, else from the cluster.

use emberfs_layout::{ChunkSize, DirectoryLayout, FileLayout, TableId};
use emberfs_wire::FsError::{InvalidArgument, NoSpace, NotADirectory, NotPermitted};
use emberfs_wire::meta::{LayoutChange, Setting};

use super::world::{World, create, layout, mkdir, rename, root, set_layout, symlink, user};

/// Chunk size as its logarithm, stripe, table.
type Short = (u8, u32, u32);

fn short(layout: FileLayout) -> Short {
    (layout.chunk_size.log2(), layout.stripe.get(), layout.table.get())
}

/// The layout of a file, made now if it is not there.
fn of_file(world: &mut World, path: &str) -> Short {
    let made = world.done(&root(), create(path, 0o644, None)).expect("an inode");
    short(made.data.expect("a file").layout)
}

fn said(world: &World, path: &str) -> Option<DirectoryLayout> {
    world.stat(&root(), path).expect("is there").layout
}

const NOTHING: LayoutChange =
    LayoutChange { inherit: false, chunk_size: None, stripe: None, table: None };
const INHERIT: LayoutChange = LayoutChange { inherit: true, ..NOTHING };

#[test]
fn a_file_gets_what_its_directory_says_else_its_table_else_the_cluster() {
    let mut world = World::new();
    world.second_table(false);
    for (name, change, wanted) in [
        ("plain", NOTHING, (16, 16, 1)),
        ("chunks", layout(Some(23), None, None), (23, 16, 1)),
        ("narrow", layout(None, Some(3), None), (16, 3, 1)),
        ("second", layout(None, None, Some(2)), (20, 4, 2)),
        ("all", layout(Some(17), Some(2), Some(2)), (17, 2, 2)),
    ] {
        world.done(&root(), mkdir(name, 0o755));
        world.done(&root(), set_layout(name, change));
        assert_eq!(of_file(&mut world, &format!("{name}/f")), wanted, "{name}");
    }
    let mut own = create("all/own", 0o644, None);
    let emberfs_wire::meta::Mutation::Create { chunk_size, .. } = &mut own else { unreachable!() };
    *chunk_size = Some(ChunkSize::MAX);
    let made = world.done(&root(), own).expect("an inode").data.expect("a file");
    assert_eq!(short(made.layout), (26, 2, 2), "who makes it may say its chunk size");
}

#[test]
fn a_layout_stays_with_what_is_there() {
    let mut world = World::new();
    world.second_table(false);
    world.done(&root(), mkdir("d", 0o755));
    world.done(&root(), mkdir("d/before", 0o755));
    assert_eq!(of_file(&mut world, "d/old"), (16, 16, 1));
    world.done(&root(), set_layout("d", layout(Some(20), Some(2), Some(2))));
    world.done(&root(), mkdir("d/after", 0o755));
    assert_eq!(of_file(&mut world, "d/old"), (16, 16, 1), "a file keeps its own");
    assert_eq!(of_file(&mut world, "d/new"), (20, 2, 2));
    assert_eq!(of_file(&mut world, "d/before/f"), (16, 16, 1), "so does a directory");
    assert_eq!(of_file(&mut world, "d/after/f"), (20, 2, 2));
    assert_eq!((said(&world, "d/before"), said(&world, "d/after")), (None, said(&world, "d")));

    world.done(&root(), set_layout("d", layout(Some(26), None, None)));
    assert_eq!(of_file(&mut world, "d/after/g"), (20, 2, 2), "changes above do not come down");
    world.done(&root(), mkdir("elsewhere", 0o755));
    world.done(&root(), rename("d/after", "elsewhere/moved"));
    assert_eq!(of_file(&mut world, "elsewhere/moved/h"), (20, 2, 2), "and it moves with it");
    world.done(&root(), set_layout("elsewhere/moved", INHERIT));
    assert_eq!(said(&world, "elsewhere/moved"), None);
    assert_eq!(of_file(&mut world, "elsewhere/moved/i"), (16, 16, 1));
}

#[test]
fn settings_change_one_by_one_and_go_back_to_the_cluster() {
    let mut world = World::new();
    world.done(&root(), mkdir("d", 0o755));
    world.done(&root(), symlink("link", "d"));
    world.done(&root(), set_layout("link", layout(Some(22), None, None)));
    world.done(&root(), set_layout("d", layout(None, Some(5), None)));
    assert_eq!(of_file(&mut world, "d/f"), (22, 5, 1));
    let before = world.stat(&root(), "d").expect("is there");
    world.done(&root(), set_layout("d", NOTHING));
    assert_eq!(world.stat(&root(), "d"), Ok(before), "nothing said, nothing changed");
    let back = LayoutChange { chunk_size: Some(Setting::Default), ..NOTHING };
    let after = world.done(&root(), set_layout("d", back)).expect("an inode");
    assert_eq!((after.change, after.mtime), (before.change.next(), before.mtime));
    assert_eq!(of_file(&mut world, "d/g"), (16, 5, 1));
    let all =
        LayoutChange { stripe: Some(Setting::Default), table: Some(Setting::Default), ..back };
    world.done(&root(), set_layout("d", all));
    assert_eq!(said(&world, "d"), None);

    // The root is a directory as others: what it says goes to all that is made from then on.
    world.done(&root(), set_layout("", layout(Some(24), None, None)));
    world.done(&root(), mkdir("e", 0o755));
    assert_eq!(of_file(&mut world, "e/f"), (24, 16, 1));
    world.done(&root(), set_layout("", INHERIT));
    assert_eq!(said(&world, ""), None);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let mut world = World::new();
    world.second_table(false);
    world.done(&user(1, &[]), mkdir("d", 0o777));
    of_file(&mut world, "f");
    let mut no = |who, path, change| world.refused(who, set_layout(path, change));
    let (owner, other) = (user(1, &[]), user(2, &[1]));
    assert_eq!(no(&other, "d", layout(Some(20), None, None)), NotPermitted);
    assert_eq!(no(&other, "d", NOTHING), NotPermitted);
    assert_eq!(no(&other, "f", layout(Some(20), None, None)), NotADirectory);
    assert_eq!(no(&owner, "", INHERIT), NotPermitted);
    assert_eq!(no(&owner, "d", layout(None, None, Some(3))), InvalidArgument);
    assert_eq!(no(&owner, "d", layout(None, Some(21), None)), InvalidArgument);
    assert_eq!(no(&owner, "d", layout(None, Some(5), Some(2))), InvalidArgument);
    world.done(&owner, set_layout("d", layout(None, Some(20), None)));
    let wide = world.refused(&owner, set_layout("d", layout(None, None, Some(2))));
    assert_eq!(wide, InvalidArgument, "its stripe is wider than that table");
    world.done(&owner, set_layout("d", layout(None, Some(4), Some(2))));
    world.done(&root(), set_layout("d", layout(Some(21), None, None)));
    assert_eq!(of_file(&mut world, "d/f"), (21, 4, 2));
}

#[test]
fn a_new_default_takes_what_is_left_to_the_cluster() {
    let mut world = World::new();
    world.done(&root(), mkdir("left", 0o755));
    world.done(&root(), set_layout("left", layout(None, Some(18), None)));
    world.done(&root(), mkdir("first", 0o755));
    world.done(&root(), set_layout("first", layout(None, None, Some(1))));
    world.second_table(true);
    assert_eq!(of_file(&mut world, "f"), (20, 4, 2));
    assert_eq!(of_file(&mut world, "first/f"), (16, 16, 1));
    assert_eq!(of_file(&mut world, "left/f"), (20, 4, 2), "as wide as its table allows");
    // What is not said anew is not in the way of what is.
    world.done(&root(), set_layout("left", layout(Some(22), None, None)));
    assert_eq!(of_file(&mut world, "left/g"), (22, 4, 2));
}

#[test]
fn before_the_first_table_nothing_can_be_said_of_tables() {
    let mut world = World::empty();
    world.done(&root(), mkdir("d", 0o755));
    world.done(&root(), set_layout("d", layout(Some(20), None, None)));
    let no = [layout(None, Some(1), None), layout(None, None, Some(1))]
        .map(|change| world.refused(&root(), set_layout("d", change)));
    assert_eq!(no, [InvalidArgument; 2]);
    assert_eq!(world.refused(&root(), create("d/f", 0o644, None)), NoSpace);
    let wanted = DirectoryLayout { chunk_size: Some(ChunkSize::DEFAULT), ..Default::default() };
    assert_eq!(said(&world, "d"), Some(wanted));
    assert_eq!(said(&world, "d").and_then(|said| said.table), None::<TableId>);
}
