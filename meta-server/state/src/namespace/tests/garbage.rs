//! What has lost its last name.

use emberfs_layout::{ByteLen, Sequence};
use emberfs_wire::FsError::Stale;
use emberfs_wire::meta::{Place, RemoveKind};

use super::invariants;
use super::world::{World, create, link, mkdir, remove, report, root, symlink};
use crate::Body;
use crate::namespace::{GarbageWork, garbage};

fn queue(world: &World) -> Vec<GarbageWork> {
    garbage(&world.store, None, 1_000).expect("memory")
}

#[test]
fn a_file_stays_until_its_last_holder_lets_go() {
    let mut world = World::new();
    let file = world.done(&root(), create("f", 0o644, Some(1))).expect("an inode").inode;
    world.done(&root(), link("f", "g"));
    world.done(&root(), remove("f", RemoveKind::File));
    assert!(queue(&world).is_empty(), "it has another name");
    world.done(&root(), remove("g", RemoveKind::File));
    let work = queue(&world)[0];
    assert_eq!((work.inode, work.entries, work.written), (file, 0, true));
    world.run(Body::FinishRemoval { place: work.place });
    world.done(&root(), report(file, 1, Some((0, 9)), true));
    let held = world.attributes(&root(), Place::inode(file), true).expect("it is held");
    assert_eq!((held.nlink, held.size), (0, ByteLen(9)));
    let work = queue(&world)[0];
    assert_eq!((work.data, work.len), (held.data, ByteLen(9)));
    world.run(Body::FinishRemoval { place: work.place });
    world.run(Body::FinishRemoval { place: work.place });
    assert_eq!(world.attributes(&root(), Place::inode(file), true), Err(Stale));
    assert_eq!(world.inodes(), 1);
    invariants::check(&world);
}

#[test]
fn a_removed_file_under_truncation_leaves_nothing() {
    let mut world = World::new();
    let file = world.done(&root(), create("f", 0o644, Some(1))).expect("an inode").inode;
    world.done(&root(), report(file, 1, Some((0, 9)), true));
    world.begin(&root(), super::world::resize("f", 3));
    world.done(&root(), remove("f", RemoveKind::File));
    world.collect();
    let work = crate::namespace::pending_truncations(&world.store, None, 9);
    assert!(work.expect("memory").is_empty());
    invariants::check(&world);
}

#[test]
fn a_tree_is_detached_at_once_and_unfolded_in_steps() {
    let mut world = World::new();
    world.done(&root(), mkdir("t", 0o755));
    world.done(&root(), mkdir("t/d", 0o755));
    for i in 0..1_100 {
        world.done(&root(), create(&format!("t/f{i}"), 0o644, None));
    }
    world.done(&root(), symlink("t/d/l", "x"));
    world.done(&root(), link("t/f0", "kept"));
    world.done(&root(), remove("t", RemoveKind::Tree));
    assert!(world.stat(&root(), "t").is_err());
    let [tree] = queue(&world)[..] else { panic!("one tree") };
    assert_eq!(tree.entries, 1_101);
    world.run(Body::FinishRemoval { place: tree.place });
    assert_eq!(queue(&world).len(), 1, "it still has entries");
    world.run(Body::UnfoldGarbage { place: tree.place });
    invariants::check(&world);
    assert_eq!(queue(&world)[0].entries, 1_101 - 1_024);
    let behind = garbage(&world.store, Some(tree.place), 2).expect("memory");
    assert_eq!(behind.len(), 2);
    world.collect();
    invariants::check(&world);
    assert_eq!(world.stat(&root(), "kept").expect("has another name").nlink, 1);
    assert_eq!(world.inodes(), 2);
    world.run(Body::UnfoldGarbage { place: Sequence(1) });
    assert!(queue(&world).is_empty(), "a late step does nothing");
}
