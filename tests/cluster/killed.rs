//! kill -9 of one process under writers.

use crate::load::Load;
use crate::local::LocalCluster;

#[tokio::test(flavor = "multi_thread")]
async fn each_storage_server_dies_and_comes_back_under_writers() {
    let cluster = LocalCluster::start(&[]);
    let mut load = Load::start(&cluster).await;
    for server in ["storage-1", "storage-3", "storage-2"] {
        load.goes_on(20).await;
        cluster.kill(server).await;
        cluster.until_left_out(server).await;
        load.goes_on(20).await;
        cluster.up();
    }
    load.goes_on(20).await;
    load.finish(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_servers_death_delays_and_loses_nothing() {
    let cluster = LocalCluster::start(&["--meta", "1"]);
    let mut load = Load::start(&cluster).await;
    for _ in 0..3 {
        load.goes_on(20).await;
        cluster.kill("meta-1").await;
        cluster.start_one("meta-1");
    }
    load.goes_on(20).await;
    cluster.up();
    load.finish(&cluster).await;
}
