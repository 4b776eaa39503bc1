//! What must hold of every store: links and entries agree, counters count.

use std::collections::BTreeMap;

use emberfs_layout::InodeId;
use emberfs_wire::meta::{Cursor, InodeKind};

use super::world::World;
use crate::keys::{Kind, end_of, key};
use crate::namespace::inode::{Content, Inode, ROOT};
use crate::namespace::truncation::inode_of;
use crate::namespace::{entry, garbage};
use crate::transaction::{View, decode_record};

fn inodes(view: &dyn View) -> BTreeMap<InodeId, Inode> {
    let from = key(Kind::Inode, &[]);
    let pairs = view.scan(&from, &end_of(&from), usize::MAX).expect("memory");
    let inode = |(key, value): &(Vec<u8>, Vec<u8>)| {
        (inode_of(key), decode_record(key, value).expect("an inode"))
    };
    pairs.iter().map(inode).collect()
}

/// Checks the whole store.
pub(super) fn check(world: &World) {
    let view = &world.store;
    let inodes = inodes(view);
    let queue = garbage(view, None, usize::MAX).expect("memory");
    let mut names: BTreeMap<InodeId, u32> = BTreeMap::new();
    for (id, inode) in &inodes {
        let (page, end) = entry::page(view, *id, Cursor::START, usize::MAX - 1).expect("memory");
        assert!(end);
        let Content::Directory(directory) = &inode.content else {
            assert!(page.is_empty(), "entries of no directory");
            continue;
        };
        assert_eq!(page.len() as u64, directory.entries, "{id}: entries");
        let mut directories = 0;
        for listed in page {
            let child = &inodes[&listed.record.inode];
            assert_eq!(child.kind(), listed.record.kind);
            *names.entry(listed.record.inode).or_default() += 1;
            if let Content::Directory(below) = &child.content {
                assert_eq!(below.parent, *id, "{}: parent", listed.record.inode);
                directories += 1;
            }
        }
        if inode.nlink > 0 {
            assert_eq!(inode.nlink, 2 + directories, "{id}: links of a directory");
        }
    }
    for (id, inode) in &inodes {
        let named = names.get(id).copied().unwrap_or(0);
        let queued = queue.iter().filter(|work| work.inode == *id).count();
        assert_eq!(queued, usize::from(inode.nlink == 0), "{id}: in the queue once it has no name");
        match inode.kind() {
            InodeKind::Directory if *id == ROOT => assert_eq!(named, 0),
            InodeKind::Directory => assert_eq!(named, u32::from(inode.nlink > 0), "{id}"),
            _ => assert_eq!(named, inode.nlink, "{id}: links"),
        }
        check_writers(view, *id, inode);
    }
    assert_eq!(world.inodes(), inodes.len() as u64);
}

fn check_writers(view: &dyn View, id: InodeId, inode: &Inode) {
    let of = |kind| {
        let from = key(kind, &[&id.0.to_be_bytes()]);
        view.scan(&from, &end_of(&from), usize::MAX).expect("memory").len()
    };
    let Content::File(file) = &inode.content else {
        assert_eq!(of(Kind::Writer) + of(Kind::LengthRecovery) + of(Kind::Truncation), 0);
        return;
    };
    assert_eq!(of(Kind::Writer), file.writers as usize, "{id}: writers");
    assert_eq!(of(Kind::LengthRecovery), usize::from(file.recovering), "{id}: recovery");
    assert!(file.dense_to <= file.len, "{id}: dense up to its length");
}
