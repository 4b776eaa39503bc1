//! Scripted peers that break the rules, fall silent or go away.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::ByteLen;
use emberfs_wire::handshake::{Identity, Role};
use emberfs_wire::header::RequestId;
use emberfs_wire::{FrameKind, Request, encode};
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::spawn;
use tokio::task::JoinHandle;
use tokio::time::advance;

use super::{Echo, GATED, Service, against_script, identity, request_bytes};
use crate::frame::Draft;
use crate::reader::FrameReader;
use crate::{CallError, CallOptions, Closed, Connection, Limits, NoService};

/// Who is at the other end.
fn remote() -> Identity {
    identity(Role::Client)
}

/// What a connection with these limits says at its end, after a peer sent `bytes`.
async fn end_after(bytes: &[u8], limits: Limits) -> (Closed, Service) {
    let (ours, mut theirs) = against_script(limits);
    let service = Service::new();
    let run: JoinHandle<Closed> = spawn(ours.run(service.clone()));
    theirs.write_all(bytes).await.expect("it fits the stream's buffer");
    (run.await.expect("no panic"), service)
}

#[tokio::test]
async fn a_damaged_frame_ends_the_connection_unserved() {
    let good = request_bytes(1, Echo(5), b"");
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 0x10;
        let (closed, service) = end_after(&bad, Limits::default()).await;
        assert!(matches!(closed, Closed::Frame(_)), "byte {place}: {closed}");
        assert_eq!(service.started.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_peer_that_goes_beyond_its_limits_is_cut_off() {
    let gated = |number| request_bytes(number, GATED, &[1; 100]);
    let limits = Limits { requests_open: 2, ..Limits::default() };
    let (closed, _) = end_after(&[gated(1), gated(2), gated(3)].concat(), limits).await;
    assert_eq!(
        closed.to_string(),
        "the peer broke the protocol: more requests are open than may be"
    );
    let limits = Limits { bytes_open: ByteLen(150), ..Limits::default() };
    let (closed, _) = end_after(&[gated(1), gated(2)].concat(), limits).await;
    assert_eq!(closed.to_string(), "the peer broke the protocol: more bytes are open than may be");
    let (closed, _) = end_after(&[gated(1), gated(1)].concat(), Limits::default()).await;
    assert!(closed.to_string().contains("the number of an open one"), "{closed}");
}

#[tokio::test]
async fn a_peer_that_goes_away_ends_open_calls() {
    let (ours, mut theirs) = against_script(Limits::default());
    let peer = ours.peer();
    let run = spawn(ours.run(NoService));
    let call =
        spawn(async move { peer.call(&Echo(1), Bytes::new(), &CallOptions::default()).await });
    let mut header = [0; 64];
    theirs.read_exact(&mut header).await.expect("the request");
    drop(theirs);
    let error = call.await.expect("no panic").expect_err("no reply");
    assert!(matches!(error, CallError::Closed(Closed::ByPeer)), "{error}");
    assert!(matches!(run.await.expect("no panic"), Closed::ByPeer));
}

#[tokio::test]
async fn a_cut_frame_is_a_peer_gone() {
    let whole = request_bytes(1, Echo(5), &[3; 50]);
    for cut in 0..whole.len() {
        let (ours, mut theirs) = against_script(Limits::default());
        let run = spawn(ours.run(Service::new()));
        theirs.write_all(&whole[..cut]).await.expect("it fits");
        drop(theirs);
        assert!(matches!(run.await.expect("no panic"), Closed::ByPeer), "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up() {
    let (ours, _theirs) = against_script(Limits::default());
    let start = tokio::time::Instant::now();
    let closed = ours.run(NoService).await;
    assert!(matches!(closed, Closed::Silent), "{closed}");
    let waited = start.elapsed();
    assert!(waited > Limits::default().silence_max && waited < 2 * Limits::default().silence_max);
}

#[tokio::test(start_paused = true)]
async fn a_slow_payload_is_not_silence() {
    let (ours, mut theirs) = against_script(Limits::default());
    let service = Service::new();
    let run = spawn(ours.run(service.clone()));
    for piece in request_bytes(1, Echo(5), &[9; 1000]).chunks(100) {
        theirs.write_all(piece).await.expect("it fits");
        advance(Limits::default().silence_max / 2).await;
    }
    service.ended().await;
    assert!(!run.is_finished());
    run.abort();
}

#[tokio::test(start_paused = true)]
async fn without_memory_the_peer_waits_and_nothing_is_lost() {
    let (stream, mut theirs) = tokio::io::duplex(1 << 20);
    let pool = Pool::new(ByteLen(8192));
    let held = pool.take(8192).expect("all of it");
    let service = Service::new();
    let run =
        spawn(Connection::new(stream, pool, Limits::default(), remote()).run(service.clone()));
    theirs.write_all(&request_bytes(1, Echo(5), &[9; 5000])).await.expect("it fits");
    for _ in 0..100 {
        advance(Duration::from_millis(500)).await;
    }
    assert!(!run.is_finished(), "it is not the peer who is silent");
    assert_eq!(service.started.load(Ordering::SeqCst), 0);
    drop(held);
    service.ended().await;
    run.abort();
}

/// An answer to request `number` as it lies on the wire, with a payload of `len` bytes.
fn answer_bytes(kind: FrameKind, number: u64, len: usize) -> Vec<u8> {
    let payload = vec![9; len].into();
    let mut draft = Draft { method: Echo::METHOD, payload, ..Draft::bare(kind, RequestId(number)) };
    encode(&Echo(number), &mut draft.message);
    let frame = draft.seal().expect("small");
    [&frame.head[..], &frame.payload].concat()
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_waits_for_takes_no_memory() {
    let (stream, theirs) = tokio::io::duplex(1 << 20);
    let (theirs, mut answers) = tokio::io::split(theirs);
    let mut asked = FrameReader::new(theirs, super::pool());
    let memory = Pool::new(ByteLen(4096));
    let _held = memory.take(4096).expect("all of it");
    let connection = Connection::new(stream, memory, Limits::default(), remote());
    let peer = connection.peer();
    let run = spawn(connection.run(NoService));
    let options = CallOptions { wait: Some(Duration::from_secs(60)), ..CallOptions::default() };
    let call = || peer.call(&Echo(0), Bytes::new(), &options);
    let mut number = 0;
    // Answers the next call with so many bytes when it has come.
    let mut answer = async |kind, len| {
        number += 1;
        while asked.next(|_, _| None).await.expect("a frame").header.request.0 != number {}
        answers.write_all(&answer_bytes(kind, number, len)).await.expect("it fits");
    };
    for kind in [FrameKind::Reply, FrameKind::Failure] {
        // One that would fit, one that never would, and one beyond all that is read at once.
        for len in [100, 5000, 100_000] {
            assert!(call().now_or_never().is_none(), "given up before its answer comes");
            answer(kind, len).await;
        }
        // Given up while its answer waits for memory.
        let waits = async {
            answer(kind, 4000).await;
            advance(Duration::from_secs(1)).await;
        };
        tokio::select! {
            reply = call() => panic!("there is no memory for {reply:?}"),
            () = waits => {}
        }
        let (reply, ()) = tokio::join!(call(), answer(FrameKind::Reply, 0));
        reply.expect("the connection goes on");
    }
    assert!(!run.is_finished());
    run.abort();
}

#[tokio::test]
async fn a_payload_larger_than_the_pool_is_refused() {
    let (stream, mut theirs) = tokio::io::duplex(1 << 20);
    let run = spawn(
        Connection::new(stream, Pool::new(ByteLen(4096)), Limits::default(), remote())
            .run(NoService),
    );
    theirs.write_all(&request_bytes(1, Echo(5), &[9; 5000])).await.expect("it fits");
    let closed = run.await.expect("no panic");
    assert!(closed.to_string().contains("larger than this server's pool"), "{closed}");
}
