//! The blocking API, from threads without a runtime.

use tokio::runtime::Runtime;

use super::server::Servers;
use super::{CHUNK, both, pattern};
use crate::{FileOffset, blocking};

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
    let names: Vec<_> = fs
        .list("/")
        .expect("a path")
        .map(|entry| entry.expect("listed").name.to_string())
        .collect();
    assert_eq!(names, ["f0", "f1", "f2", "f3"]);
    drop(fs);
    client.close().expect("closed");
    drop(client);
    assert!(servers.world.state().namespace.sessions.is_empty());
}
