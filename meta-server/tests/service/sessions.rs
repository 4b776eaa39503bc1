//! Who may speak, and sessions.

use emberfs_buffer::Pool;
use emberfs_layout::{ByteLen, ClientId, ClusterId};
use emberfs_transport::{Limits, Tcp, connect};
use emberfs_wire::handshake::Role;
use emberfs_wire::meta::{EndSession, OpenSession, RenewSession};
use emberfs_wire::{FsError, WireError};

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
    assert!(said(lost).await.contains("a Meta process listens here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_opened_once_and_ends() {
    let member = Member::new().await;
    let peer = member.peer(Holds::default()).await;
    let open = OpenSession { start: 77, host: "a".into(), what: "b".into() };
    let reply = call(&peer, &open).await.expect("a session");
    assert_eq!(call(&peer, &open).await.expect("the same"), reply);
    let client = reply.client;
    let lease_ms = call(&peer, &RenewSession { client }).await.expect("it lives").lease_ms;
    assert_eq!(lease_ms, reply.lease_ms);
    call(&peer, &EndSession { client }).await.expect("ended");
    call(&peer, &EndSession { client }).await.expect("the same again");
    let gone = call(&peer, &RenewSession { client }).await.expect_err("gone");
    assert_eq!(gone, WireError::from(FsError::Stale));
    let never = call(&peer, &RenewSession { client: ClientId(u64::MAX) }).await;
    assert_eq!(never.expect_err("never was"), WireError::from(FsError::Stale));
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
