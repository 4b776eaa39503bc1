//! One fault after the other, none of which waits for the one before to be healed.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::load::Load;
use crate::local::LocalCluster;

const STORAGE: [&str; 3] = ["storage-1", "storage-2", "storage-3"];

/// With one replica left writes wait, reads go on, and it never gives way to one that has less.
#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_die_at_once_and_come_back() {
    let cluster = LocalCluster::start(&[]);
    let mut load = Load::start(&cluster).await;
    for first in 0..3 {
        load.goes_on(20).await;
        let dead = [STORAGE[first], STORAGE[(first + 1) % 3]];
        dead.iter().for_each(|server| cluster.signal(server, "KILL"));
        for server in dead {
            cluster.until_left_out(server).await;
        }
        load.reads_go_on(20).await;
        dead.iter().for_each(|server| cluster.start_one(server));
        load.goes_on(20).await;
        cluster.up();
    }
    load.finish(&cluster).await;
}

/// A server dies again while it is brought up to date, then the one that brings it up to date.
#[tokio::test(flavor = "multi_thread")]
async fn servers_die_while_one_is_brought_up_to_date() {
    let cluster = LocalCluster::start(&[]);
    let mut load = Load::start(&cluster).await;
    for (round, returning) in STORAGE.into_iter().enumerate() {
        load.goes_on(20).await;
        cluster.kill(returning).await;
        cluster.until_left_out(returning).await;
        cluster.start_one(returning);
        cluster.until_syncing(returning).await;
        cluster.kill(returning).await;
        cluster.start_one(returning);
        cluster.until_syncing(returning).await;
        let source = STORAGE[(round + 1) % 3];
        cluster.kill(source).await;
        cluster.start_one(source);
        load.goes_on(20).await;
        cluster.up();
    }
    load.finish(&cluster).await;
}

/// Any server dies at any time and is started at once, many times.
#[tokio::test(flavor = "multi_thread")]
async fn any_server_dies_at_any_time() {
    let cluster = LocalCluster::start(&[]);
    let mut load = Load::start(&cluster).await;
    let mut random = SmallRng::seed_from_u64(5);
    let servers = cluster.servers();
    for _ in 0..20 {
        let server = &servers[random.random_range(0..servers.len())];
        cluster.kill(server).await;
        cluster.start_one(server);
        load.reads_go_on(random.random_range(0..60)).await;
    }
    load.goes_on(20).await;
    cluster.up();
    load.finish(&cluster).await;
}
