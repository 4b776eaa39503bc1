//! Names through the wire: made, listed, moved, once, and kept over a restart.

use emberfs_layout::ByteLen;
use emberfs_wire::meta::{
    Cursor, InodeKind, Mode, Mutation, MutationReply, NewNode, Place, Query, QueryReply,
    RenameFlags,
};
use emberfs_wire::{FsError, WireError};

use crate::member::{Client, Member, ROOT, attributes, call, name};

fn directory(text: &str) -> Mutation {
    Mutation::MakeNode {
        parent: Place::inode(ROOT),
        name: name(text),
        mode: Mode(0o755),
        node: NewNode::Directory,
    }
}

fn rename(from: &str, to: &str) -> Mutation {
    Mutation::Rename {
        parent: Place::inode(ROOT),
        name: name(from),
        new_parent: Place::inode(ROOT),
        new_name: name(to),
        flags: RenameFlags(0),
    }
}

async fn names(client: &Client) -> Vec<String> {
    let directory = Place::inode(ROOT);
    let query = Query::List { directory, after: Cursor::START, limit: 1000, attributes: true };
    let QueryReply::Entries { entries, end, .. } = client.ask(query).await.expect("a listing")
    else {
        panic!("no listing");
    };
    assert!(end && entries.iter().all(|entry| entry.attributes.is_some()));
    let mut names: Vec<String> = entries.iter().map(|entry| entry.name.to_string()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_made_listed_and_moved() {
    let member = Member::new().await;
    let mut client = member.client().await;
    assert!(names(&client).await.is_empty());
    let made = attributes(client.mutate(directory("b")).await);
    attributes(client.mutate(directory("a")).await);
    assert_eq!(names(&client).await, ["a", "b"]);
    let taken = client.mutate(directory("a")).await.expect_err("taken");
    assert_eq!(taken, WireError::from(FsError::Exists));
    assert_eq!(client.mutate(rename("b", "c")).await, Ok(MutationReply::Done));
    assert_eq!(names(&client).await, ["a", "c"]);
    let moved = client.stat("c").await.expect("there");
    assert_eq!((moved.inode, moved.kind), (made.inode, InodeKind::Directory));
    assert_eq!(client.stat("b").await, Err(FsError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_answered_and_not_carried_out_again() {
    let member = Member::new().await;
    let mut client = member.client().await;
    let request = client.next(directory("d"));
    let first = call(&client.peer, &request).await;
    assert!(matches!(first, Ok(MutationReply::Inode { created: true, .. })), "{first:?}");
    assert_eq!(client.mutate(rename("d", "e")).await, Ok(MutationReply::Done));
    let late = call(&client.peer, &request).await.expect_err("its slot went on");
    assert_eq!(late, WireError::from(FsError::Stale));
    let request = client.next(rename("e", "d"));
    assert_eq!(call(&client.peer, &request).await, Ok(MutationReply::Done));
    assert_eq!(call(&client.peer, &request).await, Ok(MutationReply::Done), "not: no such file");
    assert_eq!(names(&client).await, ["d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_names_sessions_and_replies() {
    let member = Member::new().await;
    let mut client = member.client().await;
    let request = client.next(directory("kept"));
    let reply = call(&client.peer, &request).await;
    let inode = attributes(reply.clone()).inode;

    let member = member.restarted().await;
    client.peer = member.peer(client.holds.clone()).await;
    assert_eq!(client.stat("kept").await.expect("kept").inode, inode);
    assert_eq!(call(&client.peer, &request).await, reply, "the kept reply");
    attributes(client.mutate(directory("more")).await);
    assert_eq!(names(&client).await, ["kept", "more"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_cluster_has_no_room() {
    let member = Member::new().await;
    let client = member.client().await;
    let QueryReply::Space(space) = client.ask(Query::Space).await.expect("an answer") else {
        panic!("no space");
    };
    assert_eq!((space.total, space.free), (ByteLen(0), ByteLen(0)));
    assert_eq!(space.inodes, 1, "the root");
}
