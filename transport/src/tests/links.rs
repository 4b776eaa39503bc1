//! Handshakes and links over loopback.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use emberfs_layout::{BootNumber, ClusterId, NodeId};
use emberfs_wire::handshake::{Hello, HelloReply, Refusal, Welcome};
use emberfs_wire::header::RequestId;
use emberfs_wire::protocol::{ProtocolRange, ProtocolVersion};
use emberfs_wire::{FrameKind, Request, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpListener;
use tokio::spawn;
use tokio::time::{Instant, timeout};

use super::{Echo, Service, hello, pool, request_bytes, welcome};
use crate::frame::Draft;
use crate::link::LinkState;
use crate::{
    Address, CallOptions, Closed, Dial, HandshakeError, Limits, Link, Network, NoService, Pending,
    Tcp, connect,
};

/// A listener on a free port, and its address with `host` for the machine.
async fn listen(host: &str) -> io::Result<(TcpListener, Address)> {
    let listener = TcpListener::bind((host.trim_matches(['[', ']']), 0)).await?;
    let port = listener.local_addr()?.port();
    Ok((listener, format!("{host}:{port}").parse().expect("an address")))
}

async fn pending(listener: &TcpListener) -> Pending<tokio::net::TcpStream> {
    let (stream, _) = listener.accept().await.expect("a peer");
    Pending::accept(stream, Limits::default()).await.expect("a hello")
}

#[tokio::test]
async fn peers_meet_by_name_and_by_number() {
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let (listener, address) = match listen(host).await {
            Ok(listening) => listening,
            Err(error) => {
                println!("skipped: peers_meet_by_name_and_by_number: {host}: {error}");
                return;
            }
        };
        let server = spawn(async move {
            let pending = pending(&listener).await;
            assert_eq!(pending.hello(), &hello());
            let connection = pending.welcome(welcome(), &pool()).await.expect("sent");
            connection.run(Service::new()).await
        });
        let met = connect(&Tcp, &address, &hello(), &pool(), Limits::default()).await;
        let (connection, said) = met.expect("welcome");
        assert_eq!(said, welcome());
        let peer = connection.peer();
        let run = spawn(connection.run(NoService));
        let payload = Bytes::from(vec![4; 300_000]);
        let reply = peer.call(&Echo(9), payload.clone(), &CallOptions::default()).await;
        let reply = reply.expect("a reply");
        assert_eq!((reply.message, reply.payload), (Echo(9), payload));
        peer.close();
        assert!(matches!(run.await.expect("no panic"), Closed::ByUs));
        assert!(matches!(server.await.expect("no panic"), Closed::ByPeer));
    }
}

/// A server may speak right behind its welcome: what arrives together is not lost.
#[tokio::test]
async fn a_request_right_behind_the_welcome_is_answered() {
    let (listener, address) = listen("127.0.0.1").await.expect("loopback");
    let server = spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a peer");
        let mut hello = [0; 4096];
        assert!(stream.read(&mut hello).await.expect("a hello") > 0);
        let mut draft =
            Draft { method: Hello::METHOD, ..Draft::bare(FrameKind::Reply, RequestId(0)) };
        encode(&HelloReply::Welcome(welcome()), &mut draft.message);
        let mut both = draft.seal().expect("small").head.to_vec();
        both.extend(request_bytes(1, Echo(5), b"with bytes"));
        stream.write_all(&both).await.expect("sent");
        stream
    });
    let met = connect(&Tcp, &address, &hello(), &pool(), Limits::default()).await;
    let (connection, _) = met.expect("welcome");
    let service = Service::new();
    let run = spawn(connection.run(service.clone()));
    service.ended().await;
    drop(server.await.expect("no panic"));
    assert!(matches!(run.await.expect("no panic"), Closed::ByPeer));
}

#[tokio::test]
async fn a_wrong_peer_is_refused_with_words() {
    let (listener, address) = listen("127.0.0.1").await.expect("loopback");
    let refusal = Refusal::OtherCluster { ours: ClusterId(2), theirs: ClusterId(1) };
    let server = spawn(async move { pending(&listener).await.refuse(refusal).await });
    let met = connect(&Tcp, &address, &hello(), &pool(), Limits::default()).await;
    let error = met.expect_err("refused").to_string();
    assert!(error.starts_with("refused: this is cluster 0"), "{error}");
    server.await.expect("no panic").expect("sent");
}

/// Versions that no build of this protocol speaks.
fn future() -> ProtocolRange {
    let next = ProtocolVersion(ProtocolRange::OURS.newest.0 + 1);
    ProtocolRange { oldest: next, newest: ProtocolVersion(next.0 + 1) }
}

#[tokio::test]
async fn a_peer_of_the_future_is_told_who_is_too_old() {
    let (listener, address) = listen("127.0.0.1").await.expect("loopback");
    let server = spawn(async move {
        let pending = pending(&listener).await;
        let refusal = pending.hello().judge(&welcome().identity).expect_err("too new");
        pending.refuse(refusal).await
    });
    let newer = Hello { protocol: future(), ..hello() };
    let met = connect(&Tcp, &address, &newer, &pool(), Limits::default()).await;
    let error = met.expect_err("refused").to_string();
    let (ours, theirs) = (ProtocolRange::OURS, future());
    let words = format!("who listens speaks {ours}, who connects speaks {theirs}");
    assert!(error.contains(&words), "{error}");
    assert!(error.ends_with("upgrade the server that listens"), "{error}");
    server.await.expect("no panic").expect("sent");
}

#[tokio::test]
async fn a_server_of_the_future_is_refused_though_it_welcomes() {
    let (listener, address) = listen("127.0.0.1").await.expect("loopback");
    let server = spawn(async move {
        let newer = Welcome { protocol: future().newest, ..welcome() };
        pending(&listener).await.welcome(newer, &pool()).await.expect("sent")
    });
    let met = connect(&Tcp, &address, &hello(), &pool(), Limits::default()).await;
    let error = met.expect_err("too new").to_string();
    let (theirs, ours) = (future().newest, ProtocolRange::OURS);
    let words = format!("who listens speaks {theirs}, who connects speaks {ours}");
    assert!(error.contains(&words), "{error}");
    assert!(error.ends_with("upgrade the side that connects"), "{error}");
    server.await.expect("no panic");
}

/// A server that refuses everybody so, in memory, and counts them.
#[derive(Clone)]
struct Refusing(Refusal, Arc<AtomicUsize>);

impl Network for Refusing {
    type Stream = DuplexStream;

    async fn connect(&self, _: &Address) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(4096);
        self.1.fetch_add(1, Ordering::SeqCst);
        let refusal = self.0.clone();
        spawn(async move {
            let pending = Pending::accept(theirs, Limits::default()).await.expect("a hello");
            pending.refuse(refusal).await.expect("sent");
        });
        Ok(ours)
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_needs_an_upgrade_does_not_storm() {
    let upgrade = Refusal::NoCommonProtocol { ours: future(), theirs: ProtocolRange::OURS };
    let passing = Refusal::Unavailable { text: "no lease yet".to_owned() };
    for (refusal, expected) in [(upgrade, 20..130), (passing, 150..1300)] {
        let network = Refusing(refusal.clone(), Arc::default());
        let address = "[2001:db8::1]:1".parse().expect("an address");
        let (hello, pool, limits) = (hello(), pool(), Limits::default());
        let dial = Dial { network: network.clone(), address, hello, pool, limits };
        let (link, driver) = Link::new(dial, NoService);
        let ten_minutes = Duration::from_secs(600);
        assert!(timeout(ten_minutes, driver).await.is_err(), "it dials for ever");
        let dialled = network.1.load(Ordering::SeqCst);
        assert!(expected.contains(&dialled), "{dialled} times");
        let LinkState::Down { why: Some(why) } = link.state() else { panic!("{:?}", link.state()) };
        assert_eq!(why, format!("[2001:db8::1]:1 refuses: {refusal}"));
    }
}

/// A server that is away, in memory; when it was dialled.
#[derive(Clone, Default)]
struct Away(Arc<Mutex<Vec<Instant>>>);

impl Network for Away {
    type Stream = DuplexStream;

    async fn connect(&self, _: &Address) -> io::Result<DuplexStream> {
        self.0.lock().expect("no panic under it").push(Instant::now());
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_long_away_is_dialled_within_a_second() {
    let network = Away::default();
    let address = "[2001:db8::1]:1".parse().expect("an address");
    let (hello, pool, limits) = (hello(), pool(), Limits::default());
    let dial = Dial { network: network.clone(), address, hello, pool, limits };
    let (_link, driver) = Link::to_member(dial, NoService);
    assert!(timeout(Duration::from_secs(600), driver).await.is_err(), "it dials for ever");
    let dialled = network.0.lock().expect("no panic under it");
    let pauses = dialled.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = pauses.max().expect("more than once");
    assert!((500..=1010).contains(&longest.as_millis()), "{longest:?}");
}

#[tokio::test]
async fn a_welcome_from_another_server_is_not_taken() {
    let (listener, address) = listen("127.0.0.1").await.expect("loopback");
    let server = spawn(async move {
        let mut other = welcome();
        other.identity.node = Some(NodeId(2));
        pending(&listener).await.welcome(other, &pool()).await.expect("sent")
    });
    let met = connect(&Tcp, &address, &hello(), &pool(), Limits::default()).await;
    let error = met.expect_err("not the one").to_string();
    assert!(error.contains("not node-1: the routing is out of date"), "{error}");
    server.await.expect("no panic");
}

#[tokio::test]
async fn what_is_no_handshake_is_refused() {
    let (mut theirs, ours) = tokio::io::duplex(4096);
    theirs.write_all(&request_bytes(1, Echo(1), b"")).await.expect("it fits");
    let error = Pending::accept(ours, Limits::default()).await.expect_err("no hello");
    assert!(error.to_string().contains("something else than a handshake"), "{error}");
    let (mut theirs, ours) = tokio::io::duplex(4096);
    theirs
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: someone who is lost here\r\n\r\n")
        .await
        .expect("it fits");
    let error = Pending::accept(ours, Limits::default()).await.expect_err("no hello");
    assert!(error.to_string().contains("not an EmberFS frame"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_not_waited_for() {
    let (_theirs, ours) = tokio::io::duplex(4096);
    let error = Pending::accept(ours, Limits::default()).await.expect_err("silence");
    assert!(matches!(error, HandshakeError::Slow), "{error}");
}

#[tokio::test]
async fn nobody_listens() {
    let (listener, address) = listen("127.0.0.1").await.expect("loopback");
    drop(listener);
    let met = connect(&Tcp, &address, &hello(), &pool(), Limits::default()).await;
    let error = met.expect_err("nobody").to_string();
    assert!(error.starts_with(&format!("cannot connect to {address}: ")), "{error}");
}

#[tokio::test]
async fn a_link_comes_back() {
    let (listener, address) = listen("127.0.0.1").await.expect("loopback");
    let server = spawn(async move {
        pending(&listener)
            .await
            .refuse(Refusal::NoSuchShard { asked: Default::default(), count: 0 })
            .await
            .expect("sent");
        for boot in 1..=3 {
            let mut welcome = welcome();
            welcome.identity.boot = Some(BootNumber(boot));
            let connection =
                pending(&listener).await.welcome(welcome, &pool()).await.expect("sent");
            connection.run(Service::new()).await;
        }
    });
    let dial =
        Dial { network: Tcp, address, hello: hello(), pool: pool(), limits: Limits::default() };
    let (link, driver) = Link::new(dial, NoService);
    assert!(matches!(link.state(), LinkState::Down { why: None }));
    let driver = spawn(driver);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let (peer, welcome) = link.peer().await.expect("the driver runs");
        if peer.closed().is_none() && seen.last() != Some(&welcome.identity.boot) {
            let reply = peer.call(&Echo(1), Bytes::new(), &CallOptions::default()).await;
            assert_eq!(reply.expect("a reply").message, Echo(1));
            seen.push(welcome.identity.boot);
            peer.close();
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, [1, 2, 3].map(|boot| Some(BootNumber(boot))));
    server.await.expect("no panic");
    driver.abort();
    assert!(driver.await.expect_err("aborted").is_cancelled());
    assert!(link.peer().await.is_none());
}
