//! A mount tells what the kernel asks of it.

use std::fs;

use emberfs_tests::told::Told;

use crate::mounted::cluster;

#[test]
fn a_mount_of_up_tells_what_it_counts() {
    let Some(cluster) = cluster("a_mount_of_up_tells_what_it_counts", &[]) else { return };
    let top = cluster.folder();
    let path = top.path().join("mount");
    let directory = cluster.directory();
    let [dir, mount] = [&directory, &path].map(|path| path.display().to_string());
    cluster.must(&["up", "--dir", &dir, "--mount", &mount]);
    let plan = fs::read_to_string(directory.join("local.toml")).expect("written by `up`");
    let port = plan.lines().find_map(|line| line.strip_prefix("mount_metrics_ports = ["));
    let port = port.and_then(|port| port.strip_suffix(']')).expect("one mount, one port");
    let address = format!("127.0.0.1:{port}");
    let before = Told::by(&address);
    let file = path.join("file");
    fs::write(&file, b"some bytes").expect("written");
    assert_eq!(fs::read(&file).expect("read"), b"some bytes");
    assert!(fs::metadata(path.join("nothing")).is_err(), "there is no such file");
    let after = Told::by(&address);
    after.follows(&before);
    for call in ["create", "write", "flush", "open", "read", "lookup"] {
        let counted =
            |told: &Told| told.sum("emberfs_fuse_seconds_count", &[&format!("call=\"{call}\"")]);
        assert!(counted(&after) > counted(&before), "{call}");
    }
    let missing = ["call=\"lookup\"", "errno=\"2\""];
    assert!(after.sum("emberfs_fuse_errors_total", &missing) >= 1.0);
    assert!(after.sum("emberfs_call_requests_total", &["method=\"UpdateChunk\""]) >= 1.0);
    assert!(after.sum("process_resident_memory_bytes", &[]) > 1e6);
    cluster.must(&["down", "--dir", &dir]);
}
