//! Three metadata members: any one of them may die, hang, be stopped or be away, and nothing that was acknowledged is
//! lost, made twice or seen as it was before.

use std::time::{Duration, Instant};

use emberfs_buffer::Pool;
use emberfs_client::{Bytes, ClientError, ClientOptions, ClusterAddress};
use emberfs_layout::{ByteLen, InodeId};
use emberfs_transport::{CallOptions, Limits, NoService, Peer, Tcp, connect};
use emberfs_wire::WireError;
use emberfs_wire::handshake::{Hello, Identity, Role};
use emberfs_wire::meta::{Ask, Caller, Path, Place, Query};
use emberfs_wire::protocol::{Features, ProtocolRange};
use tokio::time::timeout;

use crate::load::Load;
use crate::local::LocalCluster;
use crate::names::Names;
use crate::process::until;
use crate::verbs::hold;

/// Operations of each session between two events.
const SOME: u64 = 40;

/// One storage server is enough: names are what this is about.
const SHAPE: [&str; 6] = ["--storage", "1", "--disks", "1", "--replicas", "1"];

const MEMBERS: [&str; 3] = ["meta-1", "meta-2", "meta-3"];

/// Says how long something took: what it is to be is in the plans, what it is depends on the machine.
fn took(what: &str, time: Duration) {
    println!("{what}: {} ms", time.as_millis());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leaders_death_loses_nothing_and_makes_nothing_twice() {
    let cluster = LocalCluster::start(&SHAPE);
    let mut names = Names::start(&cluster).await;
    for _ in 0..4 {
        names.goes_on(SOME).await;
        let leader = cluster.leader().await;
        cluster.signal(&leader, "KILL");
        took("every session goes on after the death of the leader", names.goes_on(2).await);
        names.goes_on(SOME).await;
        took("the longest operation", names.longest());
        assert_ne!(cluster.leader().await, leader, "it is dead");
        cluster.until_gone(&leader).await;
        cluster.start_one(&leader);
    }
    names.goes_on(SOME).await;
    names.finish(&cluster).await;
    cluster.up();
    hold(&cluster, &[(&["status"], 0, &["healthy: 3 metadata members"])]);
    cluster.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_a_follower_changes_nothing() {
    let cluster = LocalCluster::start(&SHAPE);
    let mut names = Names::start(&cluster).await;
    names.goes_on(SOME).await;
    let leader = cluster.leader().await;
    let before = cluster.member(&leader).await;
    for follower in cluster.followers().await {
        names.goes_on(SOME).await;
        names.longest();
        cluster.kill(&follower).await;
        names.goes_on(SOME).await;
        took("the longest operation", names.longest());
        let silent = format!("degraded: {follower} (127.0.0.1:");
        hold(
            &cluster,
            &[(&["status"], 1, &[&silent, "does not answer", "is degraded: 3 metadata"])],
        );
        cluster.start_one(&follower);
        let last = cluster.member(&leader).await.committed;
        until("it has caught up", async || cluster.member(&follower).await.applied >= last).await;
    }
    names.goes_on(SOME).await;
    let after = cluster.member(&leader).await;
    assert_eq!((after.leader, after.term), (before.leader, before.term), "no election");
    names.finish(&cluster).await;
    cluster.down();
}

/// A connection to one member, as an operator's.
async fn peer(cluster: &LocalCluster, member: usize) -> Peer {
    let address = cluster.address();
    let hello = Hello {
        protocol: ProtocolRange::OURS,
        features: Features::OURS,
        identity: Identity {
            cluster: address.cluster,
            role: Role::Client,
            node: None,
            boot: None,
            client: None,
        },
        expected_role: Role::Meta,
        expected_node: None,
        shard: None,
    };
    let limits = Limits { silence_max: Duration::from_secs(60), ..Limits::default() };
    let pool = Pool::new(ByteLen(1 << 20));
    let met = connect(&Tcp, &address.meta[member], &hello, &pool, limits).await;
    let (connection, _) = met.expect("it is up");
    let peer = connection.peer();
    tokio::spawn(connection.run(NoService));
    peer
}

/// It took many questions before it hung, and does not answer one of them by what was true then.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_hung_tells_nothing_old_and_loses_nothing() {
    let cluster = LocalCluster::start(&SHAPE);
    let mut names = Names::start(&cluster).await;
    let client = cluster.client().await;
    client.fs().mkdir("before-0").await.expect("made");
    for round in 0..3 {
        names.goes_on(SOME).await;
        let leader = cluster.leader().await;
        let place = MEMBERS.iter().position(|member| *member == leader).expect("one of them");
        let old = peer(&cluster, place).await;
        cluster.signal(&leader, "STOP");
        let hung = Instant::now();
        let name = format!("before-{round}");
        let asked = (0..50).map(|_| {
            let (path, old) = (Path::new(name.as_bytes()).expect("a path"), old.clone());
            tokio::spawn(async move {
                let of = Place { start: InodeId::ROOT, path };
                let query = Query::Attributes { of, follow: true };
                let caller = Caller { uid: 0, gid: 0, groups: None };
                old.call(&Ask { caller, query }, Bytes::new(), &CallOptions::default()).await
            })
        });
        let asked: Vec<_> = asked.collect();
        client.fs().rename(&name, &format!("before-{}", round + 1)).await.expect("by another");
        took("a change is made while the leader hangs", hung.elapsed());
        assert!(client.fs().stat(&name).await.is_err(), "read through the new leader");
        took("every session goes on", names.goes_on(SOME).await);
        assert_ne!(cluster.leader().await, leader);
        cluster.signal(&leader, "CONT");
        for answer in asked {
            match answer.await.expect("no panic") {
                Err(emberfs_transport::CallError::Failed(
                    WireError::NotLeader { .. }
                    | WireError::Refuse { .. }
                    | WireError::Retry { .. },
                )) => {}
                Err(emberfs_transport::CallError::Failed(WireError::Wait { .. })) => {}
                Err(emberfs_transport::CallError::Closed(_)) => {}
                other => panic!("as it was before: {other:?}"),
            }
        }
        names.goes_on(SOME).await;
    }
    names.finish(&cluster).await;
    client.close().await.expect("left");
    cluster.up();
    cluster.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_members_die_and_start_in_any_order() {
    let cluster = LocalCluster::start(&SHAPE);
    let mut names = Names::start(&cluster).await;
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        names.goes_on(SOME).await;
        MEMBERS.iter().for_each(|member| cluster.signal(member, "KILL"));
        for member in MEMBERS {
            cluster.until_gone(member).await;
        }
        let started = Instant::now();
        order.iter().for_each(|place| cluster.start_one(MEMBERS[*place]));
        names.goes_on(2).await;
        took("every session goes on after the start of all members", started.elapsed());
    }
    names.finish(&cluster).await;
    cluster.down();
}

/// More than the log keeps for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_for_long_comes_back_by_a_copy_of_the_state() {
    let cluster = LocalCluster::start(&SHAPE);
    let mut names = Names::start(&cluster).await;
    names.goes_on(SOME).await;
    let away = cluster.followers().await.remove(0);
    let before = cluster.member(&away).await;
    cluster.kill(&away).await;
    let client = cluster.client().await;
    client.fs().mkdir("links").await.expect("made");
    let target = "t".repeat(4000);
    let leader = cluster.leader().await;
    for batch in 0_u32.. {
        let made = (0..200).map(|link| {
            let (fs, target) = (client.fs(), target.clone());
            tokio::spawn(async move { fs.symlink(&target, &format!("links/{batch}-{link}")).await })
        });
        for made in made.collect::<Vec<_>>() {
            made.await.expect("no panic").expect("made");
        }
        if cluster.member(&leader).await.cut > before.last {
            println!("{} links of 4,000 bytes, and its log begins later", (batch + 1) * 200);
            break;
        }
        assert!(batch < 200, "160 MB in the log, and nothing is cut");
    }
    let back = Instant::now();
    cluster.start_one(&away);
    let last = cluster.member(&leader).await.committed;
    until("it has caught up", async || cluster.member(&away).await.applied >= last).await;
    took("it has caught up", back.elapsed());
    assert!(cluster.member(&away).await.cut > before.last, "not by the log");
    names.goes_on(SOME).await;
    // With it alone is the other a majority.
    cluster.kill(&cluster.leader_but(&away).await).await;
    names.goes_on(SOME).await;
    names.finish(&cluster).await;
    client.close().await.expect("left");
    cluster.up();
    cluster.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_stopped_hands_over_first() {
    let cluster = LocalCluster::start(&SHAPE);
    let mut names = Names::start(&cluster).await;
    for _ in 0..3 {
        names.goes_on(SOME).await;
        names.longest();
        let leader = cluster.leader().await;
        cluster.signal(&leader, "TERM");
        took("every session goes on after a planned stop", names.goes_on(2).await);
        names.goes_on(SOME).await;
        took("the longest operation", names.longest());
        until("it has ended", async || cluster.process(&leader).is_none()).await;
        cluster.start_one(&leader);
    }
    names.goes_on(SOME).await;
    names.finish(&cluster).await;
    cluster.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_calls_wait_and_status_says_so() {
    let cluster = LocalCluster::start(&SHAPE);
    let mut names = Names::start(&cluster).await;
    names.goes_on(SOME).await;
    for dead in [["meta-1", "meta-2"], ["meta-2", "meta-3"]] {
        dead.iter().for_each(|member| cluster.signal(member, "KILL"));
        for member in dead {
            cluster.until_gone(member).await;
        }
        let short = ClientOptions { deadline: Some(Duration::from_secs(2)), ..Default::default() };
        let refused = cluster.connect(&short).await.map(|_| ());
        assert!(matches!(refused, Err(ClientError::Deadline { .. })), "{refused:?}");
        let status = ["status", "--timeout", "3"];
        let silent = format!("unavailable: {} (127.0.0.1:", dead[1]);
        let words =
            ["unavailable: the metadata group has no leader: 1 of 3 members answers", &*silent];
        hold(&cluster, &[(&status, 2, &words), (&status, 2, &["is unavailable: 1 of 3 metadata"])]);
        let json = ["status", "--timeout", "3", "--json"];
        hold(
            &cluster,
            &[(&json, 2, &["\"leader\": null", "\"state\": \"silent\"", "meta_members"])],
        );
        hold(&cluster, &[(&["meta", "list"], 0, &["STATE", "silent"])]);
        let before = names.all_done();
        let nothing = timeout(Duration::from_secs(1), names.goes_on(1)).await;
        assert!(nothing.is_err(), "{} operations without a majority", names.all_done() - before);
        let back = Instant::now();
        dead.iter().for_each(|member| cluster.start_one(member));
        names.goes_on(SOME).await;
        took("every session goes on", back.elapsed());
    }
    names.finish(&cluster).await;
    cluster.up();
    cluster.down();
}

/// Who reads and who writes waits, and sees no error.
#[tokio::test(flavor = "multi_thread")]
async fn a_storage_server_and_the_leader_die_at_once() {
    let cluster = LocalCluster::start(&[]);
    let mut load = Load::start(&cluster).await;
    for storage in ["storage-1", "storage-2"] {
        load.goes_on(20).await;
        let leader = cluster.leader().await;
        let died = Instant::now();
        cluster.signal(storage, "KILL");
        cluster.signal(&leader, "KILL");
        load.goes_on(1).await;
        took("every writer and reader goes on", died.elapsed());
        load.goes_on(20).await;
        cluster.until_gone(storage).await;
        cluster.until_gone(&leader).await;
        cluster.up();
    }
    load.goes_on(20).await;
    load.finish(&cluster).await;
    cluster.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_know_the_members() {
    let cluster = LocalCluster::start(&SHAPE);
    let dir = cluster.directory().to_string_lossy().into_owned();
    let up = ["up", "--dir", &dir];
    let listed = cluster.must(&["meta", "list", "--json"]);
    let count = |state: &str| listed.matches(&format!("\"state\": \"{state}\"")).count();
    assert_eq!((count("leads"), count("follows")), (1, 2), "{listed}");
    let leader = cluster.leader().await;
    let number = leader.trim_start_matches("meta-");
    hold(
        &cluster,
        &[(&["status", "--json"], 0, &[&format!("\"leader\": {number}"), "meta_members"])],
    );
    // Any one address is enough, and one that nobody has does not matter.
    for address in cluster.address().meta {
        let one = address.to_string();
        let two = format!("127.0.0.1:1,{one}");
        hold(&cluster, &[(&["--cluster", &one, "status"], 0, &["healthy: 3 metadata members"])]);
        hold(&cluster, &[(&["--cluster", &two, "ls"], 0, &[])]);
    }
    let [one, ..] = &cluster.address().meta[..] else { panic!("three") };
    let one = ClusterAddress { meta: vec![one.clone()], ..cluster.address() };
    let client = emberfs_client::Client::connect(&one, &ClientOptions::default()).await;
    let client = client.expect("by the others");
    cluster.kill("meta-1").await;
    client.fs().mkdir("d").await.expect("the others are known");
    client.close().await.expect("left");
    // Of a new leader the storage server is heard a moment later.
    let degraded = async || cluster.emberfs(&["status"]).status.code() == Some(1);
    until("the storage server is heard", degraded).await;
    hold(&cluster, &[(&["status"], 1, &["degraded: meta-1 (127.0.0.1:"])]);
    hold(&cluster, &[(&up, 0, &["cluster local is up: "]), (&["status"], 0, &["healthy"])]);
    assert!(cluster.process("meta-1").is_some(), "`up` starts what is missing");
    cluster.down();
}
