//! One line for each rule of names: what is done, as whom, and what it is answered.

use emberfs_layout::{ByteLen, InodeId};
use emberfs_wire::FsError::{
    self, Exists, FileTooLarge, InvalidArgument, IsADirectory, NameTooLong, NoSpace, NotADirectory,
    NotEmpty, NotFound, NotPermitted, Stale, SymlinkLoop, TooManyLinks,
};
use emberfs_wire::meta::{
    AttributeChange, Device, InodeKind, Mutation, NewNode, Place, RemoveKind, RenameFlags, SetTime,
    Time,
};

use super::invariants;
use super::world::{
    World, at, create, link, make, mkdir, name, open, remove, rename, rename_with, resize, root,
    set, symlink, user,
};
use crate::namespace::operation::LINKS_MAX;

/// `/d` and `/d/e` are directories, `/d/f` a file, `/l` a link to it, `/x` one to itself, `/n` one to
/// nothing.
fn world() -> World {
    let mut world = World::new();
    for step in [
        mkdir("d", 0o755),
        mkdir("d/e", 0o755),
        create("d/f", 0o644, None),
        symlink("l", "d/f"),
        symlink("x", "x"),
        symlink("n", "d/none"),
    ] {
        world.done(&root(), step);
    }
    world
}

fn exclusive(path: &str) -> Mutation {
    let mut mutation = create(path, 0o644, None);
    let Mutation::Create { exclusive, .. } = &mut mutation else { unreachable!() };
    *exclusive = true;
    mutation
}

#[test]
fn refusals_of_names() {
    use RemoveKind::{Directory, File};
    let long = "n".repeat(256);
    let special = |kind| make("s", 0o600, NewNode::Special(kind, Device(1)));
    let table: Vec<(Mutation, FsError)> = vec![
        (mkdir("none/a", 0o755), NotFound),
        (mkdir("d/f/a", 0o755), NotADirectory),
        (mkdir(&format!("{long}/a"), 0o755), NameTooLong),
        (mkdir("d", 0o755), Exists),
        (mkdir("x/a", 0o755), SymlinkLoop),
        (symlink("n", "y"), Exists),
        (create("x", 0o644, None), SymlinkLoop),
        (create("d", 0o644, None), IsADirectory),
        (exclusive("d/f"), Exists),
        (exclusive("n"), Exists),
        (exclusive("d"), Exists),
        (open("none", true, None, false), NotFound),
        (open("d/f/", true, None, false), NotADirectory),
        (open("d", true, Some(1), false), IsADirectory),
        (open("d", false, None, true), IsADirectory),
        (link("d", "e"), NotPermitted),
        (link("d/f", "l"), Exists),
        (link("none", "e"), NotFound),
        (remove("none", File), NotFound),
        (remove("d", File), IsADirectory),
        (remove("d", Directory), NotEmpty),
        (remove("d/f", Directory), NotADirectory),
        (remove("l", Directory), NotADirectory),
        (rename("none", "a"), NotFound),
        (rename("d", "d/e/a"), InvalidArgument),
        (rename("d", "d/a"), InvalidArgument),
        (rename("d/e", "d/f"), NotADirectory),
        (rename("d/f", "d/e"), IsADirectory),
        (rename("d/e", "d"), NotEmpty),
        (resize("d", 0), IsADirectory),
        (resize("d/f", u64::MAX), FileTooLarge),
        (special(InodeKind::File), InvalidArgument),
        (special(InodeKind::Directory), InvalidArgument),
    ];
    let mut world = world();
    for (mutation, expected) in table {
        let text = format!("{mutation:?}");
        assert_eq!(world.refused(&root(), mutation), expected, "{text}");
    }
    invariants::check(&world);
}

#[test]
fn devices_are_for_root() {
    let mut world = World::new();
    let device = |path, kind| make(path, 0o600, NewNode::Special(kind, Device(0x103)));
    let someone = user(1, &[]);
    assert_eq!(world.refused(&someone, device("c", InodeKind::CharDevice)), NotPermitted);
    world.done(&someone, device("p", InodeKind::Fifo));
    world.done(&someone, make("w", 0, NewNode::Special(InodeKind::CharDevice, Device(0))));
    let made = world.done(&root(), device("c", InodeKind::CharDevice)).expect("an inode");
    assert_eq!((made.kind, made.device), (InodeKind::CharDevice, Device(0x103)));
}

#[test]
fn a_rename_replaces_nothing_if_it_is_told_so() {
    let mut world = world();
    let keep = |from, to| rename_with(from, to, RenameFlags::NO_REPLACE);
    assert_eq!(world.refused(&root(), keep("d/f", "l")), Exists);
    assert_eq!(world.refused(&root(), keep("d/f", "d/f")), Exists);
    world.done(&root(), keep("d/f", "g"));
    assert!(world.stat(&root(), "g").is_ok());
    for flags in [3, 4, 1 << 10] {
        let unknown = rename_with("g", "h", RenameFlags(flags));
        assert_eq!(world.refused(&root(), unknown), InvalidArgument, "{flags}");
    }
    invariants::check(&world);
}

#[test]
fn an_exchange_gives_each_the_other_s_name() {
    let mut world = world();
    let exchange = |from, to| rename_with(from, to, RenameFlags::EXCHANGE);
    let inode = |world: &World, path: &str| world.stat(&root(), path).map(|found| found.inode);
    world.done(&root(), create("g", 0o600, None));
    let (file, directory) = (inode(&world, "g"), inode(&world, "d/e"));
    for refused in [exchange("d/e", "none"), exchange("none", "g")] {
        assert_eq!(world.refused(&root(), refused), NotFound);
    }
    for refused in [exchange("d", "d/e"), exchange("d/e", "d")] {
        assert_eq!(world.refused(&root(), refused), InvalidArgument);
    }
    world.done(&root(), exchange("g", "d/e"));
    assert_eq!((inode(&world, "d/e"), inode(&world, "g")), (file, directory));
    assert_eq!(inode(&world, "g/.."), inode(&world, ""));
    invariants::check(&world);
}

#[test]
fn a_create_follows_a_link_to_nothing() {
    let mut world = world();
    world.done(&root(), create("n", 0o644, None));
    assert!(world.stat(&root(), "d/none").is_ok());
    world.done(&root(), symlink("to-dir", "d/e/"));
    assert_eq!(world.refused(&root(), create("to-dir", 0o644, None)), IsADirectory);
}

#[test]
fn paths_are_walked_as_linux_does() {
    let mut world = world();
    let inode = |world: &World, path: &str| world.stat(&root(), path).map(|found| found.inode);
    let file = inode(&world, "d/f");
    for same in ["/d/f", "d//./f", "../../d/f", "d/e/../f", "l"] {
        assert_eq!(inode(&world, same), file, "{same}");
    }
    world.done(&root(), symlink("d/e/up", "../.."));
    world.done(&root(), symlink("d/e/abs", "/d"));
    assert_eq!(inode(&world, "d/e/up/d/f"), file);
    assert_eq!(inode(&world, "d/e/abs/f"), file);
    assert_eq!(inode(&world, "l/"), Err(NotADirectory));
    assert_eq!(inode(&world, "d/f/.."), Err(NotADirectory));
    assert_eq!(inode(&world, "x"), Err(SymlinkLoop));
    let link = world.attributes(&root(), at("l"), false).expect("the link itself");
    assert_eq!((link.kind, link.size), (InodeKind::Symlink, ByteLen(3)));
    let gone = world.attributes(&root(), Place::inode(InodeId(99)), true);
    assert_eq!(gone, Err(Stale));
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let mut world = World::new();
    world.done(&root(), mkdir("l0", 0o755));
    for i in 1..=41 {
        world.done(&root(), symlink(&format!("l{i}"), &format!("l{}", i - 1)));
    }
    assert!(world.stat(&root(), "l40").is_ok());
    assert_eq!(world.stat(&root(), "l41"), Err(SymlinkLoop));
}

#[test]
fn a_rename_replaces_and_moves_the_links() {
    let mut world = world();
    world.done(&root(), create("g", 0o600, None));
    world.done(&root(), rename("d/f", "g"));
    assert_eq!(world.stat(&root(), "d/f"), Err(NotFound));
    world.done(&root(), mkdir("t", 0o700));
    world.done(&root(), rename("d/e", "t"));
    let nlink = |world: &World, path: &str| world.stat(&root(), path).expect("is there").nlink;
    assert_eq!((nlink(&world, "d"), nlink(&world, ""), nlink(&world, "t")), (2, 4, 2));
    assert_eq!(
        world.stat(&root(), "t/..").expect("moved").inode,
        world.stat(&root(), "").expect("the root").inode
    );
    world.done(&root(), link("g", "h"));
    world.done(&root(), rename("g", "h"));
    assert_eq!(nlink(&world, "g"), 2, "names of one file: nothing happens");
    invariants::check(&world);
}

#[test]
fn a_file_has_so_many_names_and_no_more() {
    let mut world = world();
    let file = world.stat(&root(), "d/f").expect("is there").inode;
    // As many names as it takes, without making each.
    crate::namespace::inode::edit(&mut world.store, file, |inode| inode.nlink = LINKS_MAX - 1)
        .expect("memory");
    world.done(&root(), link("d/f", "last"));
    assert_eq!(world.refused(&root(), link("d/f", "more")), TooManyLinks);
}

#[test]
fn a_removed_directory_takes_no_names() {
    let mut world = world();
    let removed = world.stat(&root(), "d/e").expect("is there").inode;
    let file = world.stat(&root(), "d/f").expect("is there").inode;
    world.done(&root(), remove("d/e", RemoveKind::Directory));
    let inside = Place::inode(removed);
    let mut moved = rename("d/f", "y");
    let Mutation::Rename { new_parent, .. } = &mut moved else { unreachable!() };
    *new_parent = inside.clone();
    let linked =
        Mutation::Link { file: Place::inode(file), parent: inside.clone(), name: name("y") };
    let made = Mutation::MakeNode {
        parent: inside.clone(),
        name: name("y"),
        mode: emberfs_wire::meta::Mode(0o700),
        node: NewNode::Directory,
    };
    for mutation in [moved, linked, made] {
        assert_eq!(world.refused(&root(), mutation), NotFound);
    }
    assert_eq!(world.attributes(&root(), inside, true).expect("is held").nlink, 0);
}

#[test]
fn nothing_moves_into_a_removed_tree() {
    let mut world = world();
    world.done(&root(), mkdir("other", 0o755));
    let inside = world.stat(&root(), "d/e").expect("is there").inode;
    world.done(&root(), remove("d", RemoveKind::Tree));
    let mut moved = rename("other", "y");
    let Mutation::Rename { new_parent, .. } = &mut moved else { unreachable!() };
    *new_parent = Place::inode(inside);
    assert_eq!(world.refused(&root(), moved), NotFound);
}

#[test]
fn without_chains_there_is_no_room_for_files() {
    let mut world = World::empty();
    assert_eq!(world.refused(&root(), create("f", 0o644, None)), NoSpace);
    world.done(&root(), mkdir("d", 0o755));
}

#[test]
fn times_follow_what_is_done() {
    let mut world = world();
    let stat = |world: &World, path: &str| world.stat(&root(), path).expect("is there");
    let before = stat(&world, "d/f");
    world.done(&root(), link("d/f", "d/g"));
    let (now, file, directory) = (world.now(), stat(&world, "d/f"), stat(&world, "d"));
    assert_eq!((file.ctime, file.mtime, file.atime), (now, before.mtime, before.atime));
    assert_eq!((directory.mtime, directory.ctime), (now, now));
    assert!(file.change > before.change);
    let early = Time { seconds: -5, nanos: 1 };
    let change = AttributeChange {
        atime: Some(SetTime::At(early)),
        mtime: Some(SetTime::Now),
        ..Default::default()
    };
    world.done(&root(), set("d/f", change));
    let file = stat(&world, "d/f");
    assert_eq!((file.atime, file.mtime, file.ctime), (early, world.now(), world.now()));
    let bad = Some(SetTime::At(Time { seconds: 0, nanos: 1_000_000_000 }));
    let change = AttributeChange { atime: bad, ..Default::default() };
    assert_eq!(world.refused(&root(), set("d/f", change)), InvalidArgument);
}
