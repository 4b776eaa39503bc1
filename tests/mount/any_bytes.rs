//! Names of any bytes: made, listed, moved and removed by the mount and by the library, shown by the commands.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use emberfs_client::{Client, OpenOptions};
use tokio::runtime::Runtime;

use crate::local::LocalCluster;
use crate::mounted::{Mounted, cluster, words};

type Names = BTreeSet<Vec<u8>>;

/// Each byte that may be in a name, alone and among others; as long as a name may be; what is no UTF-8, and what tools
/// take for something else.
fn names() -> Names {
    let bytes = || (1..=u8::MAX).filter(|byte| *byte != b'/');
    let alone = bytes().filter(|byte| *byte != b'.').map(|byte| vec![byte]);
    let among = bytes().map(|byte| vec![b'a', byte, b'z']);
    let long = [vec![0xff; 255], vec![b'\n'; 255], "ä".repeat(127).into_bytes()];
    let odd = [
        "...",
        "..a",
        " ",
        "-rf",
        "*",
        "a\\nb",
        "\u{1b}[2J",
        "\u{9b}2J",
        "a\tb\r\n",
        "ember:",
        "~",
    ];
    let broken = [b"\xc3\x28".to_vec(), b"\xed\xa0\x80".to_vec(), b"\xf0\x9f".to_vec()];
    let odd = odd.into_iter().map(|name| name.as_bytes().to_vec());
    alone.chain(among).chain(long).chain(odd).chain(broken).collect()
}

fn below(directory: &Path, name: &[u8]) -> PathBuf {
    directory.join(OsStr::from_bytes(name))
}

/// What the mount lists.
fn listed(directory: &Path) -> Names {
    let entries = fs::read_dir(directory).expect("a directory");
    let found: Vec<_> = entries.map(|entry| entry.expect("one").file_name().into_vec()).collect();
    let names: Names = found.iter().cloned().collect();
    assert_eq!(names.len(), found.len(), "none twice");
    names
}

/// What the library lists.
async fn listed_by(client: &Client, directory: &str) -> Names {
    let mut listing = client.fs().list(directory).expect("a path");
    let mut names = Names::new();
    while let Some(entry) = listing.next().await.expect("a listing") {
        assert!(names.insert(entry.name.as_bytes().to_vec()), "none twice");
    }
    names
}

#[test]
fn names_are_any_bytes() {
    let Some(cluster) = cluster("names_are_any_bytes", &[]) else { return };
    let (mount, names) = (Mounted::start(&cluster, ""), names());
    let there = mount.at("by-mount");
    fs::create_dir(&there).expect("made");
    for name in &names {
        fs::write(below(&there, name), name).expect("written");
    }
    assert_eq!(listed(&there), names);
    for name in &names {
        assert_eq!(&fs::read(below(&there, name)).expect("there"), name);
    }
    Runtime::new().expect("threads").block_on(async {
        let client = cluster.client().await;
        let fs = client.fs();
        assert_eq!(listed_by(&client, "by-mount").await, names);
        fs.mkdir("by-library").await.expect("made");
        for name in &names {
            let (from, to) =
                (below(Path::new("by-mount"), name), below(Path::new("by-library"), name));
            fs.rename(&from, &to).await.expect("renamed");
            let file = fs.open(&to, &OpenOptions::new().read(true)).await.expect("there");
            assert_eq!(file.attributes().size.get(), name.len() as u64);
        }
        client.close().await.expect("left");
    });
    assert_eq!(listed(&there), Names::new());
    let there = mount.at("by-library");
    assert_eq!(listed(&there), names);
    shown(&cluster, &names);
    for name in &names {
        let (from, to) = (below(&there, name), below(&mount.path(), &moved(name)));
        fs::rename(&from, &to).expect("renamed");
        assert_eq!(&fs::read(&to).expect("there"), name);
        fs::remove_file(&to).expect("removed");
    }
    assert_eq!(listed(&there), Names::new());
    mount.leave();
    cluster.down();
}

/// Another name, as long and as odd.
fn moved(name: &[u8]) -> Vec<u8> {
    match name {
        [rest @ .., last] if name.len() == 255 => [rest, &[last ^ 1]].concat(),
        _ => [name, b"~"].concat(),
    }
}

/// The commands take each name, and what they print for people moves no terminal.
fn shown(cluster: &LocalCluster, names: &Names) {
    let printed = cluster.emberfs(&["ls", "ember:/by-library"]).stdout;
    let expected: Vec<u8> = names.iter().flat_map(|name| [name, &b"\n"[..]].concat()).collect();
    assert!(printed == expected, "to what is no terminal each name goes as it is");
    let table = cluster.must(&["ls", "-l", "ember:/by-library"]);
    assert_eq!(table.lines().count(), names.len() + 1, "{table}");
    assert_clean(table.as_bytes());
    assert_clean(cluster.must(&["ls", "--json", "ember:/by-library"]).as_bytes());
    for name in names.iter().step_by(7).chain(names.last()) {
        let path = OsString::from_vec([b"ember:/by-library/", &name[..]].concat());
        let run = |words: &[&str]| {
            let mut command = cluster.command("emberfs");
            command.args(words).arg(&path).output().expect("it starts")
        };
        let read = run(&["cat"]);
        assert!(read.status.success() && &read.stdout == name, "{}", words(&read));
        for verb in [&["stat"][..], &["stat", "--json"], &["check", "--json"]] {
            let said = run(verb);
            assert!(said.status.success(), "{}", words(&said));
            assert_clean(&said.stdout);
        }
        let refused = run(&["mkdir"]);
        assert!(!refused.status.success(), "{}", words(&refused));
        assert_clean(&refused.stderr);
    }
}

#[track_caller]
fn assert_clean(said: &[u8]) {
    let text = std::str::from_utf8(said).expect("text");
    let is_clean = !text.chars().any(|char| char.is_control() && char != '\n');
    assert!(is_clean, "{text:?}");
}
