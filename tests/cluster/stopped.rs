//! A process that hangs and goes on again: it believes what it believed before, and must not act on it.

use std::time::Duration;

use tokio::time::timeout;

use crate::load::Load;
use crate::local::LocalCluster;
use crate::replicas::Replicas;

/// For how long a process hangs at least: three times what it takes to go on without it.
const HANGS: Duration = Duration::from_secs(10);

/// More than a client's session may be silent.
const HANGS_LONG: Duration = Duration::from_secs(32);

/// Lets that much time pass: it is what is tested, not what is waited for.
async fn hang(time: Duration) {
    let passed = timeout(time, std::future::pending::<()>()).await;
    assert!(passed.is_err(), "nothing else ends it");
}

/// The writers get on without it before it goes on: their requests to it are old then, and were done by
/// others.
#[tokio::test(flavor = "multi_thread")]
async fn a_storage_server_that_hung_gives_no_old_byte_and_writes_nothing_late() {
    let cluster = LocalCluster::start(&[]);
    let mut load = Load::start(&cluster).await;
    load.goes_on(20).await;
    let before = Replicas::connect(&cluster.client().await).await;
    cluster.signal("storage-1", "STOP");
    cluster.until_left_out("storage-1").await;
    hang(HANGS).await;
    load.goes_on(20).await;
    let asked = load.ask_by_old_routing(&before, "storage-1").await;
    cluster.signal("storage-1", "CONT");
    asked.await.expect("no old byte");
    load.goes_on(20).await;
    cluster.up();
    load.goes_on(20).await;
    load.finish(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_servers_that_hung_go_on() {
    let cluster = LocalCluster::start(&[]);
    let mut load = Load::start(&cluster).await;
    for server in ["storage-1", "storage-3"] {
        load.goes_on(20).await;
        cluster.signal(server, "STOP");
        hang(HANGS).await;
        cluster.signal(server, "CONT");
    }
    load.goes_on(20).await;
    cluster.up();
    load.finish(&cluster).await;
}

/// It heard nobody meanwhile, and takes nobody for silent.
#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_server_that_hung_for_long_ends_no_session() {
    let cluster = LocalCluster::start(&["--meta", "1"]);
    let mut load = Load::start(&cluster).await;
    load.goes_on(20).await;
    cluster.signal("meta-1", "STOP");
    hang(HANGS_LONG).await;
    cluster.signal("meta-1", "CONT");
    load.goes_on(20).await;
    cluster.up();
    load.finish(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_server_that_hung_goes_on() {
    let cluster = LocalCluster::start(&["--meta", "1"]);
    let mut load = Load::start(&cluster).await;
    load.goes_on(20).await;
    cluster.signal("meta-1", "STOP");
    hang(HANGS).await;
    cluster.signal("meta-1", "CONT");
    load.goes_on(20).await;
    cluster.up();
    load.finish(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_hung_go_on() {
    let cluster = LocalCluster::start(&[]);
    let mut load = Load::start(&cluster).await;
    load.goes_on(20).await;
    let servers = cluster.servers();
    servers.iter().for_each(|server| cluster.signal(server, "STOP"));
    hang(HANGS).await;
    servers.iter().for_each(|server| cluster.signal(server, "CONT"));
    load.goes_on(20).await;
    cluster.up();
    load.finish(&cluster).await;
}
