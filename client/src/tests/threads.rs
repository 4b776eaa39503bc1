//! The blocking API, from threads without a runtime.

use tokio::runtime::Runtime;

use super::server::Servers;
use super::{CHUNK, both, pattern};
use crate::{ByteLen, ClientError, FileOffset, FsError, InodeKind, OpenOptions, blocking};

#[test]
fn threads_write_read_and_list() {
    let runtime = Runtime::new().expect("threads");
    let servers = runtime.block_on(Servers::start());
    let client = blocking::Client::connect(&servers.address, &Servers::options());
    let client = client.expect("a client");
    let fs = client.fs();
    std::thread::scope(|scope| {
        for i in 0..4_u8 {
            let fs = &fs;
            scope.spawn(move || {
                let file = fs.open(format!("f{i}"), &both()).expect("created");
                let bytes = pattern(3 * CHUNK, i);
                file.write_at(FileOffset(0), &bytes).expect("written");
                let mut buf = vec![0; 3 * CHUNK];
                assert_eq!(file.read_at(FileOffset(0), &mut buf), Ok(buf.len()));
                assert_eq!(buf, bytes);
                let (a, b) = buf.split_at_mut(CHUNK);
                let mut batch = [(FileOffset(5), &mut a[..9]), (FileOffset(0), &mut b[..7])];
                assert_eq!(file.read_batch(&mut batch), [Ok(9), Ok(7)]);
                assert_eq!((&a[..9], &b[..7]), (&bytes[5..14], &bytes[..7]));
                assert_eq!(file.append(b"end"), Ok(FileOffset(3 * CHUNK as u64)));
                file.close().expect("closed");
            });
        }
    });
    let entries = fs.list("/").expect("a path").map(|entry| entry.expect("listed"));
    let names: Vec<_> = entries.map(|entry| entry.name.to_string()).collect();
    assert_eq!(names, ["f0", "f1", "f2", "f3"]);
    a_tree(&fs);
    drop(fs);
    client.close().expect("closed");
    drop(client);
    assert!(servers.world.state().namespace.sessions.is_empty());
}

/// Directories, links and lengths.
fn a_tree(fs: &blocking::Fs) {
    fs.mkdir_all("d/e").expect("made");
    let directory = fs.mkdir("d/g").expect("made").inode;
    let new = OpenOptions::new().write(true).create_new(true);
    let file = fs.open("d/part", &new).expect("created");
    file.write_at(FileOffset(0), b"weights").expect("written");
    file.set_len(ByteLen(4)).expect("cut");
    file.sync().expect("synced");
    assert_eq!(file.stat().expect("told").size, ByteLen(4));
    file.close().expect("closed");
    fs.rename("d/part", "d/whole").expect("moved");
    fs.hard_link("d/whole", "d/e/again").expect("linked");
    fs.symlink("whole", "d/link").expect("made");
    assert_eq!(fs.read_link("d/link").expect("a link").to_str(), Some("whole"));
    assert_eq!(fs.lstat("d/link").expect("there").kind, InodeKind::Symlink);
    assert_eq!(fs.stat("d/whole").expect("there").nlink, 2);
    let entries: Vec<_> = fs.list("d").expect("a path").map(|e| e.expect("listed")).collect();
    let of = |name: &str| entries.iter().find(|entry| entry.name.to_string() == name);
    assert_eq!((entries.len(), of("g").expect("listed").inode), (4, directory));
    assert_eq!(fs.remove_dir("d").expect_err("full"), ClientError::Fs(FsError::NotEmpty));
    fs.remove("d/link").expect("removed");
    fs.remove_dir("d/g").expect("removed");
    fs.remove_all("d").expect("removed");
    assert_eq!(fs.stat("d").expect_err("gone"), ClientError::Fs(FsError::NotFound));
    assert!(fs.space().expect("told").free > ByteLen::ZERO);
}
