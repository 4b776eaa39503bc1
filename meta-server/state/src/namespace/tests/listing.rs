//! Listings: complete, in pages, whatever else is added and removed.

use std::collections::BTreeSet;

use emberfs_layout::{ByteLen, InodeId};
use emberfs_wire::FsError::{NotADirectory, PermissionDenied};
use emberfs_wire::meta::{Cursor, InodeKind, Query, QueryReply, RemoveKind};
use proptest::prelude::*;

use super::world::{World, at, create, mkdir, name, remove, root, user};
use crate::MemoryStore;
use crate::keys::{Kind, key};
use crate::namespace::Answer;
use crate::namespace::entry::{self, EntryRecord, cursor_of};
use crate::transaction::put_record;

#[test]
fn cursors_are_pinned() {
    let pinned = ["a", "b", "checkpoint-000017.pt"].map(|text| cursor_of(&name(text)).0);
    let golden = [3_994_293_790_442_864_899, 5_436_564_175_808_411_468, 1_477_435_569_990_350_419];
    assert_eq!(pinned, golden);
}

#[test]
fn entries_of_one_cursor_are_never_parted() {
    let mut store = MemoryStore::default();
    let record = EntryRecord { inode: InodeId(9), kind: InodeKind::File };
    let cursors = [3_u64, 5, 5, 5, 7];
    for (i, cursor) in cursors.iter().enumerate() {
        let name = [b'a' + u8::try_from(i).expect("few")];
        let at = key(Kind::Entry, &[&1_u64.to_be_bytes(), &cursor.to_be_bytes(), &name]);
        put_record(&mut store, &at, &record);
    }
    let page = |after, limit| {
        let (page, end) = entry::page(&store, InodeId(1), Cursor(after), limit).expect("memory");
        (page.iter().map(|entry| entry.cursor.0).collect::<Vec<_>>(), end)
    };
    assert_eq!(page(0, 1), (vec![3], false));
    assert_eq!(page(3, 1), (vec![5, 5, 5], false));
    assert_eq!(page(0, 3), (vec![3, 5, 5, 5], false));
    assert_eq!(page(0, 4), (vec![3, 5, 5, 5], false));
    assert_eq!(page(5, 1), (vec![7], true));
    assert_eq!(page(2, 5), (cursors.to_vec(), true));
    assert_eq!(page(7, 5), (vec![], true));
    assert_eq!(page(u64::MAX, 5), (vec![], true));
}

#[test]
fn a_listing_says_what_its_directory_is() {
    let mut world = World::new();
    world.done(&root(), mkdir("d", 0o700));
    world.done(&root(), create("d/f", 0o640, None));
    let list = |path, attributes| Query::List {
        directory: at(path),
        after: Cursor::START,
        limit: 0,
        attributes,
    };
    let Answer::Reply(QueryReply::Entries { directory, parent, entries, end }) =
        world.ask(&root(), list("d", true))
    else {
        panic!("entries")
    };
    assert_eq!((directory.size, parent, end), (ByteLen(1), crate::namespace::ROOT, true));
    assert_eq!(entries[0].attributes, world.stat(&root(), "d/f").ok());
    assert!(entries[0].cursor > Cursor(2));
    world.done(&root(), mkdir("r", 0o744));
    world.done(&root(), create("r/f", 0o640, None));
    let names = world.ask(&user(1, &[]), list("r", true));
    let Answer::Reply(QueryReply::Entries { entries, .. }) = names else { panic!("entries") };
    assert_eq!(entries[0].attributes, None, "who may not pass may not look");
    assert_eq!(world.ask(&root(), list("d/f", true)), Answer::Refused(NotADirectory));
    assert_eq!(world.ask(&user(1, &[]), list("d", false)), Answer::Refused(PermissionDenied));
}

#[test]
fn a_page_keeps_to_its_bytes() {
    let mut world = World::new();
    let names: BTreeSet<String> = (0..3_500).map(|i| format!("{i:0250}")).collect();
    for name in &names {
        world.done(&root(), create(name, 0o644, None));
    }
    let (mut seen, mut after, mut pages) = (BTreeSet::new(), Cursor::START, 0);
    loop {
        let (entries, end) = world.page("", after, u32::MAX);
        after = entries.last().expect("not empty").cursor;
        pages += 1;
        let reply = QueryReply::Entries {
            directory: world.stat(&root(), "").expect("is there"),
            parent: crate::namespace::ROOT,
            entries: entries.clone(),
            end,
        };
        let mut bytes = Vec::new();
        emberfs_wire::encode(&reply, &mut bytes);
        assert!(bytes.len() <= 1 << 20, "{}", bytes.len());
        for entry in entries {
            assert!(seen.insert(entry.name.to_string()), "repeated");
        }
        if end {
            break;
        }
    }
    assert!(seen == names && pages > 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_stays_is_listed_once(
        limit in 1_u32..7,
        changes in prop::collection::vec((0_u8..40, any::<bool>()), 0..60),
    ) {
        let mut world = World::new();
        let stable: BTreeSet<String> = (0..25).map(|i| format!("stable-{i}")).collect();
        for name in &stable {
            world.done(&root(), create(name, 0o644, None));
        }
        let mut changes = changes.into_iter();
        let (mut seen, mut after) = (Vec::new(), Cursor::START);
        loop {
            let (entries, end) = world.page("", after, limit);
            after = entries.last().map_or(after, |last| last.cursor);
            seen.extend(entries.into_iter().map(|entry| entry.name.to_string()));
            if end {
                break;
            }
            for (which, adds) in changes.by_ref().take(5) {
                let name = format!("passing-{which}");
                let _ = if adds {
                    world.mutate(&root(), create(&name, 0o644, None))
                } else {
                    world.mutate(&root(), remove(&name, RemoveKind::File))
                };
            }
        }
        let listed: Vec<_> = seen.iter().filter(|name| stable.contains(*name)).collect();
        prop_assert_eq!(listed.len(), stable.len());
        prop_assert_eq!(listed.into_iter().collect::<BTreeSet<_>>().len(), stable.len());
    }
}
