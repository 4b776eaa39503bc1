//! The example that users begin with, as they run it.

use std::path::PathBuf;
use std::process::Command;

use emberfs_layout::FileOffset;

use super::server::Servers;
use super::{CHUNK, pattern};
use crate::OpenOptions;

/// Where cargo puts an example: beside the directory of this very test.
fn copy_tree() -> PathBuf {
    let test = std::env::current_exe().expect("a program");
    let built = test.ancestors().nth(2).expect("target, profile, deps").join("examples/copy_tree");
    assert!(
        built.exists(),
        "cargo builds it with all tests of this package, but not by --lib alone"
    );
    built
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_copied() {
    let servers = Servers::start().await;
    let from = tempfile::tempdir().expect("a directory");
    let (small, large) = (pattern(9, 1), pattern(5 * CHUNK + 7, 2));
    std::fs::create_dir_all(from.path().join("a/b")).expect("made");
    std::fs::write(from.path().join("small"), &small).expect("written");
    std::fs::write(from.path().join("a/b/large"), &large).expect("written");
    std::fs::write(from.path().join("a/empty"), "").expect("written");
    std::os::unix::fs::symlink("../small", from.path().join("a/link")).expect("made");
    let mut copy = Command::new(copy_tree());
    copy.arg(servers.address.meta[0].to_string()).arg(from.path()).arg("/to");
    let copied = tokio::task::spawn_blocking(move || copy.output()).await.expect("no panic");
    let copied = copied.expect("it can be started");
    let words = String::from_utf8_lossy(&copied.stderr).into_owned();
    assert!(copied.status.success(), "{words}");
    let said = String::from_utf8_lossy(&copied.stdout).into_owned();
    assert_eq!(said, format!("3 files, {} bytes\n", small.len() + large.len()));
    let client = servers.client().await;
    let fs = client.fs();
    for (name, bytes) in [("to/small", &small), ("to/a/b/large", &large)] {
        let file = fs.open(name, &OpenOptions::new().read(true)).await.expect("there");
        let (read, buf) = file.read_at(FileOffset(0), vec![0; bytes.len() + 1]).await;
        assert_eq!((read, &buf[..bytes.len()]), (Ok(bytes.len()), &bytes[..]));
    }
    assert_eq!(fs.stat("to/a/empty").await.expect("there").size.get(), 0);
    assert_eq!(fs.read_link("to/a/link").await, Ok(PathBuf::from("../small")));
    let state = servers.world.state();
    assert_eq!(state.namespace.sessions.len(), 1, "it said good-bye");
    assert!(state.namespace.writers.is_empty());
}
