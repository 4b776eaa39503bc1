//! All processes die at once, under writers, and are started in any order.

use crate::load::Load;
use crate::local::LocalCluster;

#[tokio::test(flavor = "multi_thread")]
async fn all_die_and_start_in_any_order() {
    let cluster = LocalCluster::start(&[]);
    let mut load = Load::start(&cluster).await;
    for order in [
        ["storage-3", "meta-3", "storage-1", "meta-1", "storage-2", "meta-2"],
        ["meta-1", "meta-2", "storage-2", "storage-1", "meta-3", "storage-3"],
        ["storage-1", "storage-2", "storage-3", "meta-2", "meta-3", "meta-1"],
    ] {
        load.goes_on(20).await;
        cluster.kill_all();
        order.iter().for_each(|server| cluster.start_one(server));
        load.goes_on(20).await;
        cluster.up();
    }
    load.finish(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_storage_servers_die_and_start_one_after_the_other() {
    let cluster = LocalCluster::start(&[]);
    let mut load = Load::start(&cluster).await;
    load.goes_on(20).await;
    let storage = ["storage-2", "storage-3", "storage-1"];
    storage.iter().for_each(|server| cluster.signal(server, "KILL"));
    for server in storage {
        cluster.until_gone(server).await;
        cluster.start_registered(server).await;
    }
    load.goes_on(20).await;
    cluster.up();
    load.finish(&cluster).await;
}
