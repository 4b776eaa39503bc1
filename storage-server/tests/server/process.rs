//! The program itself: its orders, its exit, its words.

use std::process::{Command, Output, Stdio};

use emberfs_wire::cluster::PublicState;

use crate::client::{Client, chunk, replicas};
use crate::host::{CLUSTER, Host};
use crate::meta::Meta;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_emberfs-storage"))
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_disk_is_formatted_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let disk = directory.path().join("disk");
    let format = || {
        let mut order = program();
        order.arg("format-disk").arg(&disk).args(["--cluster", &CLUSTER.to_string()]);
        order.output().expect("it runs")
    };
    let first = format();
    assert!(first.status.success(), "{}", words(&first));
    let id = String::from_utf8(first.stdout).expect("hexadecimal digits");
    assert_eq!(id.trim().len(), 32);
    let second = format();
    assert!(!second.status.success());
    assert!(words(&second).contains("is formatted already"), "{}", words(&second));
}

/// The program serves, ends with 0 when it is asked to, and has kept everything when it comes again.
#[tokio::test]
async fn the_program_serves_and_stops_when_asked() {
    let meta = Meta::start(CLUSTER);
    let mut host = Host::start("one", 1, &meta);
    let disk = (host.node, host.disks[0], PublicState::Serving);
    let at = replicas(&meta.make_chain(&[disk]))[0];
    let client = Client::connect(1, &host).await;
    client.write(at, 1, chunk(1, 0), 0, b"in process").await.expect("written");
    host.stop();

    let (_, before) = meta.node("one", None);
    let file = host.config_file(&meta);
    let child = program().arg("--config").arg(file).stderr(Stdio::piped()).spawn();
    let child = child.expect("it runs");
    meta.node("one", Some(before));
    meta.make_chain(&[disk]);
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(asked.expect("it runs").success());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", words(&output));
    assert!(words(&output).contains("stopping"), "{}", words(&output));

    host.restart(&meta);
    let at = replicas(&meta.make_chain(&[disk]))[0];
    let client = Client::connect(2, &host).await;
    let found = client.read(at, chunk(1, 0)).await.expect("read");
    assert_eq!(found.as_deref(), Some(&b"in process"[..]));
}

#[test]
fn a_wrong_configuration_is_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("storage.toml");
    std::fs::write(&file, "clustre = 1\n").expect("written");
    let output = program().arg("--config").arg(&file).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("clustre"), "{}", words(&output));
}

/// What a start refuses, and can be known without the disks, is refused by the check in the same words.
#[test]
fn a_configuration_is_checked_as_a_start_checks_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("storage.toml");
    let own = directory.path().join("own");
    let least = format!(
        "cluster = \"{CLUSTER}\"\nname = \"a\"\nmeta = [\"127.0.0.1:1\"]\nlisten = [\"127.0.0.1:0\"]\n\
         directory = {own:?}\ndisks = [{:?}]\n",
        directory.path().join("disk"),
    );
    let check = |text: &str| {
        std::fs::write(&file, text).expect("written");
        program().arg("config").arg(&file).output().expect("it runs")
    };
    let right = check(&least);
    assert!(right.status.success(), "{}", words(&right));
    for (line, said) in [
        ("domain = 3000000000\n", "domain: 3000000000, expected less than"),
        ("[log]\nlevel = \"warning\"\n", "log.level: `warning` is none of off, error, warn, info"),
        ("[log]\nlevel = \"\"\n", "log.level: `` is none of"),
        ("[log]\nfile = \"\"\n", "log.file: empty"),
    ] {
        let checked = check(&format!("{least}{line}"));
        let started = program().arg("--config").arg(&file).output().expect("it runs");
        assert_eq!((checked.status.code(), started.status.code()), (Some(1), Some(1)), "{line}");
        assert!(words(&checked).contains(said), "{}", words(&checked));
        assert_eq!(words(&checked), words(&started));
    }
    let elsewhere = check(&least.replace("127.0.0.1:0", "192.0.2.1:7100"));
    assert_eq!(elsewhere.status.code(), Some(1), "{}", words(&elsewhere));
    assert!(words(&elsewhere).contains("can be reached from other"), "{}", words(&elsewhere));
    assert!(!own.exists(), "nothing was made");
}

#[test]
fn wrong_usage_has_a_status_of_its_own() {
    for wrong in [&[][..], &["--no-such-flag"], &["format-disk", "/nowhere"], &["config"]] {
        let output = program().args(wrong).output().expect("it runs");
        assert_eq!(output.status.code(), Some(64), "{wrong:?}: {}", words(&output));
        assert!(words(&output).contains("emberfs-storage"), "{wrong:?}: {}", words(&output));
    }
    let asked = program().arg("--help").output().expect("it runs");
    assert!(asked.status.success());
    assert!(String::from_utf8_lossy(&asked.stdout).contains("A storage server of EmberFS"));
}
