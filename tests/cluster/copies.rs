//! `emberfs cp` where it fails or is stopped half-way, where files have holes, and where names are no text.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::spawn_blocking;

use super::damage::{damage, noise};
use crate::local::LocalCluster;
use crate::process::until;

const SINGLE: [&str; 8] = ["--meta", "1", "--storage", "1", "--disks", "1", "--replicas", "1"];

/// A cluster of one disk that has room for so many MiB.
fn with_room(mib: u32) -> LocalCluster {
    let cluster = LocalCluster::start(&SINGLE);
    cluster.down();
    let file = cluster.directory().join("storage-1/storage.toml");
    let config = fs::read_to_string(&file).expect("`up` wrote it");
    fs::write(&file, format!("disk_mib_max = {mib}\n{config}")).expect("written");
    cluster.up();
    cluster
}

/// Runs `emberfs`, which must fail; what it said.
fn fails(cluster: &LocalCluster, words: &[&str]) -> String {
    let output = cluster.emberfs(words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
    said
}

#[test]
fn a_copy_that_cannot_be_read_leaves_nothing_new() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let local = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    // The damage is in the last of the pieces that move at a time, or in the only one.
    let large = noise(9 << 20);
    fs::write(local("large"), &large).expect("written");
    fs::create_dir(local("many")).expect("made");
    for number in 0..40_u8 {
        fs::write(local(&format!("many/{number}")), vec![number; 1 << 17]).expect("written");
    }
    let bad = &noise((9 << 20) + (1 << 17))[9 << 20..];
    fs::write(local("many/bad"), bad).expect("written");
    fs::write(local("old"), "old").expect("written");
    cluster.must(&["cp", "-r", &local("large"), &local("many"), &local("old"), "ember:/"]);
    cluster.down();
    damage(&cluster, "storage-1", &large[8 << 20..]);
    damage(&cluster, "storage-1", bad);
    cluster.up();

    let said = fails(&cluster, &["cp", "ember:/large", &local("new")]);
    assert!(said.contains("ember:/large to ") && said.contains("new: chunk "), "{said}");
    assert!(!Path::new(&local("new")).exists());
    fails(&cluster, &["cp", "ember:/large", "ember:/new"]);
    // Where its beginning is read, what was there before is lost, which is said.
    let said = fails(&cluster, &["cp", "ember:/large", &local("old")]);
    assert!(said.contains("there before, and is incomplete now: chunk "), "{said}");
    // What cannot be read at all costs nothing that is there.
    fails(&cluster, &["cp", "ember:/many/bad", "ember:/old"]);
    assert_eq!(cluster.must(&["cat", "ember:/old"]), "old");
    assert_eq!(cluster.must(&["ls"]), "large\nmany\nold\n");

    // Nor does it cost any other its copy, be that new or not.
    for name in ["back", "over"] {
        fs::create_dir(local(name)).expect("made");
    }
    for name in (0..40).map(|number| number.to_string()).chain(["bad".to_owned()]) {
        fs::write(local(&format!("over/{name}")), vec![0xee; 1 << 18]).expect("written");
    }
    for name in ["back", "over"] {
        let said = fails(&cluster, &["cp", "-r", "ember:/many/.", &local(name)]);
        assert!(said.contains("error: ember:/many/./bad to "), "{said}");
        assert!(said.ends_with("error: 1 of 41 was not copied\n"), "{said}");
        for number in 0..40_u8 {
            let copied = fs::read(local(&format!("{name}/{number}"))).expect("there");
            assert!(copied == vec![number; 1 << 17], "{name}/{number}: {} bytes", copied.len());
        }
    }
    assert!(!Path::new(&local("back/bad")).exists());
    let kept = fs::read(local("over/bad")).expect("there");
    assert!(kept == vec![0xee; 1 << 18], "{} bytes", kept.len());
    cluster.down();
}

#[test]
fn a_copy_that_has_no_room_leaves_nothing_new() {
    let cluster = with_room(96);
    let folder = cluster.folder();
    let local = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    fs::write(local("large"), vec![7; 120 << 20]).expect("written");
    fs::write(local("old"), "old").expect("written");
    cluster.must(&["cp", &local("old"), "ember:/"]);
    // The second is not begun, as it would fail too.
    let said = fails(&cluster, &["cp", &local("large"), &local("old"), "ember:/"]);
    assert!(said.contains("large to ember:/large: no space left on device"), "{said}");
    assert!(!said.contains("given up"), "why it failed is enough: {said}");
    let end =
        "error: 2 of 2 were not copied, as nothing was begun any more: no space left on device\n";
    assert!(said.ends_with(end), "{said}");
    assert_eq!(cluster.must(&["ls"]), "old\n");
    let said = fails(&cluster, &["cp", &local("large"), "ember:/old"]);
    assert!(said.contains("there before, and is incomplete now: no space"), "{said}");
    let [old, nowhere] = ["old", "no/more/x"].map(&local);
    let said = fails(&cluster, &["cp", &old, "ember:/no/more/x"]);
    assert!(
        said.contains("to ember:/no/more/x: no such file or directory: ember:/no has to be"),
        "{said}"
    );
    let said = fails(&cluster, &["cp", "ember:/old", &nowhere]);
    assert!(said.contains(&format!("{} has to be made first", local("no"))), "{said}");
    cluster.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_copy_takes_back_what_it_made() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let local = folder.path().join("large");
    fs::write(&local, vec![7; 9 << 20]).expect("written");
    fs::write(folder.path().join("old"), "old").expect("written");
    cluster.must(&["cp", &folder.path().join("old").to_string_lossy(), "ember:/old"]);
    let client = cluster.client().await;
    let len = async |name: &str| client.fs().stat(name).await.map(|found| found.size.get());
    for (name, signal, left) in [("new", Signal::INT, None), ("old", Signal::TERM, Some(0))] {
        cluster.signal("storage-1", "STOP");
        let to = format!("ember:/{name}");
        let mut copy = cluster.command("emberfs");
        copy.arg("cp").args([local.as_os_str(), OsStr::new(&to)]).stderr(Stdio::piped());
        let copy = copy.spawn().expect("it starts");
        until("the file is empty, and waits for its bytes", async || len(name).await == Ok(0))
            .await;
        kill_process(Pid::from_child(&copy), signal).expect("it runs");
        if left.is_none() {
            until("it is taken back", async || len(name).await.is_err()).await;
        }
        cluster.signal("storage-1", "CONT");
        let ended = spawn_blocking(move || copy.wait_with_output().expect("it ends")).await;
        let ended = ended.expect("no panic");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(130), "{said}");
        let words = match left {
            None => "interrupted: nothing was copied",
            Some(_) => "to ember:/old: it was there before, and is incomplete now: interrupted",
        };
        assert!(said.contains(words), "{said}");
        // What was under way may still have to be asked of the chains.
        let listed = cluster.must(&["ls", "--json"]);
        assert!(listed.contains("\"size\"") && !listed.contains("\"size\": null"), "{listed}");
        cluster.up();
    }
    client.close().await.expect("left");
    assert_eq!(cluster.must(&["ls"]), "old\n");
    cluster.down();
}

/// A copy of a pipe, and its writer: it has been planned, and nothing of it is made until the pipe has a piece or ends.
struct Piped {
    copy: Child,
    pipe: File,
}

impl Piped {
    /// Starts `emberfs OPTIONS cp PIPE TO` by `env SIGNALS`.
    async fn start(cluster: &LocalCluster, signals: &[&str], options: &[&str], to: &OsStr) -> Self {
        let path = cluster.directory().with_file_name("pipe");
        let _first = fs::remove_file(&path);
        let made = Command::new("mkfifo").arg(&path).status().expect("coreutils");
        assert!(made.success());
        let emberfs = cluster.command("emberfs");
        let mut copy = Command::new("env");
        copy.args(signals).arg(emberfs.get_program()).args(options).arg("cp").arg(&path).arg(to);
        copy.envs(emberfs.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let copy = copy.stderr(Stdio::piped()).spawn().expect("coreutils");
        let no_wait = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open");
        let open = |flags| File::options().write(true).custom_flags(flags).open(&path);
        let mut writer = None;
        until("it reads the pipe", async || {
            writer = open(no_wait).ok();
            writer.is_some()
        })
        .await;
        Self { copy, pipe: open(0).expect("it has a reader") }
    }

    /// Gives it the first piece, and a byte of the next.
    async fn feed(mut self) -> Self {
        let fed = spawn_blocking(|| {
            self.pipe.write_all(&vec![7; (4 << 20) + 1]).expect("it reads");
            self
        });
        fed.await.expect("no panic")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.copy), signal).expect("nobody has waited for it");
    }

    /// Waits for its end; what it ended with and said.
    async fn end(mut self) -> (Option<i32>, String) {
        until("it ends", async || self.copy.try_wait().expect("a child").is_some()).await;
        let ended = self.copy.wait_with_output().expect("a child");
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    }
}

/// What has the name of an interrupted copy by then is not removed.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_copy_takes_back_nothing_else() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let client = cluster.client().await;
    let ember = client.fs();
    let hangs_up = ["--default-signal=HUP"];
    let to = OsStr::new("ember:/new");

    let copy = Piped::start(&cluster, &hangs_up, &[], to).await;
    let copy = copy.feed().await;
    until("it is made", async || ember.stat("new").await.is_ok()).await;
    ember.symlink("elsewhere", "other").await.expect("made");
    ember.rename("other", "new").await.expect("replaced");
    copy.signal(Signal::HUP);
    let (code, said) = copy.end().await;
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted: nothing was copied"), "{said}");
    assert_eq!(ember.read_link("new").await, Ok(PathBuf::from("elsewhere")));
    ember.remove("new").await.expect("it is there");

    let (new, other) = (folder.path().join("new"), folder.path().join("other"));
    let copy = Piped::start(&cluster, &hangs_up, &[], new.as_os_str()).await;
    let copy = copy.feed().await;
    until("it is made", async || new.exists()).await;
    fs::write(&other, "other").expect("written");
    fs::rename(&other, &new).expect("replaced");
    // A terminal that is closed sends it more than once.
    copy.signal(Signal::HUP);
    copy.signal(Signal::HUP);
    let (code, said) = copy.end().await;
    assert_eq!(code, Some(130), "{said}");
    assert_eq!(fs::read(&new).expect("it is there"), b"other");

    // Where nothing else has it, it goes.
    let made = folder.path().join("made");
    for (signal, to) in [(Signal::HUP, to), (Signal::TERM, made.as_os_str())] {
        let copy = Piped::start(&cluster, &hangs_up, &[], to).await;
        let copy = copy.feed().await;
        until("it is made", async || ember.stat("new").await.is_ok() || made.exists()).await;
        copy.signal(signal);
        assert_eq!(copy.end().await.0, Some(130));
        assert!(ember.stat("new").await.is_err() && !made.exists());
    }

    let copy = Piped::start(&cluster, &["--ignore-signal=HUP"], &[], to).await;
    let Piped { copy, pipe } = copy.feed().await;
    kill_process(Pid::from_child(&copy), Signal::HUP).expect("it runs");
    drop(pipe);
    let ended = spawn_blocking(move || copy.wait_with_output().expect("it ends")).await;
    let ended = ended.expect("no panic");
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    client.close().await.expect("left");
    assert_eq!(cluster.must(&["ls"]), "new\n");
    cluster.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_copy_ends_where_no_metadata_server_answers() {
    let cluster = LocalCluster::start(&SINGLE);
    for times in [1, 2] {
        let mut copy = Piped::start(&cluster, &[], &[], OsStr::new("ember:/new")).await;
        cluster.signal("meta-1", "STOP");
        copy.signal(Signal::INT);
        if times == 2 {
            // Its session is being ended then.
            let mut said = BufReader::new(copy.copy.stderr.take().expect("a pipe"));
            let said = spawn_blocking(move || {
                let mut line = String::new();
                while !line.starts_with("error: interrupted") {
                    line.clear();
                    assert_ne!(said.read_line(&mut line).expect("read"), 0, "it says so");
                }
                said
            });
            let _open = said.await.expect("no panic");
            copy.signal(Signal::INT);
            assert_eq!(copy.end().await.0, Some(130));
        } else {
            let (code, said) = copy.end().await;
            assert_eq!(code, Some(130), "{said}");
            assert!(said.contains("interrupted: nothing was copied"), "{said}");
            let after = said.split_once("stopping: ").expect("it says so").1;
            assert!(!after.contains("WARN"), "what it left behind is no news: {said}");
        }
        cluster.signal("meta-1", "CONT");
        cluster.up();
    }
    assert_eq!(cluster.must(&["ls"]), "");
    cluster.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_creation_was_not_heard_of_says_what_may_be_left() {
    let cluster = LocalCluster::start(&SINGLE);
    let to = OsStr::new("ember:/new");
    let Piped { copy, pipe } = Piped::start(&cluster, &[], &["--timeout", "2"], to).await;
    cluster.signal("meta-1", "STOP");
    drop(pipe);
    let ended = spawn_blocking(move || copy.wait_with_output().expect("it ends")).await;
    let ended = ended.expect("no panic");
    cluster.signal("meta-1", "CONT");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("to ember:/new: an empty file may be left: the deadline"), "{said}");
    cluster.up();
    cluster.down();
}

#[test]
fn holes_stay_holes() {
    const DATA_AT: u64 = 20 << 20;
    const LEN: u64 = (33 << 20) + 5;
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let local = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let [sparse, empty] = ["sparse", "empty"].map(|name| {
        let file = File::create_new(local(name)).expect("made");
        file.set_len(LEN).expect("longer");
        file
    });
    sparse.write_all_at(b"data", DATA_AT).expect("written");
    cluster.must(&["cp", &local("sparse"), &local("empty"), "ember:/"]);
    for name in ["sparse", "empty"] {
        let stat = cluster.must(&["stat", "--json", &format!("ember:/{name}")]);
        assert!(stat.contains(&format!("\"size\": {LEN}")), "{stat}");
        // Had the zeros before them been written, it would be dense up to the data.
        assert!(stat.contains("\"dense_to\": 0"), "{stat}");
        cluster.must(&["cp", &format!("ember:/{name}"), &local("back")]);
        let copy = format!("ember:/{name}-too");
        cluster.must(&["cp", &format!("ember:/{name}"), &copy]);
        let stat = cluster.must(&["stat", "--json", &copy]);
        assert!(stat.contains(&format!("\"size\": {LEN}")), "{stat}");
        assert!(stat.contains("\"dense_to\": 0"), "{stat}");
        let blocks = fs::metadata(local("back")).expect("there").blocks();
        assert!(blocks * 512 <= 4 << 20, "one piece at most: {blocks} blocks");
        let [back, file] = ["back", name].map(|name| fs::read(local(name)).expect("there"));
        assert!(back == file, "{name}: {} bytes", back.len());
    }
    drop(empty);
    cluster.down();
}

#[test]
fn names_need_not_be_text() {
    let cluster = LocalCluster::start(&SINGLE);
    let folder = cluster.folder();
    let name = OsStr::from_bytes(b"\xff\n");
    for name in [name, OsStr::new("ü'")] {
        fs::write(folder.path().join(name), "x").expect("written");
    }
    cluster.must(&["cp", "-r", &folder.path().to_string_lossy(), "ember:/d"]);
    let listed = cluster.must(&["ls", "--json", "ember:/d"]);
    for part in ["\"name_bytes\": \"ff0a\"", "\"name\": \"ü'\"", "\"name_bytes\": null"] {
        assert!(listed.contains(part), "{listed}");
    }
    let table = cluster.must(&["ls", "-l", "ember:/d"]);
    assert!(table.contains("  ü'\n") && table.contains("  \u{fffd}?\n"), "{table}");
    assert!(!table.contains("BYTES"), "{table}");

    let path = [OsStr::new("ember:/d/"), name].iter().copied().collect::<OsString>();
    let run = |words: &[&OsStr]| {
        let output = cluster.command("emberfs").args(words).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let stat = run(&[OsStr::new("stat"), OsStr::new("--json"), &path]);
    assert!(stat.contains("\"path_bytes\": \"2f642fff0a\""), "{stat}");
    assert_eq!(run(&[OsStr::new("cat"), &path]), "x");
    run(&[OsStr::new("rm"), &path]);
    assert_eq!(cluster.must(&["ls", "ember:/d"]), "ü'\n");
    cluster.down();
}
