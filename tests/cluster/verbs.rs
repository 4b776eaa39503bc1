//! The command line, against a store of one server: what each verb does, and what it says when it cannot.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use emberfs_client::OpenOptions;

use crate::local::LocalCluster;

pub(crate) const SINGLE: [&str; 8] =
    ["--meta", "1", "--storage", "1", "--disks", "1", "--replicas", "1"];

/// A small tree on this machine: nested, with an empty directory, a link, a large file and odd modes.
fn make_tree(top: &Path) {
    std::fs::create_dir_all(top.join("a/b/empty")).expect("directories");
    std::fs::write(top.join("a/one"), b"1").expect("a file");
    std::fs::write(top.join("a/b/large"), vec![7_u8; 9 << 20]).expect("a file");
    std::fs::write(top.join("nothing"), b"").expect("a file");
    std::os::unix::fs::symlink("a/one", top.join("link")).expect("a link");
}

pub(crate) fn same(one: &Path, other: &Path) {
    let compared = Command::new("diff").arg("-r").args([one, other]).output().expect("diff");
    let said = String::from_utf8_lossy(&compared.stdout);
    assert!(compared.status.success(), "{said}");
}

#[test]
fn files_go_in_and_out_and_stay() {
    let cluster = LocalCluster::start(&SINGLE);
    let local = tempfile::tempdir().expect("a temporary directory");
    let (source, back) = (local.path().join("source"), local.path().join("back"));
    make_tree(&source);
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    cluster.must(&["cp", "-r", &shown(&source), "ember:/in"]);
    cluster.must(&["cp", "-r", "ember:/in", &shown(&back)]);
    same(&source, &back);
    assert_eq!(cluster.must(&["cat", "ember:/in/a/one"]), "1");
    assert_eq!(cluster.must(&["ls", "ember:/in"]), "a\nlink\nnothing\n");

    cluster.must(&["mkdir", "-p", "ember:/x/./no/../y/."]);
    assert_eq!(cluster.must(&["ls", "ember:/x"]), "no\ny\n");
    cluster.must(&["mv", "ember:/in/a", "ember:/x/y"]);
    cluster.must(&["cp", "-r", "ember:/x/y/a", "ember:/copy"]);
    let stat = cluster.must(&["stat", "ember:/copy/b/large", "--json"]);
    assert!(stat.contains("\"size\": 9437184"), "{stat}");
    assert_eq!(stat.matches("\"chain\":").count(), 9, "{stat}");
    cluster.must(&["rm", "-r", "ember:/in", "ember:/x", "ember:/copy"]);
    assert_eq!(cluster.must(&["ls"]), "");
    cluster.down();
}

#[test]
fn nothing_is_copied_over_or_into_itself() {
    let cluster = LocalCluster::start(&SINGLE);
    let local = tempfile::tempdir().expect("a temporary directory");
    let source = local.path().join("source");
    make_tree(&source);
    std::os::unix::fs::symlink("one", source.join("a/other")).expect("a link");
    let ways = local.path().join("ways");
    std::fs::create_dir(&ways).expect("a directory");
    std::os::unix::fs::symlink("../in/a/b", ways.join("in")).expect("a link");
    std::os::unix::fs::symlink("../source/a/b", ways.join("source")).expect("a link");
    let shown = |name: &str| source.join(name).to_string_lossy().into_owned();
    cluster.must(&["cp", "-r", &shown(""), "ember:/in"]);
    cluster.must(&["cp", "-r", &ways.to_string_lossy(), "ember:/"]);
    hold(
        &cluster,
        &[
            (&["cp", &shown("a/one"), &shown("a/one")], 1, &["are the same file"]),
            (&["cp", &shown("a/one"), &shown("a/other")], 1, &["are the same file"]),
            (&["cp", "-r", &shown("a"), &shown("a/b/new")], 1, &["cannot be copied into itself"]),
            (&["cp", "ember:/in/a/one", "ember:/in/a/one"], 1, &["are the same file"]),
            (&["cp", "ember:/in/a/other", "ember:/in/a"], 1, &["are the same file"]),
            (&["cp", "-r", "ember:/in", "ember:/in/a/b"], 1, &["cannot be copied into itself"]),
            (&["cp", "-r", "ember:/", "ember:/all"], 1, &["cannot be copied into itself"]),
            (&["cp", "-r", &shown(""), &shown("../ways/source")], 1, &["copied into itself"]),
            (&["cp", "-r", "ember:/in", "ember:/ways/in"], 1, &["cannot be copied into itself"]),
            (&["cp", "-r", "ember:/in", "ember:/ways/in/x/y"], 1, &["copied into itself"]),
            (&["cp", "-r", "ember:/in", "ember:/in/../beside"], 0, &[]),
        ],
    );
    let back = local.path().join("back");
    cluster.must(&["cp", "-r", "ember:/beside", &back.to_string_lossy()]);
    same(&source, &back);
    cluster.down();
}

/// What a command ends with, and says.
pub(crate) fn ends(output: &Output) -> (Option<i32>, String) {
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Commands that end so, and words that they say.
pub(crate) type Cases<'a> = &'a [(&'a [&'a str], i32, &'a [&'a str])];

pub(crate) fn hold(cluster: &LocalCluster, cases: Cases<'_>) {
    for (words, status, expected) in cases {
        let (code, said) = ends(&cluster.emberfs(words));
        assert_eq!(code, Some(*status), "{words:?}: {said}");
        for word in *expected {
            assert!(said.contains(word), "{words:?} should say `{word}`: {said}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_with_an_exit_status() {
    let cluster = LocalCluster::start(&SINGLE);
    let local = tempfile::tempdir().expect("a temporary directory");
    let shown = |name: &str| local.path().join(name).to_string_lossy().into_owned();
    std::fs::write(local.path().join("file"), b"1").expect("a file");
    let long = format!("ember:/{}", "n".repeat(256));
    let deep = format!("ember:/{}", "d/".repeat(2048));
    hold(
        &cluster,
        &[
            (&["status"], 0, &["healthy"]),
            (&["--cluster", "nobody", "status"], 3, &["no cluster is called `nobody`", "local"]),
            (&["--cluster", "nobody", "node", "list"], 1, &["`nobody`", "local"]),
            (&["cat", "ember:/no/such/file"], 1, &["ember:/no/such/file: no such file"]),
            (&["ls", "ember:/no"], 1, &["ember:/no: no such file"]),
            (&["stat", "ember:/no"], 1, &["ember:/no: no such file"]),
            (&["check", "ember:/no"], 3, &["ember:/no: no such file"]),
            (&["mv", "ember:/no", "ember:/yes"], 1, &["ember:/no to ember:/yes: no such file"]),
            (&["rm", "ember:/no"], 1, &["ember:/no: no such file"]),
            (&["mkdir", "ember:/no/where"], 1, &["ember:/no/where: no such file"]),
            (&["mkdir", &long], 1, &["file name too long"]),
            (&["mkdir", "-p", &deep], 1, &["file name too long"]),
            (&["cp", &shown("file"), "ember:/no/where"], 1, &["ember:/no/where", "no such file"]),
            (&["cp", &shown("gone"), "ember:/"], 1, &["gone", "no such file"]),
            (&["cp", local.path().to_str().expect("text"), "ember:/"], 1, &["cp -r"]),
            (&["node", "list", "--help"], 0, &["DOMAIN"]),
            (&["chain-table", "create", "--replicas", "3"], 1, &["add disks"]),
            (&["disk", "format", &shown("file")], 1, &["file"]),
            (&["cluster", "init", "--config", &shown("gone.toml")], 1, &["gone.toml"]),
        ],
    );
    let listed = cluster.must(&["target", "list", "--json"]);
    assert_eq!(listed.matches("\"state\": \"serving\"").count(), 4, "{listed}");
    cluster.down();
    hold(
        &cluster,
        &[
            (
                &["status", "--timeout", "0.2"],
                3,
                &["cannot tell", "metadata servers", "`emberfs up`"],
            ),
            (&["ls", "--timeout", "0.2"], 1, &["metadata servers"]),
        ],
    );
}

#[test]
fn what_a_path_cannot_be_is_said_with_its_reason() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let file = folder.path().join("file").to_string_lossy().into_owned();
    std::fs::write(&file, b"1").expect("a file");
    cluster.must(&["mkdir", "ember:/there"]);
    hold(
        &cluster,
        &[
            (&["cp", &file, "ember:/there/is"], 0, &[]),
            (&["cp", &file, "ember:/there/is/"], 1, &["ember:/there/is/: not a directory"]),
            (&["cp", &file, "ember:/there/no/"], 1, &["ember:/there/no/: no such directory"]),
            (
                &["mv", "ember:/there", "ember:/there/is/"],
                1,
                &["ember:/there/is/: not a directory"],
            ),
            (
                &["mv", "ember:/there", "ember:/there/in"],
                1,
                &["moved into itself", "ember:/there/in lies"],
            ),
            (&["mv", "ember:/there", "ember:/there"], 1, &["moved into itself"]),
            (&["mv", "ember:/", "ember:/there"], 1, &["ember:/ is the root"]),
            (&["rm", "-r", "ember:/"], 1, &["ember:/ is the root"]),
            (&["rm", "-r", "ember:/there/.."], 1, &["ember:/there/.. ends in `..`"]),
            (&["mkdir", "ember:/"], 1, &["ember:/ is the root"]),
        ],
    );
    cluster.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_listed_with_what_they_are() {
    let cluster = LocalCluster::start(&SINGLE);
    let client = cluster.client().await;
    let options = OpenOptions::new().write(true).create(true);
    let file = client.fs().open("open", &options).await.expect("created");
    let listed = cluster.must(&["client", "list", "--json"]);
    assert!(
        listed.contains("\"schema\": 1") && listed.contains("\"open_for_writing\": 1"),
        "{listed}"
    );
    assert!(listed.contains(&format!("(process {})", std::process::id())), "{listed}");
    let table = cluster.must(&["client", "list"]);
    let (head, rows) = table.split_once('\n').expect("a head and rows");
    assert!(head.starts_with("ID") && head.contains("OPEN FOR WRITING"), "{table}");
    assert_eq!(rows.lines().count(), 1, "the leader's session is no client's: {table}");
    file.close().await.expect("closed");
    client.close().await.expect("closed");
    assert_eq!(cluster.must(&["client", "list"]), "no clients\n");
    cluster.down();
}

#[test]
fn what_is_in_force_is_shown_with_its_reason() {
    let cluster = LocalCluster::start(&SINGLE);
    let config = |server: &str, kind: &str| {
        let file = cluster.directory().join(server).join(format!("{kind}.toml"));
        file.to_string_lossy().into_owned()
    };
    let of_storage = config("storage-1", "storage");
    let bad = cluster.directory().join("bad.toml").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(&of_storage).expect("written by `up`");
    let with = |line: &str| std::fs::write(&bad, format!("{line}\n{text}")).expect("written");
    with("disk_size = 7");
    hold(
        &cluster,
        &[
            (&["config", "show"], 0, &["cluster: local", "the only one in the file", "127.0.0.1:"]),
            (
                &["config", "show", "--cluster", "local", "--json"],
                0,
                &["--cluster", "\"schema\": 1"],
            ),
            (
                &["config", "show", &of_storage],
                0,
                &[
                    "memory_mib = 512   # default 2048, in MiB",
                    "log.files_kept = 4",
                    "Which cluster",
                ],
            ),
            (
                &["config", "show", &config("meta-1", "meta"), "--json"],
                0,
                &["\"key\": \"storage_lease_ms\"", "\"default\": 3000", "\"unit\": \"ms\""],
            ),
            (&["config", "show", &bad], 1, &["bad.toml", "unknown field `disk_size`"]),
        ],
    );
    with("disk_mib_max = 1");
    hold(&cluster, &[(&["config", "show", &bad], 1, &["disk_mib_max: 1, expected at least 64"])]);
    cluster.down();
}

/// Starts `emberfs-storage` with a file of a second server, which must end by itself; what it said.
async fn refused(cluster: &LocalCluster, file: &Path) -> String {
    let mut server = cluster.command("emberfs-storage");
    server.arg("--config").arg(file).stdout(Stdio::null()).stderr(Stdio::piped());
    let server = server.spawn().expect("it starts");
    let ended = tokio::task::spawn_blocking(move || server.wait_with_output());
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
    let ended = ended.expect("it does not wait for ever").expect("no panic").expect("it ended");
    assert!(!ended.status.success());
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_of_a_name_or_a_directory_ends_with_words() {
    let cluster = LocalCluster::start(&SINGLE);
    let first = cluster.directory().join("storage-1");
    let config = first.join("storage.toml");
    let text = std::fs::read_to_string(&config).expect("written by `up`");
    // Where it tells its metrics is not what this is about.
    let line = |line: &str| format!("{line}\n");
    let text: String = text.lines().filter(|line| !line.starts_with("metrics")).map(line).collect();
    let address = |line: &&str| line.starts_with("listen");
    let listen = text.lines().find(address).expect("it listens").to_owned();
    let at = listen.split('"').nth(1).expect("an address").to_owned();
    let elsewhere = |directory: &Path| {
        let moved = text.replace(&*first.to_string_lossy(), &directory.to_string_lossy());
        let moved = moved.replace(&listen, "listen = [\"127.0.0.1:0\"]");
        let file = directory.join("storage.toml");
        std::fs::write(&file, moved).expect("written");
        file
    };

    // The port of one that runs, then another directory and disk under its name.
    let other = cluster.directory().join("other");
    std::fs::create_dir(&other).expect("a new directory");
    let file = elsewhere(&other);
    cluster.must(&["disk", "format", &other.join("disk-1").to_string_lossy()]);
    let said = refused(&cluster, &file).await;
    assert!(said.contains("the name `storage-1` is taken by node-"), "{said}");
    assert!(said.contains(&at) && said.contains("choose another"), "{said}");
    let taken = std::fs::read_to_string(&file).expect("written");
    let taken = taken.replace("listen = [\"127.0.0.1:0\"]", &listen);
    std::fs::write(&file, taken).expect("written");
    let said = refused(&cluster, &file).await;
    let holder = cluster.process("storage-1").expect("it runs").to_string();
    assert!(said.contains("is taken by") && said.contains(&holder), "{said}");

    // The same directories, and a copy of them.
    let same = cluster.directory().join("same.toml");
    std::fs::write(&same, text.replace(&listen, "listen = [\"127.0.0.1:0\"]")).expect("written");
    let said = refused(&cluster, &same).await;
    let words = format!("is in use by process {holder} (emberfs-storage)");
    assert!(said.contains(&words), "{said}");
    cluster.kill("storage-1").await;
    let copy = cluster.directory().join("copy");
    let copied = Command::new("cp").arg("-a").args([&first, &copy]).status().expect("cp");
    assert!(copied.success());
    cluster.start_registered("storage-1").await;
    // Also one that names the same address, as on another machine it could.
    let file = elsewhere(&copy);
    let moved = std::fs::read_to_string(&file).expect("written");
    for first in [String::new(), format!("advertise = [\"{at}\"]\n")] {
        std::fs::write(&file, first + &moved).expect("written");
        let said = refused(&cluster, &file).await;
        for words in ["(`storage-1`) runs at", &*at, "stop that server first"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    cluster.up(); // the first one never noticed
    cluster.down();
}
