//! Calls between two good ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::ALIGNMENT;
use emberfs_layout::ByteLen;
use emberfs_wire::{FsError, WireError};
use futures_util::future::join_all;
use tokio::spawn;

use super::{CALL_BACK, Echo, FAIL, GATED, Service, pair};
use crate::{CallError, CallOptions, Closed, Limits, NoService, Peer, Reply};

/// A peer that runs `service`, and the service.
fn served(limits: Limits) -> (Peer, Service) {
    let (ours, theirs) = pair(limits);
    let (peer, service) = (ours.peer(), Service::new());
    spawn(theirs.run(service.clone()));
    spawn(ours.run(Service::new()));
    (peer, service)
}

async fn ask(peer: &Peer, echo: Echo, payload: Bytes) -> Result<Reply<Echo>, CallError> {
    peer.call(&echo, payload, &CallOptions::default()).await
}

#[tokio::test]
async fn a_call_has_its_reply_and_its_payload_lands_aligned() {
    let (peer, _) = served(Limits::default());
    for len in [0, 1, 4096, 20_000, 3 << 20] {
        let payload: Bytes = (0..len).map(|i| u8::try_from(i % 251).expect("small")).collect();
        let reply = ask(&peer, Echo(5), payload.clone()).await.expect("a reply");
        assert_eq!((reply.message, &reply.payload), (Echo(5), &payload));
        assert!(len == 0 || (reply.payload.as_ptr() as usize).is_multiple_of(ALIGNMENT));
    }
}

#[tokio::test]
async fn both_ends_may_ask() {
    let (peer, _) = served(Limits::default());
    let reply = ask(&peer, CALL_BACK, Bytes::new()).await.expect("a reply");
    assert_eq!(reply.message, CALL_BACK);
}

#[tokio::test]
async fn a_failure_is_passed_on() {
    let (peer, _) = served(Limits::default());
    let error = ask(&peer, FAIL, Bytes::new()).await.expect_err("refused");
    let CallError::Failed(WireError::Refuse { why }) = error else { panic!("{error}") };
    assert_eq!(why, FsError::NoSpace);
}

#[tokio::test]
async fn a_side_without_service_says_so() {
    let (ours, theirs) = pair(Limits::default());
    let peer = ours.peer();
    spawn(theirs.run(NoService));
    spawn(ours.run(NoService));
    let error = ask(&peer, Echo(1), Bytes::new()).await.expect_err("refused");
    assert_eq!(error.to_string(), "protocol fault: method 0xff00 is not served here");
}

#[tokio::test]
async fn many_calls_keep_within_the_slots() {
    let limits = Limits { requests_open: 4, ..Limits::default() };
    let (peer, service) = served(limits);
    let calls = (0..500).map(|i| ask(&peer, Echo(i), Bytes::from(vec![1; 100])));
    for (i, reply) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(reply.expect("a reply").message, Echo(i as u64));
    }
    assert_eq!(service.most.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn payloads_keep_within_the_bytes_and_a_larger_one_goes_alone() {
    let limits = Limits { bytes_open: ByteLen(10_000), ..Limits::default() };
    let (peer, service) = served(limits);
    let calls = [4_000, 4_000, 4_000, 50_000, 1, 10_000].map(|len| {
        let payload = Bytes::from(vec![7; len]);
        ask(&peer, Echo(len as u64), payload)
    });
    for reply in join_all(calls).await {
        let reply = reply.expect("the serving side found no limit broken");
        assert_eq!(reply.payload.len() as u64, reply.message.0);
    }
    assert!(service.most.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_dropped_call_is_dropped_at_the_other_end() {
    let (peer, service) = served(Limits::default());
    let call = spawn(async move { ask(&peer, GATED, Bytes::new()).await });
    service.began().await;
    call.abort();
    service.ended().await;
    assert_eq!(service.running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_dropped_call_gives_its_slot_back() {
    let limits = Limits { requests_open: 1, ..Limits::default() };
    let (peer, service) = served(limits);
    let options = CallOptions { wait: Some(Duration::from_millis(1)), ..CallOptions::default() };
    for _ in 0..20 {
        let error = peer.call(&GATED, Bytes::new(), &options).await.expect_err("gated");
        assert!(matches!(error, CallError::Deadline), "{error}");
        let reply = ask(&peer, Echo(1), Bytes::new()).await.expect("the limits were kept");
        assert_eq!(reply.message, Echo(1));
    }
    assert_eq!(service.running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait() {
    let (peer, service) = served(Limits::default());
    let wait = Duration::from_secs(60);
    let options = CallOptions { wait: Some(wait), ..CallOptions::default() };
    let start = tokio::time::Instant::now();
    let error = peer.call(&GATED, Bytes::new(), &options).await.expect_err("gated");
    assert!(matches!(error, CallError::Deadline), "{error}");
    assert_eq!(start.elapsed().as_secs(), wait.as_secs());
    service.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_stands() {
    let (peer, _) = served(Limits::default());
    tokio::time::advance(Duration::from_millis(1)).await;
    let options = CallOptions { wait: Some(Duration::from_secs(3600)), ..CallOptions::default() };
    let error = peer.call(&GATED, Bytes::new(), &options).await.expect_err("gated");
    assert!(matches!(error, CallError::Deadline), "pings kept it: {error}");
    assert_eq!(ask(&peer, Echo(1), Bytes::new()).await.expect("it stands").message, Echo(1));
}

#[tokio::test]
async fn close_ends_open_and_later_calls() {
    let (peer, service) = served(Limits::default());
    let open = spawn({
        let peer = peer.clone();
        async move { ask(&peer, GATED, Bytes::new()).await }
    });
    service.began().await;
    peer.close();
    let error = open.await.expect("no panic").expect_err("closed");
    assert!(matches!(error, CallError::Closed(Closed::ByUs)), "{error}");
    let error = ask(&peer, Echo(1), Bytes::new()).await.expect_err("closed");
    assert!(matches!(error, CallError::Closed(Closed::ByUs)), "{error}");
    service.ended().await;
}

#[tokio::test]
async fn a_request_beyond_a_frame_is_not_sent() {
    let (peer, service) = served(Limits::default());
    let error = ask(&peer, Echo(1), vec![0; (64 << 20) + 1].into()).await.expect_err("too large");
    assert!(matches!(error, CallError::TooLarge(_)), "{error}");
    assert_eq!(service.started.load(Ordering::SeqCst), 0);
}
