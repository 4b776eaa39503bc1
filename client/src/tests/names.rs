//! Names: what `Fs` makes of paths, page after page, and groups where they decide.

use std::path::PathBuf;
use std::sync::Arc;

use emberfs_layout::FileOffset;
use emberfs_wire::Request;
use emberfs_wire::chunk::UpdateChunk;
use emberfs_wire::meta::{Ask, InodeKind};

use super::server::Servers;
use super::{both, filled, pattern};
use crate::{ClientError, Cluster, Credentials, FsError, KnownGroups, OpenOptions, Place};

#[tokio::test]
async fn names_are_made_listed_moved_and_removed() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let fs = client.fs();
    fs.mkdir_all("/x/y/z/").await.expect("made");
    fs.mkdir_all("x/y").await.expect("there already");
    let names: Vec<String> = (0..7).map(|i| format!("x/y/f{i}")).collect();
    for name in &names {
        filled(&client, name, &pattern(3, 0)).await.close().await.expect("closed");
    }
    let (mut listing, mut seen) = (fs.list("x/y").expect("a path"), Vec::new());
    while let Some(entry) = listing.next().await.expect("listed") {
        let attributes = entry.attributes.expect("asked for");
        assert_eq!((attributes.inode, attributes.kind), (entry.inode, entry.kind));
        seen.push(format!("x/y/{}", entry.name));
    }
    seen.sort();
    assert_eq!(seen[..7], names[..]);
    assert_eq!(seen[7..], ["x/y/z"]);
    fs.rename("x/y/f0", "x/g").await.expect("moved");
    assert_eq!(fs.stat("x/y/f0").await, Err(FsError::NotFound.into()));
    assert_eq!(fs.stat("x/g").await.expect("there").size.get(), 3);
    fs.hard_link("x/g", "x/h").await.expect("linked");
    assert_eq!(fs.stat("x/h").await.expect("there").nlink, 2);
    fs.symlink("../g", "x/y/s").await.expect("made");
    assert_eq!(fs.lstat("x/y/s").await.expect("there").kind, InodeKind::Symlink);
    assert_eq!(fs.read_link("x/y/s").await.expect("there"), PathBuf::from("../g"));
    assert_eq!(fs.remove_dir("x/y").await, Err(FsError::NotEmpty.into()));
    fs.remove("x/g").await.expect("removed");
    fs.remove_dir("x/y/z").await.expect("removed");
    fs.remove_all("x").await.expect("removed");
    assert_eq!(fs.stat("x").await, Err(FsError::NotFound.into()));
    let taken = filled(&client, "file", &pattern(3, 0)).await;
    assert_eq!(fs.mkdir_all("file").await, Err(FsError::NotADirectory.into()));
    drop(taken);
    fs.mkdir_all("p/q/.").await.expect("made");
    assert_eq!(fs.stat("p/q").await.expect("there").kind, InodeKind::Directory);
    fs.mkdir_all("/").await.expect("it is there");
    assert!(fs.space().await.expect("told").free.get() > 0);
}

/// Its writer has died, say.
#[tokio::test]
async fn a_file_whose_length_is_being_found_out_is_listed_with_its_attributes() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let inode = {
        let file = filled(&client, "a", &pattern(3, 0)).await;
        filled(&client, "b", &pattern(3, 0)).await.close().await.expect("closed");
        let inode = file.inode();
        file.close().await.expect("closed");
        inode
    };
    servers.world.state().namespace.unsettled.insert(inode);
    let asked = servers.world.calls(Ask::METHOD);
    let listed = async |mut listing: crate::Listing| {
        let mut sizes = Vec::new();
        while let Some(entry) = listing.next().await.expect("listed") {
            sizes.push(entry.attributes.map(|attributes| attributes.size.get()));
        }
        sizes
    };
    assert_eq!(listed(client.fs().list("/").expect("a path")).await, [Some(3); 2]);
    assert_eq!(servers.world.calls(Ask::METHOD) - asked, 2, "a page, and one file by itself");
    assert_eq!(listed(client.fs().list_names("/").expect("a path")).await, [None; 2]);
    assert_eq!(servers.world.calls(Ask::METHOD) - asked, 3);
    servers.world.state().namespace.gone.insert(inode);
    let left = listed(client.fs().list("/").expect("a path")).await;
    assert_eq!(left, [Some(3)], "one that was removed meanwhile ends no listing");
}

#[tokio::test]
async fn files_are_opened_as_asked() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let fs = client.fs();
    let read = OpenOptions::new().read(true);
    let open = |options: OpenOptions| {
        let fs = fs.clone();
        async move { fs.open("a", &options).await.map(|file| file.inode()) }
    };
    assert_eq!(open(read).await, Err(FsError::NotFound.into()));
    assert_eq!(open(OpenOptions::new()).await, Err(FsError::InvalidArgument.into()));
    assert_eq!(open(read.create(true)).await, Err(FsError::InvalidArgument.into()));
    let made = open(both()).await;
    assert!(made.is_ok(), "{made:?}");
    assert_eq!(open(both()).await, made, "it is there");
    assert_eq!(open(both().create_new(true)).await, Err(FsError::Exists.into()));
    let file = filled(&client, "a", &pattern(5, 0)).await;
    assert_eq!(file.stat().await.expect("there").size.get(), 5);
    assert_eq!(open(both().truncate(true)).await, made);
    assert_eq!(file.stat().await.expect("there").size.get(), 0);
    fs.mkdir("d").await.expect("made");
    let directory = fs.open("d", &read).await.expect_err("no file");
    assert_eq!(directory, ClientError::Fs(FsError::IsADirectory));
    let only = fs.open("a", &OpenOptions::new().write(true)).await.expect("there");
    let (refused, _) = only.read_at(FileOffset(0), vec![0; 5]).await;
    assert_eq!(refused, Err(FsError::InvalidArgument.into()));
    let by_inode = client.meta(Credentials::root());
    let found = by_inode.attributes(Place::inode(file.inode()), false).await.expect("there");
    assert_eq!(found.inode, file.inode());
}

#[tokio::test]
async fn what_is_too_long_or_too_far_is_refused() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let fs = client.fs();
    let too_long = ClientError::Fs(FsError::NameTooLong);
    let name = "a".repeat(255);
    let file = filled(&client, &name, &pattern(3, 0)).await;
    let (long_name, long_path) = ("a".repeat(256), "a/".repeat(2049));
    for long in [&long_name, &long_path] {
        assert_eq!(fs.open(long, &both()).await.expect_err("too long"), too_long);
        assert_eq!(fs.mkdir(long).await, Err(too_long.clone()));
        assert_eq!(fs.mkdir_all(long).await, Err(too_long.clone()));
        assert_eq!(fs.remove(long).await, Err(too_long.clone()));
        assert_eq!(fs.remove_all(long).await, Err(too_long.clone()));
        assert_eq!(fs.rename(&name, long).await, Err(too_long.clone()));
        assert_eq!(fs.hard_link(&name, long).await, Err(too_long.clone()));
        assert_eq!(fs.symlink("a", long).await, Err(too_long.clone()));
    }
    assert_eq!(fs.stat(&long_path).await, Err(too_long.clone()));
    assert_eq!(fs.list(&long_path).expect_err("too long"), too_long);
    assert_eq!(fs.symlink(&long_path, "link").await, Err(too_long.clone()));

    let too_large = Err(ClientError::Fs(FsError::FileTooLarge));
    let data = file.attributes().data.expect("a file");
    let max = data.layout.chunk_size.max_file_len().get();
    let sent = servers.world.calls(UpdateChunk::METHOD);
    for far in [max - 4, max, u64::MAX - 4] {
        assert_eq!(file.write_at(FileOffset(far), pattern(5, 0)).await, too_large);
        assert_eq!(file.read_at(FileOffset(far), vec![0; 5]).await.0, Ok(0), "behind its end");
    }
    assert_eq!(servers.world.calls(UpdateChunk::METHOD), sent);
    file.write_at(FileOffset(max - 5), pattern(5, 1)).await.expect("the last bytes there can be");
    assert_eq!(file.stat().await.expect("told").size.get(), max);
    let (read, buf) = file.read_at(FileOffset(max - 5), vec![0; 9]).await;
    assert_eq!((read, &buf[..5]), (Ok(5), &pattern(5, 1)[..]));
}

#[tokio::test]
async fn groups_are_sent_where_they_decide() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    servers.world.state().namespace.ask_groups = true;
    let asked = servers.world.calls(Ask::METHOD);
    let groups = Arc::new(KnownGroups(vec![5]));
    let meta = client.meta(Credentials { uid: 1, gid: 1, groups });
    meta.attributes(Place::inode(crate::InodeId::ROOT), false).await.expect("told");
    assert_eq!(servers.world.calls(Ask::METHOD) - asked, 2, "once without, once with them");
    client.fs().mkdir("d").await.expect("made");
    assert_eq!(servers.world.state().namespace.changes, 1);
}

#[tokio::test]
async fn a_cluster_is_asked_without_a_session() {
    let servers = Servers::start().await;
    let cluster = Cluster::connect(&servers.address, &Servers::options()).await.expect("there");
    assert_eq!(Some(cluster.id()), servers.address.cluster);
    let routing = cluster.routing().await.expect("told");
    assert_eq!((routing.nodes().count(), routing.chains().count()), (3, 2));
    assert_eq!((routing.disks().count(), routing.tables().count()), (3, 1));
    assert!(servers.world.state().namespace.sessions.is_empty());
    let failed = cluster.status().await.expect_err("not scripted");
    assert!(matches!(failed, ClientError::Fault { .. }), "{failed}");
}
