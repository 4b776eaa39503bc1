//! Every process tells what it counts, and `emberfs status` what all of them do.

use emberfs_client::{Bytes, FileOffset, OpenOptions, metrics};

use crate::local::LocalCluster;
use crate::process::until;
use crate::told::Told;

/// What is written: several chunks on each chain.
const LEN: usize = 16 << 20;
/// What one sample is told apart by.
const CLIENT: &str = "peer=\"client\"";

/// What the servers of a cluster tell, by name.
fn all(cluster: &LocalCluster, kind: &str) -> Vec<Told> {
    let servers = cluster.servers().into_iter().filter(|name| name.starts_with(kind));
    servers.map(|name| cluster.told(&name)).collect()
}

fn sum(of: &[Told], name: &str, labels: &[&str]) -> f64 {
    of.iter().map(|told| told.sum(name, labels)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_tells_what_it_counts() {
    let cluster = LocalCluster::start(&["--disks", "1"]);
    let client = cluster.client().await;
    let before = [all(&cluster, "meta-"), all(&cluster, "storage-")];
    let how = OpenOptions::new().read(true).write(true).create(true);
    let file = client.fs().open("counted", &how).await.expect("opened");
    file.write_at(FileOffset(0), Bytes::from(vec![7; LEN])).await.expect("written");
    let (read, bytes) = file.read_at(FileOffset(0), vec![0; LEN]).await;
    assert_eq!((read, bytes == vec![7; LEN]), (Ok(LEN), true));
    file.close().await.expect("closed");
    let after = [all(&cluster, "meta-"), all(&cluster, "storage-")];
    for (then, now) in before.iter().flatten().zip(after.iter().flatten()) {
        now.follows(then);
        assert!(now.sum("emberfs_build_info", &[]) >= 1.0);
        assert!(now.sum("process_resident_memory_bytes", &[]) > 1e6);
        assert!(now.sum("process_cpu_seconds_total", &[]) > 0.0);
        assert!(now.sum("process_open_fds", &[]) > 3.0);
    }
    let [meta, storage] = &after;
    for servers in [meta, storage] {
        assert!(sum(servers, "emberfs_rpc_connections", &[CLIENT]) >= 1.0);
        assert!(sum(servers, "emberfs_rpc_connections", &["peer=\"storage\""]) >= 3.0);
    }
    let grew = |place: usize, name: &str, labels: &[&str]| {
        sum(&after[place], name, labels) - sum(&before[place], name, labels)
    };
    metadata_is_counted(meta, &grew);
    chunks_are_counted(storage, &grew);
    sizes_are_told(&cluster).await;
    let own = format!("client=\"{}\"", newest_client(&cluster));
    let of_client = sum(storage, "emberfs_rpc_client_requests_total", &[&own]);
    assert!(of_client >= 16.0, "each chunk is a request at least: {of_client}");
    let ours = Told::parse(&metrics::text());
    assert!(ours.sum("emberfs_call_requests_total", &["method=\"UpdateChunk\""]) >= 16.0);
    assert!(ours.sum("emberfs_call_sent_bytes_total", &["method=\"UpdateChunk\""]) >= LEN as f64);
    client.close().await.expect("left");
    cluster.down();
}

/// The number of the client that came last, as an operator reads it.
fn newest_client(cluster: &LocalCluster) -> String {
    let listed = cluster.must(&["client", "list"]);
    let last = listed.lines().last().expect("there is one");
    last.split_whitespace().next().expect("its number").to_owned()
}

fn metadata_is_counted(meta: &[Told], grew: &dyn Fn(usize, &str, &[&str]) -> f64) {
    assert!(grew(0, "emberfs_rpc_requests_total", &["method=\"Mutate\"", CLIENT]) >= 1.0);
    assert!(grew(0, "emberfs_rpc_seconds_count", &["method=\"Mutate\""]) >= 1.0);
    assert!(grew(0, "emberfs_meta_sync_seconds_count", &[]) >= 2.0, "on a majority");
    assert!(grew(0, "emberfs_meta_apply_seconds_count", &[]) >= 1.0);
    assert!(grew(0, "emberfs_meta_sync_group_size_count", &[]) >= 1.0);
    assert_eq!(sum(meta, "emberfs_meta_leader", &[]), 1.0, "one leads");
    let terms: Vec<f64> = meta.iter().map(|told| told.sum("emberfs_meta_term", &[])).collect();
    assert!(terms.iter().all(|term| *term >= 1.0 && *term == terms[0]), "{terms:?}");
    for told in meta {
        let committed = told.sum("emberfs_meta_committed_index", &[]);
        assert!(committed > 1.0 && told.sum("emberfs_meta_applied_index", &[]) <= committed);
        assert!(told.sum("emberfs_meta_log_bytes", &[]) > 0.0);
    }
}

/// What is looked at now and then, and not with each request.
async fn sizes_are_told(cluster: &LocalCluster) {
    until("the leader has counted servers and clients", async || {
        let meta = all(cluster, "meta-");
        let leases = sum(&meta, "emberfs_meta_storage_leases", &[]);
        leases == 3.0 && sum(&meta, "emberfs_meta_sessions", &[]) >= 1.0
    })
    .await;
    until("each disk has counted its chunks", async || {
        let sizes = |told: &Told| {
            told.sum("emberfs_disk_chunks", &[]) >= 1.0
                && told.sum("emberfs_disk_index_bytes", &[]) >= 64.0
                && told.sum("emberfs_disk_used_bytes", &[]) > 0.0
        };
        all(cluster, "storage-").iter().all(sizes)
    })
    .await;
}

fn chunks_are_counted(storage: &[Told], grew: &dyn Fn(usize, &str, &[&str]) -> f64) {
    let len = LEN as f64;
    assert!(grew(1, "emberfs_rpc_received_bytes_total", &[CLIENT]) >= len);
    assert!(grew(1, "emberfs_rpc_sent_bytes_total", &[CLIENT]) >= len);
    let forwarded = ["method=\"ForwardUpdate\"", "peer=\"storage\""];
    assert!(grew(1, "emberfs_rpc_received_bytes_total", &forwarded) >= 2.0 * len, "twice each");
    assert!(grew(1, "emberfs_call_sent_bytes_total", &["method=\"ForwardUpdate\""]) >= 2.0 * len);
    assert!(grew(1, "emberfs_disk_written_bytes_total", &[]) >= 3.0 * len, "three replicas");
    assert!(grew(1, "emberfs_disk_read_bytes_total", &[]) >= len);
    assert!(grew(1, "emberfs_disk_read_seconds_count", &[]) >= 1.0);
    assert!(grew(1, "emberfs_disk_sync_seconds_count", &[]) >= 3.0);
    assert!(grew(1, "emberfs_disk_sync_group_size_sum", &[]) >= 3.0);
    for told in storage {
        assert!(told.has("emberfs_disk_queue_depth") && told.has("emberfs_pool_bytes"));
        assert!(told.sum("emberfs_call_requests_total", &["method=\"Heartbeat\""]) >= 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_rates_and_the_slowest_disk() {
    let cluster = LocalCluster::start(&["--disks", "1", "--meta", "1"]);
    let client = cluster.client().await;
    let how = OpenOptions::new().read(true).write(true).create(true);
    let file = client.fs().open("busy", &how).await.expect("opened");
    until("the status shows that something is done", async || {
        file.write_at(FileOffset(0), Bytes::from(vec![1; 2 << 20])).await.expect("written");
        let said = cluster.must(&["status"]);
        let rates = said.lines().find_map(|line| line.strip_prefix("rates: "));
        let rates = rates.unwrap_or_else(|| panic!("{said}"));
        let is_busy = !rates.starts_with("0 ") && rates.contains(" chunk requests/s, ");
        is_busy && rates.contains(" metadata requests/s") && said.contains("\nslowest disk: ")
    })
    .await;
    let said = cluster.must(&["status", "--json"]);
    for key in ["\"rates\": {", "\"storage\": {", "\"metadata\": {", "\"slowest_disk\": {"] {
        assert!(said.contains(key), "{key}: {said}");
    }
    assert!(said.contains("\"received_bytes_per_s\": ") && said.contains("\"sync_p99_us\": "));
    file.close().await.expect("closed");
    client.close().await.expect("left");
    cluster.down();
}
