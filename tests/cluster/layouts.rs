//! Several chain tables, and directories whose files go to one or the other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use emberfs_client::{
    Attributes, ClientError, ClientOptions, Credentials, DirectoryLayout, FsError, KnownGroups,
    LayoutChange, Setting, TableId,
};

use crate::local::LocalCluster;
use crate::process::until;
use crate::verbs::{hold, same};

/// Two servers with a disk each, a replica of every chunk on both.
const TWO: [&str; 6] = ["--storage", "2", "--disks", "1", "--replicas", "2"];
const SERVERS: [&str; 2] = ["storage-1", "storage-2"];
/// Bytes of a file: many chunks of any size that is set here.
const LEN: usize = 3 << 20;

/// Gives each server a further disk, of which it knows after a new start; their ids.
async fn more_disks(cluster: &LocalCluster) -> Vec<String> {
    let mut ids = Vec::new();
    for server in SERVERS {
        let folder = cluster.directory().join(server);
        let disk = folder.join("disk-more");
        ids.push(cluster.must(&["disk", "format", &disk.to_string_lossy()]).trim().to_owned());
        let config = folder.join("storage.toml");
        let text = fs::read_to_string(&config).expect("written by `up`");
        let line = |line: &str| match line.strip_prefix("disks = [") {
            Some(rest) => format!("disks = [{disk:?}, {rest}\n"),
            None => format!("{line}\n"),
        };
        fs::write(&config, text.lines().map(line).collect::<String>()).expect("written");
        cluster.kill(server).await;
        cluster.start_registered(server).await;
    }
    cluster.must(&["disk", "add", &ids[0], &ids[1]]);
    until("all is well again", async || cluster.emberfs(&["status"]).status.success()).await;
    ids
}

/// What `stat` says of a file: its layout, and the servers and chains of its chunks.
struct Found {
    layout: [u32; 3],
    servers: BTreeSet<String>,
    chains: BTreeSet<String>,
}

fn found(cluster: &LocalCluster, path: &str) -> Found {
    let said = cluster.must(&["stat", path]);
    let field = |name: &str| {
        let value = said.lines().find_map(|line| line.strip_prefix(&format!("data.{name}: ")));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name}: {said}"))
    };
    let layout = ["chunk_size", "stripe_width", "table"].map(field);
    let (mut servers, mut chains) = (BTreeSet::new(), BTreeSet::new());
    for line in said.lines().filter(|line| line.starts_with("chunk ")) {
        let (chunk, members) = line.split_once(": ").expect("a chain and its members");
        chains.insert(chunk.rsplit(' ').next().expect("its number").to_owned());
        let server = |member: &str| member.rsplit(' ').next().expect("a server").to_owned();
        servers.extend(members.split(", ").map(server));
    }
    Found { layout, servers, chains }
}

/// Makes table 2 of the first server's new disk and table 3 of the second's, of one copy each.
fn make_tables(cluster: &LocalCluster, disks: &[String]) {
    let nobodys = "0123456789abcdef0123456789abcdef";
    hold(
        cluster,
        &[
            (&["chain-table", "create", "--node", "nobody"], 1, &["`nobody`", "node list"]),
            (&["chain-table", "create", "--disk", nobodys], 1, &[nobodys, "disk add"]),
            (
                &["chain-table", "create", "--node", "storage-1", "--replicas", "2"],
                1,
                &["2 replicas need as many failure domains with disks, there are 1"],
            ),
            (
                &["chain-table", "create", "--node", "storage-1", "--replicas", "1"],
                0,
                &["table-2: 4 chains of 1 replica", "`emberfs layout set DIR --table 2`"],
            ),
            (
                &["chain-table", "create", "--node", "storage-1", "--replicas", "1"],
                1,
                &["`storage-1` has no free target"],
            ),
            (
                &["chain-table", "create", "--disk", &disks[0], "--replicas", "1"],
                1,
                &[&disks[0], "has no free target"],
            ),
            (
                &[
                    "chain-table",
                    "create",
                    "--disk",
                    &disks[1],
                    "--replicas",
                    "1",
                    "--chunk-size",
                    "256",
                ],
                0,
                &["table-3: 4 chains of 1 replica"],
            ),
        ],
    );
}

/// Three directories: small chunks, the second table and a narrow stripe, the third table.
fn make_directories(cluster: &LocalCluster) {
    for (directory, words) in
        [("first", &["--chunk-size", "64"][..]), ("second", &["--table", "2", "--stripe", "2"])]
    {
        let at = format!("ember:/{directory}");
        cluster.must(&["mkdir", &at]);
        cluster.must(&[&["layout", "set", &at], words].concat());
    }
    cluster.must(&["mkdir", "ember:/third"]);
    hold(
        cluster,
        &[
            (
                &["layout", "set", "ember:/third", "--table", "table-3"],
                0,
                &["chunk size: 256 KiB, as its table has it", "chain table: 3, as this directory"],
            ),
            (
                &["layout", "get", "ember:/"],
                0,
                &["chunk size: 1 MiB", "stripe width: 4", "chain table: 1, the cluster's default"],
            ),
            (&["layout", "set", "ember:/third", "--table", "9"], 1, &["there is no table-9"]),
            (
                &["layout", "set", "ember:/third", "--stripe", "5"],
                1,
                &["a stripe over 5 chains does not fit table-3, which has 4"],
            ),
            (&["layout", "get", "ember:/no"], 1, &["ember:/no: no such file"]),
        ],
    );
}

/// Copies a tree into each, so that directories are made within, and looks where its file lies.
fn fill(cluster: &LocalCluster, tree: &Path) {
    fs::create_dir_all(tree.join("in")).expect("made");
    let bytes: Vec<u8> = (0..LEN).map(|at| (at % 253) as u8).collect();
    fs::write(tree.join("in/file"), &bytes).expect("written");
    let shown = tree.to_string_lossy();
    for (to, layout, chains, servers) in [
        ("", [1 << 20, 4, 1], 3, &SERVERS[..]),
        ("first/", [1 << 16, 4, 1], 4, &SERVERS),
        ("second/", [1 << 20, 2, 2], 2, &SERVERS[..1]),
        ("third/", [1 << 18, 4, 3], 4, &SERVERS[1..]),
    ] {
        cluster.must(&["cp", "-r", &shown, &format!("ember:/{to}")]);
        let found = found(cluster, &format!("ember:/{to}tree/in/file"));
        assert_eq!((found.layout, found.chains.len()), (layout, chains), "{to}");
        assert!(found.servers.iter().eq(servers), "{to}: {:?}", found.servers);
    }
}

/// What is there stays where it is, also when it is moved.
fn change(cluster: &LocalCluster) {
    hold(
        cluster,
        &[
            (
                &["layout", "get", "ember:/second/tree/in"],
                0,
                &["chain table: 2, as this directory"],
            ),
            (&["stat", "ember:/second/tree"], 0, &["layout.chunk_size: -", "layout.table: 2"]),
            (
                &["layout", "get", "ember:/third/tree/in/file", "--json"],
                0,
                &["\"kind\": \"file\"", "\"table\": 3", "\"chunk_size\": 262144"],
            ),
            (
                &["layout", "set", "ember:/third/tree/in/file", "--table", "1"],
                1,
                &["a file keeps what it was made with", "copy the file"],
            ),
            (&["layout", "set", "ember:/second", "--table", "default", "--stripe", "4"], 0, &[]),
            (&["mv", "ember:/second/tree", "ember:/first/moved"], 0, &[]),
            (&["layout", "get", "ember:/first/moved"], 0, &["chain table: 2"]),
            (&["layout", "set", "ember:/first/moved", "--inherit"], 0, &["64 KiB", "table: 1"]),
        ],
    );
    assert_eq!(found(cluster, "ember:/first/moved/in/file").layout, [1 << 20, 2, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_to_the_table_of_their_directory() {
    let cluster = LocalCluster::start(&TWO);
    let disks = more_disks(&cluster).await;
    make_tables(&cluster, &disks);
    make_directories(&cluster);
    let local = tempfile::tempdir().expect("a temporary directory");
    let (tree, back) = (local.path().join("tree"), local.path().join("back"));
    fill(&cluster, &tree);
    change(&cluster);

    // What was said is there after a new start of the metadata server, and so are the files.
    cluster.kill("meta-1").await;
    cluster.start_one("meta-1");
    let after = cluster.must(&["layout", "get", "ember:/third"]);
    assert!(after.contains("chain table: 3, as this directory says"), "{after}");
    cluster.must(&["cp", "-r", "ember:/third/tree", &back.to_string_lossy()]);
    same(&tree, &back);
    evenness(&cluster);
    cluster.down();
}

/// Each table's servers and disks, which are as even as they can be.
fn evenness(cluster: &LocalCluster) {
    let said = cluster.must(&["chain-table", "show", "--evenness"]);
    let (head, rows) = said.split_once('\n').expect("a head and rows");
    let heads = ["TABLE", "OF", "SERVER", "DISK", "TARGETS", "HEADS", "LEAST", "MOST", "IDEAL"];
    assert!(head.split_whitespace().take(9).eq(heads), "{said}");
    let rows: Vec<Vec<&str>> = rows.lines().map(|row| row.split_whitespace().collect()).collect();
    let of = |table: &str| rows.iter().filter(|row| row[0] == table).collect::<Vec<_>>();
    for row in of("1") {
        // Two servers take over all of each other.
        assert_eq!((row[4], &row[6..]), ("4", &["1.0", "1.0", "1.0", "1.0"][..]), "{said}");
    }
    assert_eq!((of("1").len(), of("2").len(), of("3").len()), (4, 2, 2), "{said}");
    assert!(of("2").iter().all(|row| row[2] == "storage-1" && row[6] == "-"), "{said}");
    let json = cluster.must(&["chain-table", "show", "--json"]);
    assert_eq!(json.matches("\"default\": true").count(), 4, "of table 1 alone: {json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_directorys_owner_says_what_new_files_in_it_get() {
    let cluster = LocalCluster::start(&crate::verbs::SINGLE);
    cluster.must(&["mkdir", "ember:/mine", "ember:/others"]);
    let user = |uid: u32| ClientOptions {
        credentials: Some(Credentials { uid, gid: uid, groups: Arc::new(KnownGroups::default()) }),
        ..ClientOptions::default()
    };
    let client = async |uid| cluster.connect(&user(uid)).await.expect("it is up");
    let (root, owner, other) = (client(0).await, client(1).await, client(2).await);
    let give = emberfs_client::AttributeChange { uid: Some(1), ..Default::default() };
    root.fs().set_attributes("mine", give).await.expect("root may");
    let table = LayoutChange { table: Some(Setting::Is(TableId(1))), ..LayoutChange::default() };
    let no = |found: Result<Attributes, ClientError>| found.expect_err("refused").as_fs();
    assert_eq!(no(other.fs().set_layout("mine", table).await), FsError::NotPermitted);
    assert_eq!(no(owner.fs().set_layout("others", table).await), FsError::NotPermitted);
    assert_eq!(no(owner.fs().set_layout("", table).await), FsError::NotPermitted);
    let set = owner.fs().set_layout("mine", table).await.expect("its owner may");
    let wanted = DirectoryLayout { table: Some(TableId(1)), ..DirectoryLayout::default() };
    assert_eq!(set.layout, Some(wanted));
    assert_eq!(other.fs().stat("mine").await.expect("all may look").layout, Some(wanted));
    let unknown = LayoutChange { table: Some(Setting::Is(TableId(7))), ..table };
    assert_eq!(no(owner.fs().set_layout("mine", unknown).await), FsError::InvalidArgument);
    for client in [root, owner, other] {
        client.close().await.expect("left");
    }
    cluster.down();
}
