//! Servers of another protocol version: whoever asks is told which side to upgrade.

use std::process::Command;

use emberfs_transport::{Limits, Pending};
use emberfs_wire::handshake::Refusal;
use emberfs_wire::protocol::{ProtocolRange, ProtocolVersion};
use tokio::net::{TcpListener, TcpStream};

use crate::local::program;

/// Refuses all as a metadata server would that speaks only later versions; where.
async fn metadata_server_of_the_future() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a peer");
            // A peer that leaves, or takes its time, is in nobody else's way.
            tokio::spawn(refuse(stream));
        }
    });
    address
}

/// Refuses one; `None` if it has gone before.
async fn refuse(stream: TcpStream) -> Option<()> {
    let pending = Pending::accept(stream, Limits::default()).await.ok()?;
    let theirs = pending.hello().protocol;
    let next = ProtocolVersion(theirs.newest.0 + 1);
    let ours = ProtocolRange { oldest: next, newest: ProtocolVersion(next.0 + 1) };
    pending.refuse(Refusal::NoCommonProtocol { ours, theirs }).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_too_old_is_told_so() {
    let address = metadata_server_of_the_future().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (path, log) = (directory.path().join("mount"), directory.path().join("mount.log"));
    std::fs::create_dir(&path).expect("made");
    let (path, log) = (path.to_string_lossy(), format!("deadline=5,log={}", log.display()));
    for (name, words, code) in [
        ("emberfs", &["--cluster", &address, "--timeout", "5", "status"][..], 3),
        ("emberfs", &["--cluster", &address, "--timeout", "5", "ls"], 1),
        ("emberfs-fuse", &[&address, &path, "-o", &log], 32),
    ] {
        let mut command = Command::new(program(name));
        command.args(words).env("EMBERFS_CONFIG_DIR", directory.path());
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("no panic").expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{name} {words:?}: {said}");
        for part in [
            &*format!("{address} refuses: no common protocol version"),
            "who listens speaks 2 to 3, who connects speaks 1",
            "upgrade the side that connects",
        ] {
            assert!(said.contains(part), "{name} {words:?} should say {part}: {said}");
        }
    }
}
