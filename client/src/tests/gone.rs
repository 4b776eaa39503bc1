//! A chain that is gone: what does not need it goes on.

use std::time::Duration;

use emberfs_layout::{ChainId, FileOffset};
use emberfs_wire::limits::TAGS_MAX;
use futures_util::FutureExt;
use tokio::time::timeout;

use super::faults::on_first_chain;
use super::server::Servers;
use super::{CHUNK, filled, pattern};
use crate::{AttributeChange, ClientError, ClientOptions, Mode, OpenOptions, WaitingFor};

#[tokio::test]
async fn a_write_that_waits_for_it_holds_up_no_write_to_another_chain() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(2 * CHUNK, 0)).await;
    let gone = on_first_chain(&client);
    let there = FileOffset(CHUNK as u64 - gone.get());
    servers.world.state().serve_only(&[]);
    let mut waiting = file.write_at(gone, pattern(9, 1)).boxed();
    assert!(waiting.as_mut().now_or_never().is_none(), "its number is out");
    for _ in 0..=TAGS_MAX {
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("nobody serves"),
            done = file.write_at(there, pattern(9, 2)) => done.expect("written"),
        }
    }
}

#[tokio::test]
async fn a_batch_reads_what_is_elsewhere_and_ends_by_its_deadline() {
    const DEADLINE: Duration = Duration::from_secs(1);
    let servers = Servers::start().await;
    let bytes = pattern(2 * CHUNK, 0);
    let file = filled(&servers.client().await, "a", &bytes).await;
    file.close().await.expect("closed");
    let options = ClientOptions { deadline: Some(DEADLINE), ..Servers::options() };
    let client = servers.client_with(options).await;
    let file = client.fs().open("a", &super::both()).await.expect("there");
    let gone = on_first_chain(&client);
    let there = FileOffset(CHUNK as u64 - gone.get());
    servers.world.state().serve_only(&[]);
    let at = |i: u64| FileOffset(if i % 4 == 3 { there } else { gone }.get() + i * 100);
    let reads = (0..20).map(|i| (at(i), vec![0; 50])).collect();
    let read = timeout(DEADLINE * 8, file.read_batch(reads)).await.expect("it has one deadline");
    for (i, (read, buf)) in (0..).zip(read) {
        let start = usize::try_from(at(i).get()).expect("small");
        match read {
            Ok(len) => assert_eq!((i % 4, &buf[..len]), (3, &bytes[start..start + 50])),
            Err(ClientError::Deadline { what: WaitingFor::Chain { chain: ChainId(1), .. } }) => {
                assert_ne!(i % 4, 3, "its chain is there");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// How far the file reaches was asked, and answered, while the other waited.
#[tokio::test]
async fn a_range_at_the_end_is_whole_though_another_runs_out_of_time() {
    const DEADLINE: Duration = Duration::from_secs(1);
    let servers = Servers::start().await;
    let client = servers.client().await;
    let gone = on_first_chain(&client);
    // The last chunk is on the other chain.
    let last = if gone.get() == 0 { CHUNK } else { 2 * CHUNK };
    let file = filled(&client, "a", &pattern(last + 100, 0)).await;
    let options = ClientOptions { deadline: Some(DEADLINE), ..Servers::options() };
    let client = servers.client_with(options).await;
    let reader = client.fs().open("a", &OpenOptions::new().read(true)).await.expect("there");
    servers.world.state().serve_only(&[]);
    let at = |behind: usize| FileOffset((last + behind) as u64);
    let read = async || {
        let ranges = [gone, at(0), at(50), at(100), at(300)].map(|at| (at, vec![0; 100]));
        let read = timeout(DEADLINE * 8, reader.read_batch(ranges.into())).await;
        let read = read.expect("it has one deadline").into_iter();
        // Nothing else goes wrong.
        let len = |(read, _)| match read {
            Ok(len) => Some(len),
            Err(ClientError::Deadline { .. }) => None,
            Err(other) => panic!("{other}"),
        };
        read.map(len).collect::<Vec<_>>()
    };
    assert_eq!(read().await, [None, Some(100), Some(50), Some(0), Some(0)]);
    file.write_at(at(100), pattern(100, 1)).await.expect("written");
    // What is new was not read; what lies behind it has no bytes still.
    assert_eq!(read().await, [None, Some(100), None, None, Some(0)]);
}

#[tokio::test]
async fn attributes_but_the_length_are_changed_though_a_write_is_under_way() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(CHUNK, 0)).await;
    servers.world.state().serve_only(&[]);
    let mut waiting = file.write_at(on_first_chain(&client), pattern(9, 1)).boxed();
    assert!(waiting.as_mut().now_or_never().is_none(), "it holds the length");
    let mode = AttributeChange { mode: Some(Mode(0o600)), ..AttributeChange::default() };
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("nobody serves"),
        changed = file.set_attributes(mode) => drop(changed.expect("changed")),
    }
}
