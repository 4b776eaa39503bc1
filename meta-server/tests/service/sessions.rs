//! Who may speak, and sessions.

use emberfs_buffer::Pool;
use emberfs_layout::{ByteLen, ChainId, ChainVersion, ClientId, ClusterId, Sequence};
use emberfs_transport::{Limits, Tcp, connect};
use emberfs_wire::cluster::{GetClients, Heartbeat, SessionMark, WantedMark};
use emberfs_wire::handshake::Role;
use emberfs_wire::meta::{EndSession, OpenChain, OpenSession, RenewSession};
use emberfs_wire::{FsError, WireError};

use crate::cluster::three;
use crate::member::{Holds, Member, call, create, hello};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_in_words() {
    let member = Member::new().await;
    let address = member.address().to_string().parse().expect("an address");
    let said = async |hello| {
        let pool = Pool::new(ByteLen::ZERO);
        let met = connect(&Tcp, &address, &hello, &pool, Limits::default()).await;
        met.map(|_| ()).expect_err("refused").to_string()
    };
    let other = said(hello(Some(ClusterId(7)), Role::Client)).await;
    assert!(other.contains("check the address"), "{other}");
    let mut lost = hello(None, Role::Client);
    lost.expected_role = Role::Storage;
    assert!(said(lost).await.contains("a metadata server listens here, not a storage server"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_opened_once_and_ends() {
    let member = Member::new().await;
    let peer = member.peer(Holds::default()).await;
    let open = OpenSession { start: 77, host: "a".into(), what: "b".into() };
    let reply = call(&peer, &open).await.expect("a session");
    assert_eq!(call(&peer, &open).await.expect("the same"), reply);
    let client = reply.client;
    let renewal = |client| RenewSession { client, others: Sequence(1), open: Vec::new() };
    let lease_ms = call(&peer, &renewal(client)).await.expect("it lives").lease_ms;
    assert_eq!(lease_ms, reply.lease_ms);
    call(&peer, &EndSession { client }).await.expect("ended");
    call(&peer, &EndSession { client }).await.expect("the same again");
    let gone = call(&peer, &renewal(client)).await.expect_err("gone");
    assert_eq!(gone, WireError::from(FsError::Stale));
    let never = call(&peer, &renewal(ClientId(u64::MAX))).await;
    assert_eq!(never.expect_err("never was"), WireError::from(FsError::Stale));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_listed_with_what_they_said_and_hold() {
    let member = Member::new().await;
    let peer = member.peer(Holds::default()).await;
    let list = async || {
        let page = call(&peer, &GetClients { after: ClientId(0) }).await.expect("a page");
        assert!(!page.more);
        page.clients
    };
    assert_eq!(list().await, [], "the leader's own session is no client's");
    let _storages = three(&member).await; // by a client of its own
    let open = OpenSession { start: 7, host: "login-1".into(), what: "mount at /a".into() };
    let client = call(&peer, &open).await.expect("a session").client;
    let mut writer = member.client().await;
    writer.mutate(create("a", 1)).await.expect("created and open");
    writer.mutate(create("b", 2)).await.expect("created and open");
    let listed = list().await.split_off(1);
    assert_eq!(listed.iter().map(|c| c.client).collect::<Vec<_>>(), [client, writer.client]);
    assert_eq!((&*listed[0].host, &*listed[0].what), ("login-1", "mount at /a"));
    assert_eq!(listed.iter().map(|c| c.writers).collect::<Vec<_>>(), [0, 2]);
    assert!(listed.iter().all(|c| c.opened.seconds > 0 && c.heard_ms_ago.is_some()));
    call(&peer, &EndSession { client }).await.expect("ended");
    assert_eq!(list().await.len(), 2);
    let member = member.restarted().await;
    let after = GetClients { after: ClientId(0) };
    let page = call(&member.peer(Holds::default()).await, &after).await.expect("a page");
    assert_eq!(page.clients[1].heard_ms_ago, None, "this leader has not heard of it");
    assert_eq!(page.clients[1].writers, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_hears_the_marks_that_it_asks_for() {
    let member = Member::new().await;
    let (storages, _) = three(&member).await;
    let [idle, silent] = [member.client().await, member.client().await];
    let told = async |wanted: &[(ClientId, u32)]| {
        storages[0].beat().await.expect("an answer, and with it all of the routing");
        let wanted =
            wanted.iter().map(|(c, chain)| WantedMark { client: *c, chain: ChainId(*chain) });
        let asked = Heartbeat { marks_wanted: wanted.collect(), ..storages[0].heartbeat() };
        call(&storages[0].peer, &asked).await.expect("an answer").marks
    };
    let mark = |chain, low_water| SessionMark {
        client: idle.client,
        chain: ChainId(chain),
        low_water: Sequence(low_water),
        version: ChainVersion(1),
    };
    let all = [(idle.client, 1), (idle.client, 2), (silent.client, 1)];
    assert_eq!(told(&all).await, [], "nothing was said");
    let open = vec![OpenChain { chain: ChainId(2), low_water: Sequence(3) }];
    let renewal = RenewSession { client: idle.client, others: Sequence(65), open };
    call(&idle.peer, &renewal).await.expect("it lives");
    assert_eq!(told(&all).await, [mark(1, 65), mark(2, 3)], "each chain has its own");
    assert_eq!(told(&[]).await, [], "not asked for");
    call(&idle.peer, &EndSession { client: idle.client }).await.expect("ended");
    assert_eq!(told(&all).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_a_session_s_end_is_refused() {
    let member = Member::new().await;
    let mut client = member.client().await;
    call(&client.peer, &EndSession { client: client.client }).await.expect("ended");
    let late = client.mutate(create("late", 1)).await.expect_err("its session ended");
    assert_eq!(late, WireError::from(FsError::Stale));
    assert_eq!(client.stat("late").await, Err(FsError::NotFound));
}
