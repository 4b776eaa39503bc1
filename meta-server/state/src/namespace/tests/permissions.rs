//! Who may do what.

use emberfs_wire::FsError::{NotPermitted, NotSupported, PermissionDenied};
use emberfs_wire::meta::{
    Access, AttributeChange, Caller, Mode, Mutation, MutationReply, Query, QueryReply, RemoveKind,
    RenameFlags, SetTime, Time,
};

use super::world::{
    World, at, create, link, mkdir, open, remove, rename, rename_with, resize, root, set, symlink,
    user,
};
use crate::Outcome;
use crate::namespace::Answer;

fn chmod(path: &str, mode: u16) -> Mutation {
    set(path, AttributeChange { mode: Some(Mode(mode)), ..Default::default() })
}

fn chown(path: &str, uid: Option<u32>, gid: Option<u32>) -> Mutation {
    set(path, AttributeChange { uid, gid, ..Default::default() })
}

fn mode(world: &World, path: &str) -> u16 {
    world.stat(&root(), path).expect("is there").mode.0
}

#[test]
fn the_first_class_that_fits_decides() {
    let mut world = World::new();
    let (owner, member, other) = (user(1, &[]), user(2, &[1]), user(3, &[]));
    world.done(&owner, create("f", 0o046, None));
    let may = |world: &World, who: &Caller, bits| {
        let query = Query::Access { of: at("f"), access: Access(bits) };
        !matches!(world.ask(who, query), Answer::Refused(PermissionDenied))
    };
    let table = [
        (&owner, [false, false, false]),
        (&member, [true, false, false]),
        (&other, [true, true, false]),
        (&root(), [true, true, false]),
    ];
    for (who, expected) in table {
        assert_eq!([4, 2, 1].map(|bit| may(&world, who, bit)), expected, "{who:?}");
    }
    world.done(&root(), chmod("f", 0o001));
    assert!(may(&world, &root(), 1), "root executes what somebody may");
}

#[test]
fn groups_are_asked_for_only_where_they_decide() {
    let mut world = World::new();
    world.done(&user(1, &[]), create("f", 0o640, None));
    let unknown = |uid| Caller { uid, gid: uid, groups: None };
    let open_as =
        |world: &mut World, uid| match world.begin(&unknown(uid), open("f", true, None, false)) {
            Outcome::Mutation { reply, .. } => reply,
            other => panic!("{other:?}"),
        };
    assert_eq!(open_as(&mut world, 2), Ok(MutationReply::GroupsNeeded));
    assert!(matches!(open_as(&mut world, 1), Ok(MutationReply::Inode { .. })));
    world.done(&root(), chmod("f", 0o600));
    assert_eq!(open_as(&mut world, 2), Err(PermissionDenied), "no group could help");
    world.done(&root(), chmod("f", 0o640));
    let query = Query::Access { of: at("f"), access: Access(4) };
    assert_eq!(world.ask(&unknown(2), query), Answer::Reply(QueryReply::GroupsNeeded));
}

#[test]
fn directories_are_passed_and_changed_by_their_bits() {
    let mut world = World::new();
    let (owner, other) = (user(1, &[]), user(2, &[]));
    world.done(&owner, mkdir("d", 0o754));
    world.done(&owner, create("d/f", 0o666, None));
    assert_eq!(world.stat(&other, "d/f"), Err(PermissionDenied), "no x");
    world.done(&owner, chmod("d", 0o755));
    world.done(&other, open("d/f", true, Some(9), false));
    for refused in [
        create("d/g", 0o644, None),
        mkdir("d/g", 0o755),
        link("d/f", "d/g"),
        remove("d/f", RemoveKind::File),
        rename("d/f", "g"),
    ] {
        assert_eq!(world.refused(&other, refused), PermissionDenied);
    }
}

#[test]
fn in_a_sticky_directory_only_owners_take_names() {
    let mut world = World::new();
    world.done(&user(3, &[]), mkdir("t", 0o1777));
    world.done(&user(1, &[]), create("t/f", 0o666, None));
    world.done(&user(2, &[]), create("t/g", 0o666, None));
    assert_eq!(world.refused(&user(2, &[]), remove("t/f", RemoveKind::File)), NotPermitted);
    assert_eq!(world.refused(&user(2, &[]), rename("t/f", "t/h")), NotPermitted);
    assert_eq!(world.refused(&user(2, &[]), rename("t/g", "t/f")), NotPermitted);
    world.done(&user(1, &[]), rename("t/f", "t/h"));
    world.done(&user(3, &[]), remove("t/h", RemoveKind::File));
}

#[test]
fn another_s_file_gets_a_name_from_who_could_do_all_with_it() {
    let mut world = World::new();
    let (owner, other) = (user(1, &[]), user(2, &[]));
    world.done(&root(), chmod("", 0o777));
    world.done(&owner, create("f", 0o606, None));
    world.done(&other, link("f", "g"));
    for mode in [0o604, 0o602, 0o600, 0o4606, 0o2616] {
        world.done(&owner, chmod("f", mode));
        assert_eq!(world.refused(&other, link("f", "h")), NotPermitted, "{mode:o}");
    }
    world.done(&owner, symlink("l", "f"));
    assert_eq!(world.refused(&other, link("l", "h")), NotPermitted);
    world.done(&owner, link("l", "h"));
    world.done(&owner, link("f", "i"));
}

#[test]
fn a_directory_that_moves_must_be_writable() {
    let mut world = World::new();
    world.done(&root(), mkdir("d", 0o755));
    world.done(&user(1, &[]), mkdir("to", 0o777));
    assert_eq!(world.refused(&user(1, &[]), rename("d", "to/d")), PermissionDenied);
    world.done(&user(1, &[]), rename("d", "e"));
    let exchange = |from, to| rename_with(from, to, RenameFlags::EXCHANGE);
    world.done(&user(1, &[]), mkdir("to/f", 0o777));
    for refused in [exchange("e", "to/f"), exchange("to/f", "e")] {
        assert_eq!(world.refused(&user(1, &[]), refused), PermissionDenied);
    }
    world.done(&user(1, &[]), exchange("e", "to"));
}

#[test]
fn set_group_id_directories_hand_their_group_down() {
    let mut world = World::new();
    world.done(&root(), mkdir("d", 0o777));
    world.done(&root(), chown("d", None, Some(7)));
    world.done(&root(), chmod("d", 0o2777));
    let below = world.done(&user(1, &[]), mkdir("d/e", 0o755)).expect("an inode");
    assert_eq!((below.gid, below.mode), (7, Mode(0o2755)));
    let file = world.done(&user(1, &[]), create("d/f", 0o2755, None)).expect("an inode");
    assert_eq!((file.gid, file.mode), (7, Mode(0o755)), "not a member: no set-group-id");
    let file = world.done(&user(1, &[7]), create("d/g", 0o2755, None)).expect("an inode");
    assert_eq!(file.mode, Mode(0o2755));
}

#[test]
fn only_root_gives_files_away() {
    let mut world = World::new();
    let owner = user(1, &[7]);
    world.done(&owner, create("f", 0o644, None));
    assert_eq!(world.refused(&owner, chown("f", Some(2), None)), NotPermitted);
    assert_eq!(world.refused(&owner, chown("f", None, Some(8))), NotPermitted);
    world.done(&owner, chown("f", Some(1), Some(7)));
    assert_eq!(world.refused(&user(2, &[7]), chown("f", Some(1), None)), NotPermitted);
    assert_eq!(world.refused(&user(2, &[7]), chmod("f", 0o777)), NotPermitted);
    world.done(&root(), chown("f", Some(2), Some(8)));
    let file = world.stat(&root(), "f").expect("is there");
    assert_eq!((file.uid, file.gid), (2, 8));
}

#[test]
fn set_id_bits_go_with_owner_bytes_and_group() {
    let mut world = World::new();
    let owner = user(1, &[]);
    world.done(&owner, create("f", 0o644, None));
    world.done(&owner, chmod("f", 0o6755));
    assert_eq!(mode(&world, "f"), 0o6755);
    world.done(&root(), resize("f", 9));
    assert_eq!(mode(&world, "f"), 0o6755, "root keeps them");
    world.done(&owner, resize("f", 0));
    assert_eq!(mode(&world, "f"), 0o755);
    world.done(&owner, chmod("f", 0o6755));
    world.done(&root(), chown("f", Some(1), None));
    assert_eq!(mode(&world, "f"), 0o755, "also by root");
    world.done(&root(), chown("f", None, Some(9)));
    world.done(&owner, chmod("f", 0o2755));
    assert_eq!(mode(&world, "f"), 0o755, "not a member of the file's group");
}

#[test]
fn lengths_and_times_need_what_linux_asks() {
    let mut world = World::new();
    let (owner, other) = (user(1, &[]), user(2, &[]));
    let opened = world.done(&owner, create("f", 0o446, Some(4))).expect("an inode");
    assert_eq!(world.refused(&owner, resize("f", 3)), PermissionDenied, "by path, read-only");
    let size = Some(emberfs_layout::ByteLen(3));
    let handle = Some(emberfs_wire::meta::HandleId(4));
    let change = AttributeChange { size, handle, ..Default::default() };
    world.done(&owner, set("f", change));
    assert_eq!(world.stat(&owner, "f").expect("is there").inode, opened.inode);
    let times =
        |set_to| AttributeChange { atime: Some(set_to), mtime: Some(set_to), ..Default::default() };
    let moment = SetTime::At(Time::default());
    world.done(&other, set("f", times(SetTime::Now)));
    assert_eq!(world.refused(&other, set("f", times(moment))), NotPermitted);
    for alone in [
        AttributeChange { atime: None, ..times(SetTime::Now) },
        AttributeChange { mtime: None, ..times(SetTime::Now) },
    ] {
        assert_eq!(world.refused(&other, set("f", alone)), NotPermitted);
        world.done(&owner, set("f", alone));
    }
    world.done(&root(), chmod("f", 0o444));
    assert_eq!(world.refused(&other, set("f", times(SetTime::Now))), PermissionDenied);
    world.done(&owner, set("f", times(moment)));
}

#[test]
fn a_tree_goes_only_as_a_whole_and_by_who_could_empty_it() {
    let mut world = World::new();
    let (owner, other) = (user(1, &[]), user(2, &[]));
    world.done(&owner, mkdir("t", 0o777));
    world.done(&owner, mkdir("t/a", 0o500));
    world.done(&other, mkdir("t/b", 0o700));
    world.done(&other, create("t/b/f", 0o600, None));
    assert_eq!(world.refused(&owner, remove("t", RemoveKind::Tree)), PermissionDenied);
    world.done(&other, remove("t/b/f", RemoveKind::File));
    world.done(&owner, remove("t", RemoveKind::Tree));
    assert!(world.stat(&root(), "t").is_err());
    world.collect();
    assert_eq!(world.inodes(), 1, "the root is left");
}

#[test]
fn a_tree_too_large_to_look_at_is_for_root() {
    let mut world = World::new();
    world.done(&user(1, &[]), mkdir("t", 0o755));
    let inode = world.stat(&root(), "t").expect("is there").inode;
    // As many entries as it takes, without making each.
    crate::namespace::inode::edit(&mut world.store, inode, |inode| {
        inode.directory_mut().expect("a directory").entries = 1 << 17;
    })
    .expect("memory");
    assert_eq!(world.refused(&user(1, &[]), remove("t", RemoveKind::Tree)), NotSupported);
    world.done(&root(), remove("t", RemoveKind::Tree));
}
