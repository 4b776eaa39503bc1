//! Where the file verbs are asked as those of coreutils are: they answer as those do.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::local::LocalCluster;
use crate::verbs::{SINGLE, hold, same};

/// Runs `emberfs` under a mask, which must succeed.
fn under(cluster: &LocalCluster, umask: &str, words: &[&str]) {
    let emberfs = cluster.command("emberfs");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
    shell.arg(emberfs.get_program()).args(words);
    shell.envs(emberfs.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
}

/// What `emberfs` prints, given this to read; it must succeed.
fn fed(cluster: &LocalCluster, words: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut command = cluster.command("emberfs");
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(bytes).expect("read");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{words:?}");
    output.stdout
}

#[test]
fn what_fails_costs_nothing_else() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let local = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for name in ["one", "two"] {
        fs::write(local(name), name).expect("written");
    }
    fs::create_dir_all(local("tree/pipes")).expect("made");
    fs::write(local("tree/three"), "three").expect("written");
    let made = Command::new("mkfifo").arg(local("tree/pipes/pipe")).status();
    assert!(made.expect("coreutils").success());
    hold(
        &cluster,
        &[
            (
                &["mkdir", "ember:/no/where", "ember:/d"],
                1,
                &["ember:/no/where: no such file or directory"],
            ),
            (
                &["cp", &local("one"), &local("no"), &local("tree"), &local("two"), "ember:/d"],
                1,
                &["no: no such file", "tree is a directory: `cp -r`", "2 of 4 were not copied"],
            ),
            (
                &["cp", "-r", &local("tree"), "ember:/"],
                1,
                &["pipe: neither file, directory nor link: skipped", "1 of 4 was not copied"],
            ),
            (&["cat", "ember:/d/one", "ember:/no", "ember:/d/two"], 1, &["one", "no: no", "two"]),
            (&["cat", "ember:/tree/three"], 0, &["three"]),
            (&["rm", "ember:/no", "ember:/d", "ember:/d/one"], 1, &["no: no such", "`rm -r`"]),
            (&["rm", "-rf", "ember:/no", "ember:/tree"], 0, &[]),
            (&["rm", "-f", "ember:/d"], 1, &["`rm -r`"]),
        ],
    );
    assert_eq!(cluster.must(&["ls"]), "d\n");
    assert_eq!(cluster.must(&["ls", "ember:/d"]), "two\n");
    cluster.down();
}

#[test]
fn a_path_means_what_its_end_says() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let local = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    fs::create_dir_all(local("tree/in")).expect("made");
    fs::write(local("tree/file"), "1").expect("written");
    fs::set_permissions(local("tree"), fs::Permissions::from_mode(0o700)).expect("its owner's");
    symlink("in", local("tree/link")).expect("made");
    let names = "file\nin\nlink\n";
    // All that is in it, where it has no name of its own; what is there keeps its bits, as the root.
    cluster.must(&["mkdir", "ember:/there"]);
    for to in ["ember:/there", "ember:/there", "ember:/"] {
        cluster.must(&["cp", "-r", &local("tree/."), to]);
        let listed = cluster.must(&["ls", to]);
        assert_eq!(listed.replace("there\n", ""), names);
        assert!(cluster.must(&["stat", to]).contains("mode: 0755"), "{to}");
    }
    cluster.must(&["cp", "-r", &local("tree/in/.."), "ember:/new"]);
    assert_eq!(cluster.must(&["ls", "ember:/new"]), names);
    fs::create_dir(local("back")).expect("made");
    cluster.must(&["cp", "-r", "ember:/new/.", &local("back/")]);
    assert!(Path::new(&local("back/file")).exists());
    hold(
        &cluster,
        &[
            (&["rm", "ember:/file/"], 1, &["ember:/file/: not a directory"]),
            (&["rm", "-r", "ember:/link/"], 1, &["ember:/link/: not a directory"]),
            (&["mv", "ember:/file/", "ember:/x"], 1, &["ember:/file/: not a directory"]),
            (&["mv", "ember:/file", "ember:/x/"], 1, &["ember:/x/: no such directory"]),
            (&["cp", "-r", "ember:/file", "ember:/x/"], 1, &["ember:/x/: no such directory"]),
            (&["mv", "ember:/file", "ember:/file"], 1, &["are the same file"]),
            (&["mv", "ember:/in", "ember:/"], 1, &["are the same file"]),
            (&["mv", "ember:/in", "ember:/file"], 1, &["only a directory can replace it"]),
            (&["mv", "ember:/in", "ember:/moved/"], 0, &[]),
            (&["mv", "ember:/moved", "ember:/in"], 0, &[]),
            (&["ls", "ember:/link/"], 0, &[]),
            (&["ls", "-l", "ember:/link"], 0, &["symlink  0777", "  link\n"]),
        ],
    );
    assert_eq!(cluster.must(&["ls", "ember:/link"]), "");
    cluster.must(&["rm", "-r", "ember:/in"]);
    assert_eq!(cluster.must(&["ls", "ember:/link"]), "link\n", "it leads nowhere");
    assert!(cluster.must(&["stat", "ember:/link"]).contains("target: in\n"));
    cluster.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_names_of_a_file_are_not_moved_onto_each_other() {
    let cluster = LocalCluster::start(&SINGLE);
    assert!(fed(&cluster, &["cp", "/dev/stdin", "ember:/one"], b"1").is_empty());
    let client = cluster.client().await;
    client.fs().hard_link("one", "other").await.expect("made");
    client.close().await.expect("left");
    hold(&cluster, &[(&["mv", "ember:/one", "ember:/other"], 1, &["are the same file"])]);
    assert_eq!(cluster.must(&["ls"]), "one\nother\n");
    cluster.down();
}

#[test]
fn what_is_of_another_kind_stays() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let local = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for name in ["a/x", "b/x"] {
        fs::create_dir_all(Path::new(&local(name)).parent().expect("above")).expect("made");
        fs::write(local(name), name).expect("written");
    }
    for name in ["c/x", "d"] {
        fs::create_dir_all(local(name)).expect("made");
    }
    symlink("nowhere", local("d/x")).expect("made");
    fs::create_dir(local("e")).expect("made");
    symlink("../elsewhere", local("e/sub")).expect("made");
    fs::create_dir_all(local("f/sub")).expect("made");
    fs::write(local("f/sub/y"), "y").expect("written");
    let at = |name: &str| format!("{}/.", local(name));
    cluster.must(&["mkdir", "ember:/to", "ember:/elsewhere"]);
    hold(
        &cluster,
        &[
            (&["cp", "-r", &at("a"), &at("b"), "ember:/to"], 1, &["another source", "1 of 2 was"]),
            (&["cat", "ember:/to/x"], 0, &["a/x"]),
            (&["cp", "-r", &at("c"), "ember:/to"], 1, &["ember:/to/x is no directory"]),
            (&["cp", "-r", &at("d"), "ember:/to"], 0, &[]),
            (&["stat", "ember:/to/x"], 0, &["target: nowhere"]),
            (
                &["cp", "-r", &at("a"), "ember:/to"],
                1,
                &["to/x: a link is there that leads nowhere"],
            ),
            (&["cp", "-r", &at("e"), "ember:/to"], 0, &[]),
            (&["cp", "-r", &at("f"), "ember:/to"], 1, &["ember:/to/sub is no directory"]),
            (&["ls", "ember:/elsewhere"], 0, &[]),
            (&["rm", "ember:/to/x"], 0, &[]),
            (&["mkdir", "ember:/to/x"], 0, &[]),
            (&["cp", "-r", &at("a"), "ember:/to"], 1, &["ember:/to/x is a directory, and"]),
            (&["cp", "-r", &at("d"), "ember:/to"], 1, &["ember:/to/x is a directory, and"]),
            (&["cp", &local("a/x"), &local("d/x")], 1, &["a link is there that leads nowhere"]),
        ],
    );
    assert_eq!(cluster.must(&["ls", "ember:/elsewhere"]), "");
    assert!(!Path::new(&local("d/nowhere")).exists());
    cluster.down();
}

#[test]
fn a_link_does_not_take_the_place_of_what_it_leads_to() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let local = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for name in ["src", "dst"] {
        fs::create_dir(local(name)).expect("made");
    }
    fs::write(local("dst/a"), "a").expect("written");
    fs::write(local("dst/b"), "b").expect("written");
    for (target, link) in [("../dst/a", "a"), ("../dst/a", "b"), ("c", "c")] {
        symlink(target, local(&format!("src/{link}"))).expect("made");
    }
    cluster.must(&["cp", "-r", &local("src"), &local("dst"), "ember:/"]);
    for (from, to, top) in [
        ("ember:/src", "ember:/dst", "ember:/dst/a"),
        (&*local("src"), &*local("dst"), &*local("dst/a")),
    ] {
        let (all, link) = (format!("{from}/."), format!("{from}/a"));
        hold(
            &cluster,
            &[
                (&["cp", "-r", &link, top], 1, &["a are the same file"]),
                (&["cp", "-r", &all, to], 1, &["a are the same file", "1 of 3 was not copied"]),
                (&["cp", "-r", &all, to], 1, &["a are the same file", "1 of 3 was not copied"]),
            ],
        );
    }
    // Any other file goes, as with `cp`; and where a link leads in a circle is of no matter.
    assert_eq!(fs::read(local("dst/a")).expect("it stays"), b"a");
    assert_eq!(fs::read_link(local("dst/b")).expect("replaced"), Path::new("../dst/a"));
    assert_eq!(fs::read_dir(local("dst")).expect("there").count(), 3, "nothing else is left");
    hold(
        &cluster,
        &[
            (&["cat", "ember:/dst/a"], 0, &["a"]),
            (&["stat", "ember:/dst/b"], 0, &["target: ../dst/a"]),
            (&["ls", "-l", "ember:/dst/c"], 0, &["symlink"]),
        ],
    );
    assert_eq!(cluster.must(&["ls", "ember:/dst"]), "a\nb\nc\n");
    assert_eq!(cluster.must(&["ls", "ember:/dst/c"]), "c\n");
    cluster.down();
}

#[test]
fn that_nobody_reads_on_makes_no_failure_good() {
    let cluster = LocalCluster::start(&SINGLE);
    let large = vec![b'x'; 1 << 20];
    for (name, bytes) in [("ember:/large", &large[..]), ("ember:/some", b"some")] {
        assert!(fed(&cluster, &["cp", "/dev/stdin", name], bytes).is_empty());
        // A disk that is full is no reader who has enough.
        let full = fs::File::options().write(true).open("/dev/full").expect("Linux");
        let status = cluster.command("emberfs").args(["cat", name]).stdout(full).status();
        assert_eq!(status.expect("it starts").code(), Some(1), "{name}");
    }
    for (first, status) in [("ember:/large", 0), ("ember:/no", 1)] {
        let mut cat = cluster.command("emberfs");
        cat.args(["cat", first, "ember:/large"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut cat = cat.spawn().expect("it starts");
        drop(cat.stdout.take());
        let ended = cat.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(status), "{said}");
    }
    cluster.down();
}

#[test]
fn pipes_and_files_without_a_length_are_read_to_their_end() {
    let cluster = LocalCluster::start(&SINGLE);
    let bytes: Vec<u8> = (0..9_000_001_u32).map(|number| number.to_le_bytes()[1]).collect();
    fed(&cluster, &["cp", "/dev/stdin", "ember:/piped"], &bytes);
    let back = fed(&cluster, &["cp", "ember:/piped", "/dev/stdout"], b"");
    assert!(back == bytes, "{} bytes", back.len());
    cluster.must(&["cp", "/proc/version", "ember:/version"]);
    let version = fs::read_to_string("/proc/version").expect("Linux");
    assert_eq!(cluster.must(&["cat", "ember:/version"]), version);
    hold(
        &cluster,
        &[
            (&["cp", "ember:/piped", "/dev/null"], 0, &[]),
            (&["cp", "ember:/piped", "/dev/full"], 1, &["piped to /dev/full: No space left"]),
        ],
    );
    cluster.down();
}

/// What stands before a `..` is made too, and a `.` is nothing.
#[test]
fn directories_are_made_with_all_that_lead_to_them() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    for way in ["a/./b/../../c/.", "./d/e/..", "a/b", "..", "a/b/../b//"] {
        let local = folder.path().join("top/in").join(way);
        let made = Command::new("mkdir").arg("-p").arg(&local).status().expect("coreutils");
        assert!(made.success(), "{way}");
        cluster.must(&["mkdir", "-p", &format!("ember:/top/in/{way}")]);
    }
    let back = folder.path().join("back");
    cluster.must(&["cp", "-r", "ember:/top", &back.to_string_lossy()]);
    same(&folder.path().join("top"), &back);
    let link = folder.path().join("link");
    symlink("nowhere", &link).expect("a link");
    cluster.must(&["cp", "-r", &link.to_string_lossy(), "ember:/link"]);
    hold(
        &cluster,
        &[
            (&["mkdir", "-p", "ember:/link"], 1, &["ember:/link: no such file"]),
            (&["mkdir", "-p", "ember:/link/../d"], 1, &["no such file"]),
            (&["mkdir", "ember:/top/."], 1, &["ends in `.`: say its name"]),
        ],
    );
    cluster.down();
}

#[test]
fn permission_bits_are_kept_less_the_umask() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let local = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let modes = [("tree/ro/file", 0o4766), ("tree/ro", 0o555), ("tree", 0o777)];
    fs::create_dir_all(local("tree/ro")).expect("made");
    fs::write(local("tree/ro/file"), "1").expect("written");
    for (name, mode) in modes {
        fs::set_permissions(local(name), fs::Permissions::from_mode(mode)).expect("its owner's");
    }
    for (umask, expected) in [("027", [0o740, 0o550, 0o750]), ("0", [0o766, 0o555, 0o777])] {
        let (inside, back) = (format!("ember:/{umask}"), local(umask));
        under(&cluster, umask, &["cp", "-r", &local("tree"), &inside]);
        // Those of the copy are narrow already.
        under(&cluster, "0", &["cp", "-r", &inside, &back]);
        for ((name, _), mode) in modes.into_iter().zip(expected) {
            let name = name.strip_prefix("tree").expect("it is one");
            let stat = cluster.must(&["stat", &format!("{inside}{name}")]);
            assert!(stat.contains(&format!("mode: {mode:04o}\n")), "{umask} {name}: {stat}");
            let found = fs::metadata(format!("{back}{name}")).expect("there").permissions();
            assert_eq!(found.mode() & 0o7777, mode, "{umask} {name}");
        }
    }
    cluster.down();
}

#[test]
fn names_move_no_terminal() {
    let cluster = LocalCluster::start(&SINGLE);
    cluster.must(&["mkdir", "ember:/a\x1b[Jb"]);
    assert_eq!(cluster.must(&["ls"]), "a\x1b[Jb\n", "programs get it as it is");
    let emberfs = cluster.command("emberfs");
    let mut script = Command::new("script");
    let line = format!("{} ls", Path::new(emberfs.get_program()).display());
    script.args(["-qec", &line, "/dev/null"]);
    script.envs(emberfs.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let shown = script.stdin(Stdio::null()).output().expect("Debian has it");
    assert_eq!(String::from_utf8_lossy(&shown.stdout).trim_end(), "a?[Jb");
    hold(&cluster, &[(&["rm", "ember:/a\x1b[Jb"], 1, &["ember:/a?[Jb is a directory"])]);
    let json = cluster.must(&["stat", "--json", "ember:/a\x1b[Jb"]);
    assert!(json.contains(r#""path": "ember:/a\u001b[Jb""#), "{json}");
    cluster.down();
}
