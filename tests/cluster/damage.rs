//! `emberfs check`: damage that nobody has met yet is found, and the replica that has it is named.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Output;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::load::Load;
use crate::local::LocalCluster;
use crate::process::until;

/// Three servers with a disk each, a replica of every chunk on every one.
const THREE: [&str; 4] = ["--storage", "3", "--disks", "1"];
/// The smallest block: every block of a chunk begins at a multiple of it in the data file.
const BLOCK: usize = 4096;

/// Bytes that are nowhere else.
pub(super) fn noise(len: usize) -> Vec<u8> {
    let mut random = SmallRng::seed_from_u64(7);
    (0..len).map(|_| random.random()).collect()
}

/// Flips a bit of the block that begins with these bytes, in a server's only data file.
pub(super) fn damage(cluster: &LocalCluster, server: &str, first: &[u8]) {
    let path = cluster.directory().join(server).join("disk-1/blocks");
    let file = File::options().read(true).write(true).open(&path).expect("the data file");
    let mut block = vec![0; BLOCK];
    let len = file.metadata().expect("its length").len();
    let at = (0..len / BLOCK as u64).map(|number| number * BLOCK as u64).find(|at| {
        file.read_exact_at(&mut block, *at).expect("read");
        block == first[..BLOCK]
    });
    let at = at.unwrap_or_else(|| panic!("{} has the block", path.display()));
    file.write_all_at(&[first[99] ^ 0x10], at + 99).expect("written");
    file.sync_all().expect("on the disk");
}

fn text(output: &Output) -> (Option<i32>, String) {
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

async fn until_healthy(cluster: &LocalCluster) {
    until("all is well again", async || cluster.emberfs(&["status"]).status.success()).await;
}

pub(super) fn copy_in(cluster: &LocalCluster, bytes: &[u8], to: &str) {
    let local = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(local.path(), bytes).expect("written");
    let path: &Path = local.path();
    cluster.must(&["cp", &path.to_string_lossy(), to]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_replica_is_found_and_named() {
    let cluster = LocalCluster::start(&THREE);
    cluster.must(&["mkdir", "-p", "ember:/a/b", "ember:/empty"]);
    let bytes = noise((3 << 20) + 12_345);
    copy_in(&cluster, &bytes, "ember:/a/b/noise");
    copy_in(&cluster, b"small", "ember:/a/small");
    let clean = text(&cluster.emberfs(&["check"]));
    assert_eq!(clean.0, Some(0), "{}", clean.1);
    assert!(clean.1.contains("whole: 2 files, 5 chunks, 9.0"), "{}", clean.1);

    cluster.kill("storage-2").await;
    damage(&cluster, "storage-2", &bytes[1 << 20..]);
    cluster.until_left_out("storage-2").await;
    let away = text(&cluster.emberfs(&["check", "ember:/a"]));
    assert_eq!(away.0, Some(3), "a replica could not be read: {}", away.1);
    assert!(away.1.contains("on storage-2: not serving: offline"), "{}", away.1);

    cluster.start_registered("storage-2").await;
    until_healthy(&cluster).await;
    let found = text(&cluster.emberfs(&["check", "ember:/a"]));
    assert_eq!(found.0, Some(1), "{}", found.1);
    let named = found.1.lines().filter(|line| line.contains("corrupt")).collect::<Vec<_>>();
    assert!(named.len() == 1 && named[0].contains("on storage-2: corrupt"), "{}", found.1);
    assert!(found.1.contains("ember:/a/b/noise: chunk 1 of chain-"), "{}", found.1);
    let json = text(&cluster.emberfs(&["check", "--json", "ember:/a/b/noise"]));
    assert_eq!(json.0, Some(1), "{}", json.1);
    for words in ["\"schema\": 1", "\"verdict\": \"damaged\"", "\"node_name\": \"storage-2\""] {
        assert!(json.1.contains(words), "{words}: {}", json.1);
    }
    assert_eq!(json.1.matches("\"at_fault\": true").count(), 1, "{}", json.1);
    assert_eq!(cluster.emberfs(&["check", "ember:/a/small"]).status.code(), Some(0));
    // What cannot be checked hides nothing.
    let part = text(&cluster.emberfs(&["check", "ember:/no", "ember:/a"]));
    assert_eq!(part.0, Some(1), "{}", part.1);
    for words in ["on storage-2: corrupt", "not all was checked: ember:/no: no such file"] {
        assert!(part.1.contains(words), "{words}: {}", part.1);
    }
    let part = text(&cluster.emberfs(&["check", "--json", "ember:/a", "ember:/no"]));
    assert_eq!(part.0, Some(1), "{}", part.1);
    for words in ["\"failed\": 1", "\"why\": \"ember:/no: no such", "\"verdict\": \"damaged\""] {
        assert!(part.1.contains(words), "{words}: {}", part.1);
    }
    assert_eq!(part.1.matches("\"at_fault\": true").count(), 1, "{}", part.1);
    cluster.down();
    assert_eq!(cluster.emberfs(&["check", "--timeout", "0.2"]).status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_eight_writers_change_meanwhile_is_no_damage() {
    let cluster = LocalCluster::start(&THREE);
    let mut load = Load::start(&cluster).await;
    for _ in 0..3 {
        load.goes_on(2).await;
        let (code, said) = text(&cluster.emberfs(&["check"]));
        // A chunk that is written all the time may never rest.
        assert!(code == Some(0) || code == Some(3), "{said}");
        assert!(!said.contains("damaged") && !said.contains("not serving"), "{said}");
    }
    load.finish(&cluster).await;
    let (code, said) = text(&cluster.emberfs(&["check"]));
    assert_eq!(code, Some(0), "{said}");
    cluster.down();
}
