//! Servers lose their power under a load: every acknowledged byte, length and name is there afterwards, and
//! what was removed stays away.

use std::slice;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::disk::can_be;
use crate::load::Load;
use crate::names::Names;
use crate::powered::PoweredCluster;
use crate::process::until;

/// Decides when power is lost, what survives, and who starts first.
const SEED: u64 = 11;

/// All at once, again and again, started in any order; once more while they start.
#[tokio::test(flavor = "multi_thread")]
async fn all_lose_their_power_and_lose_nothing() {
    if !can_be("all_lose_their_power_and_lose_nothing") {
        return;
    }
    let mut powered = PoweredCluster::start(1, 3, &[]);
    let mut load = Load::start(&powered.cluster).await;
    let mut random = SmallRng::seed_from_u64(SEED);
    let mut order = powered.servers();
    for round in 0..4 {
        let luck = (round > 0).then(|| random.random());
        load.goes_on(random.random_range(2..30)).await;
        powered.lose_power(&order, luck).await;
        order.shuffle(&mut random);
        powered.start_all(&order);
        if round == 2 {
            load.reads_go_on(1).await;
            powered.lose_power(&order, luck).await;
            powered.start_all(&order);
        }
    }
    load.goes_on(20).await;
    powered.cluster.up();
    load.finish(&powered.cluster).await;
}

/// One storage server after the other, then the metadata server, while the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn one_loses_its_power_while_others_go_on() {
    if !can_be("one_loses_its_power_while_others_go_on") {
        return;
    }
    let mut powered = PoweredCluster::start(1, 3, &[]);
    let mut load = Load::start(&powered.cluster).await;
    for (server, seed) in [("storage-1", None), ("storage-3", Some(4))] {
        load.goes_on(20).await;
        powered.lose_power(&[server.to_owned()], seed).await;
        powered.cluster.until_left_out(server).await;
        load.goes_on(20).await;
        powered.cluster.start_one(server);
        load.goes_on(20).await;
        powered.cluster.up();
    }
    for seed in [None, Some(5)] {
        load.goes_on(20).await;
        powered.lose_power(&["meta-1".to_owned()], seed).await;
        powered.cluster.start_one("meta-1");
    }
    load.goes_on(20).await;
    powered.cluster.up();
    load.finish(&powered.cluster).await;
}

/// A metadata member is away while all others lose their power: those that are left are a majority, and have all; then
/// it comes back, and is one of those who must have all.
#[tokio::test(flavor = "multi_thread")]
async fn all_but_a_missing_member_lose_their_power() {
    if !can_be("all_but_a_missing_member_lose_their_power") {
        return;
    }
    let mut powered = PoweredCluster::start(3, 3, &[]);
    let mut load = Load::start(&powered.cluster).await;
    let mut names = Names::start(&powered.cluster).await;
    for seed in [None, Some(7)] {
        load.goes_on(10).await;
        names.goes_on(20).await;
        let missing = match seed {
            None => powered.cluster.leader().await,
            Some(_) => powered.cluster.followers().await.remove(0),
        };
        powered.lose_power(slice::from_ref(&missing), seed).await;
        names.goes_on(20).await;
        let mut others = powered.servers();
        others.retain(|server| *server != missing);
        powered.lose_power(&others, seed).await;
        powered.start_all(&others);
        load.goes_on(10).await;
        names.goes_on(20).await;
        let leader = powered.cluster.leader().await;
        let last = powered.cluster.member(&leader).await.committed;
        powered.cluster.start_one(&missing);
        let member = async || powered.cluster.member(&missing).await;
        until("it has caught up", async || member().await.applied >= last).await;
        powered.lose_power(slice::from_ref(&leader), seed).await;
        names.goes_on(20).await;
        powered.cluster.start_one(&leader);
        powered.cluster.up();
    }
    load.goes_on(10).await;
    names.finish(&powered.cluster).await;
    load.finish(&powered.cluster).await;
}
