//! Three metadata members: who leads is found whatever becomes of them, and each change is made once.

use std::time::{Duration, Instant};

use emberfs_layout::NodeId;
use emberfs_wire::group::{GetMember, MemberId};
use emberfs_wire::meta::Mutate;
use emberfs_wire::{Request, WireError};
use futures_util::future::join_all;

use super::server::Servers;
use super::world::{Fault, METAS, State};
use crate::{Client, ClientError, ClientOptions, ClusterAddress, WaitingFor, members};

/// Far more than any of these takes.
const LONG: Duration = Duration::from_secs(20);

/// Requests that each member got, but for who leads.
fn asked(state: &State) -> [usize; 3] {
    METAS.map(|member| state.group.asked.get(&member).copied().unwrap_or(0))
}

/// Makes so many directories at once, whose names begin so.
async fn make(client: &Client, name: &str, count: usize) {
    let fs = client.fs();
    let made = (0..count).map(|i| (fs.clone(), format!("{name}{i}")));
    let made = made.map(|(fs, path)| async move { fs.mkdir(&path).await });
    for made in join_all(made).await {
        made.expect("made once");
    }
}

#[tokio::test]
async fn a_member_that_does_not_lead_names_the_one_that_does() {
    let servers = Servers::start_group().await;
    servers.world.elect(Some(METAS[2]));
    let client = servers.client().await;
    make(&client, "a", 40).await;
    let [first, second, third] = asked(&servers.world.state());
    // The client's first connections find it, and those of its session know it.
    assert!(first + second <= 4 && third > 40, "{first} {second} {third}");
}

#[tokio::test]
async fn members_that_name_each_other_are_not_asked_without_end() {
    let servers = Servers::start_group().await;
    let client = servers.client().await;
    make(&client, "a", 3).await;
    let before: usize = asked(&servers.world.state()).iter().sum();
    servers.world.state().group.mistaken =
        [(METAS[0], Some(METAS[1])), (METAS[1], Some(METAS[0])), (METAS[2], None)].into();
    let begun = Instant::now();
    let options = ClientOptions { deadline: Some(Duration::from_secs(1)), ..Servers::options() };
    assert!(Client::connect(&servers.address, &options).await.is_err());
    assert!(begun.elapsed() < LONG);
    let after: usize = asked(&servers.world.state()).iter().sum();
    assert!(after - before < 400, "{} in a second", after - before);
    servers.world.state().group.mistaken.clear();
    make(&client, "b", 3).await;
}

/// Who is told of one that does not lead learns of the others from that.
#[tokio::test]
async fn one_address_is_enough() {
    let servers = Servers::start_group().await;
    servers.world.elect(Some(METAS[1]));
    let meta = vec![servers.address.meta[2].clone()];
    let address = ClusterAddress { meta, ..servers.address.clone() };
    let client = Client::connect(&address, &Servers::options()).await.expect("found");
    make(&client, "a", 3).await;
    // Also those of one that leads, before it is gone.
    let meta = vec![servers.address.meta[1].clone()];
    let address = ClusterAddress { meta, ..servers.address.clone() };
    let client = Client::connect(&address, &Servers::options()).await.expect("found");
    servers.world.elect(Some(METAS[0]));
    make(&client, "b", 3).await;
}

/// It says who leads, and not where that is.
fn discreet(servers: &Servers) -> ClusterAddress {
    servers.world.elect(Some(METAS[1]));
    servers.world.state().group.discreet = METAS.into();
    let meta = vec![servers.address.meta[2].clone()];
    ClusterAddress { meta, ..servers.address.clone() }
}

#[tokio::test]
async fn a_leader_that_is_named_and_not_known_is_looked_for_again_and_again() {
    let servers = Servers::start_group().await;
    let address = discreet(&servers);
    let (world, options) = (servers.world.clone(), Servers::options());
    let found = tokio::spawn(async move { Client::connect(&address, &options).await });
    // No answer is waited for without end: the call goes on.
    world.until("it was asked again and again", |state| asked(state)[2] >= 5).await;
    world.until("nobody else was", |state| asked(state)[..2] == [0, 0]).await;
    assert!(!found.is_finished());
    world.state().group.discreet.clear();
    world.came.notify_waiters();
    let client = found.await.expect("no panic").expect("found");
    make(&client, "a", 3).await;
}

#[tokio::test]
async fn who_finds_no_leader_in_time_says_what_was_said_last() {
    let servers = Servers::start_group().await;
    let one = discreet(&servers);
    let options = ClientOptions { deadline: Some(Duration::from_secs(1)), ..Servers::options() };
    let begun = Instant::now();
    let said = async |address: &ClusterAddress| {
        let failed = Client::connect(address, &options).await.expect_err("no leader is found");
        let ClientError::Deadline { what: WaitingFor::MetadataGroup { last } } = failed else {
            panic!("{failed}");
        };
        last
    };
    assert_eq!(said(&one).await, "member 2 leads the metadata group");
    servers.world.elect(None);
    assert_eq!(said(&servers.address).await, "no member leads the metadata group yet");
    assert!(begun.elapsed() < LONG);
}

/// Each tells of another place for the third, and only the first is right.
#[tokio::test]
async fn what_one_tells_is_tried_before_what_another_tells_takes_its_place() {
    let servers = Servers::start_group().await;
    let nowhere = "127.0.0.1:1".to_owned();
    servers.world.state().group.told.insert((METAS[1], METAS[2]), nowhere);
    let meta = servers.address.meta[..2].to_vec();
    let answers = members(&ClusterAddress { meta, ..servers.address.clone() }, LONG).await;
    let third = answers.iter().find(|answer| answer.address == servers.address.meta[2]);
    let answer = third.expect("it was told of").answer.as_ref().expect("it answers");
    assert_eq!((answer.member, answers.len()), (MemberId(3), 3), "{answers:?}");
}

#[tokio::test]
async fn members_that_listen_elsewhere_by_now_are_found_again() {
    let mut servers = Servers::start_group().await;
    let meta = vec![servers.address.meta[0].clone()];
    let address = ClusterAddress { meta, ..servers.address.clone() };
    let client = Client::connect(&address, &Servers::options()).await.expect("found");
    for member in [METAS[1], METAS[2]] {
        servers.world.elect(Some(member));
        make(&client, &format!("a{member}-"), 3).await;
    }
    for turn in 0..2 {
        servers.moves(METAS[1]).await;
        servers.world.elect(Some(METAS[1]));
        make(&client, &format!("b{turn}-"), 3).await;
    }
    assert_eq!(servers.world.state().namespace.changes, 12);
}

/// Nobody is named meanwhile, and who could name them dies.
#[tokio::test]
async fn members_that_moved_while_another_led_are_found_after_its_death() {
    let mut servers = Servers::start_group().await;
    let client = servers.client().await;
    make(&client, "a", 3).await;
    for member in [METAS[1], METAS[2]] {
        servers.moves(member).await;
    }
    let before = servers.world.calls(GetMember::METHOD);
    servers
        .world
        .until("it has asked, and heard the answer", |state| {
            state.calls.get(&GetMember::METHOD).is_some_and(|calls| *calls >= before + 2)
        })
        .await;
    servers.kill(METAS[0]).await;
    servers.world.elect(Some(METAS[1]));
    make(&client, "b", 3).await;
}

#[tokio::test]
async fn a_leader_that_says_wait_is_not_left() {
    let servers = Servers::start_group().await;
    let client = servers.client().await;
    make(&client, "a", 1).await;
    let [_, second, third] = asked(&servers.world.state());
    let text = || "for another".to_owned();
    let answers = [
        WireError::Retry { after_ms: 1, text: text() },
        WireError::Wait { text: text() },
        WireError::Retry { after_ms: 0, text: text() },
    ];
    servers.world.script(Mutate::METHOD, answers.map(Fault::Fail));
    make(&client, "b", 1).await;
    let now = asked(&servers.world.state());
    assert_eq!(now[1..], [second, third], "nobody else could have done it");
}

#[tokio::test]
async fn members_that_are_dead_cost_nothing() {
    let mut servers = Servers::start_group().await;
    servers.world.elect(Some(METAS[2]));
    servers.kill(METAS[0]).await;
    servers.kill(METAS[1]).await;
    let begun = Instant::now();
    let client = servers.client().await;
    make(&client, "a", 40).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_death_of_the_leader_is_got_over() {
    let mut servers = Servers::start_group().await;
    let client = servers.client().await;
    make(&client, "a", 3).await;
    servers.kill(METAS[0]).await;
    // The others have not found it out yet, then nobody leads, then one does.
    let (world, before) = (servers.world.clone(), asked(&servers.world.state()));
    let made = tokio::spawn(async move { make(&client, "b", 40).await });
    let refused = |more| {
        move |state: &State| asked(state)[1..].iter().zip(&before[1..]).all(|(a, b)| *a >= b + more)
    };
    world.until("both were asked", refused(2)).await;
    world.elect(None);
    world.until("both were asked again", refused(6)).await;
    let elected = Instant::now();
    world.elect(Some(METAS[1]));
    made.await.expect("all are made");
    assert!(elected.elapsed() < Duration::from_secs(2), "{:?}", elected.elapsed());
    assert_eq!(world.state().namespace.changes, 43);
}

/// It keeps its connections, and a request that it took is not done before it goes on, if at all.
#[tokio::test]
async fn a_leader_that_hangs_holds_nothing_up_for_long() {
    let servers = Servers::start_group().await;
    let client = servers.client().await;
    make(&client, "a", 3).await;
    servers.world.state().group.hung.insert(METAS[0]);
    let begun = Instant::now();
    let (world, before) = (servers.world.clone(), servers.world.calls(GetMember::METHOD));
    let other = client.clone();
    let made = tokio::spawn(async move { make(&other, "b", 40).await });
    // For as long as no other leads, it is waited for.
    world
        .until("the others were asked twice", |state| {
            state.calls.get(&GetMember::METHOD).is_some_and(|calls| *calls >= before + 4)
        })
        .await;
    assert!(!made.is_finished());
    world.elect(Some(METAS[2]));
    made.await.expect("all are made");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    world.state().group.hung.clear();
    world.elect(Some(METAS[2]));
    make(&client, "c", 3).await;
    assert_eq!(world.state().namespace.changes, 46, "nothing is done late, or twice");
}

#[tokio::test]
async fn a_leader_that_only_takes_long_is_not_left() {
    let servers = Servers::start_group().await;
    let client = servers.client().await;
    make(&client, "a", 1).await;
    let before = servers.world.calls(Mutate::METHOD);
    servers.world.script(Mutate::METHOD, [Fault::Hang]);
    let looked = servers.world.calls(GetMember::METHOD);
    let world = servers.world.clone();
    let made = tokio::spawn(async move { make(&client, "b", 1).await });
    world
        .until("the others were asked twice", |state| {
            state.calls.get(&GetMember::METHOD).is_some_and(|calls| *calls >= looked + 4)
        })
        .await;
    world.gate.add_permits(1);
    made.await.expect("made");
    assert_eq!(world.calls(Mutate::METHOD), before + 1, "it was sent once");
}

#[tokio::test]
async fn changes_are_made_once_while_the_leader_changes() {
    let servers = Servers::start_group().await;
    let client = servers.client().await;
    let world = servers.world.clone();
    let made = tokio::spawn(async move { make(&client, "a", 300).await });
    for turn in 1..=30_usize {
        let enough = |state: &State| state.namespace.changes >= 10 * turn as u64;
        world.until("more is done", enough).await;
        // As if replies were lost with the old leader's connections, every third time.
        if turn % 3 == 0 {
            world.script(Mutate::METHOD, [Fault::CloseAfter]);
        }
        let next: NodeId = METAS[turn % 3];
        let nobody = turn % 2 == 0;
        world.elect((!nobody).then_some(next));
        if nobody {
            let calls = world.calls(Mutate::METHOD);
            world
                .until("nobody leads, and somebody asks", |state| {
                    let now = state.calls.get(&Mutate::METHOD).copied().unwrap_or(0);
                    now > calls || state.namespace.changes == 300
                })
                .await;
            world.elect(Some(next));
        }
    }
    made.await.expect("all are made");
    let state = world.state();
    assert_eq!((state.namespace.changes, state.namespace.inodes.len()), (300, 301));
}

#[tokio::test]
async fn each_member_says_how_it_stands_or_is_silent() {
    let mut servers = Servers::start_group().await;
    servers.kill(METAS[1]).await;
    servers.world.state().group.hung.insert(METAS[2]);
    servers.world.elect(None);
    let address =
        ClusterAddress { meta: servers.address.meta[..1].to_vec(), ..servers.address.clone() };
    let answers = members(&address, Duration::from_millis(300)).await;
    let [first, others @ ..] = &answers[..] else { panic!("{answers:?}") };
    let answer = first.answer.as_ref().expect("it answers");
    assert_eq!((answer.leader, answer.members.len()), (None, 3));
    assert!(others.len() == 2 && others.iter().all(|other| other.answer.is_err()), "{others:?}");
    assert!(others.iter().all(|other| servers.address.meta.contains(&other.address)));
    servers.world.state().group.hung.clear();
}
