//! The length of a file, whatever became of what was written to it.

use std::collections::BTreeSet;
use std::time::Duration;

use emberfs_layout::{ChunkIndex, FileOffset, InodeId};
use emberfs_wire::chunk::UpdateChunk;
use emberfs_wire::{Request, WireError};
use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::runtime::Builder;

use super::{at, end_held, meeting, waits};
use crate::tests::server::Servers;
use crate::tests::world::{Fault, State};
use crate::tests::{CHUNK, both, pattern};
use crate::{ClientError, File, FsError};

fn dense_to(state: &State, inode: InodeId) -> u64 {
    state.namespace.inodes[&inode].attributes.data.expect("a file").dense_to.get()
}

#[tokio::test]
async fn after_a_refusal_nothing_is_under_way_and_what_was_done_counts() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let inode = file.inode();
    let faults = vec![Fault::Full, Fault::Hang, Fault::Hang];
    let mut write = meeting(&servers, &file, (at(0), pattern(3 * CHUNK, 1)), faults).await;
    waits(&file, &mut write).await;
    servers.world.gate.add_permits(2);
    assert_eq!(write.await, Err(FsError::NoSpace.into()));
    file.sync().await.expect("synced");
    let state = servers.world.state();
    assert_eq!(state.applied.len(), 2);
    let held: BTreeSet<u32> = state.chunks.keys().map(|(_, id)| id.index.get()).collect();
    let missing = (0..3).find(|index| !held.contains(index)).expect("one was refused");
    assert_eq!(state.size(inode).get(), end_held(&state, inode));
    assert!(dense_to(&state, inode) <= at(missing as usize).get(), "nothing is said to be there");
}

/// One call, and what becomes of it.
#[derive(Clone, Debug)]
struct Step {
    start: u64,
    len: usize,
    faults: Vec<Fault>,
    /// Dropped when so many requests came since it began; else it is waited for.
    dropped: Option<usize>,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        2 => Just(Fault::Full),
        3 => Just(Fault::Hang),
        1 => Just(Fault::CloseBefore),
        1 => Just(Fault::CloseAfter),
        1 => Just(Fault::Fail(WireError::Retry { after_ms: 1, text: "busy".to_owned() })),
    ];
    let (start, len) = (0..at(6).get(), 1..4 * CHUNK);
    let faults = prop::collection::vec(fault, 0..4);
    (start, len, faults, prop::option::of(0_usize..4))
        .prop_map(|(start, len, faults, dropped)| Step { start, len, faults, dropped })
}

/// Takes the step while hanging requests go on one by one.
async fn take(servers: &Servers, file: &File, step: &Step, salt: u8) {
    servers.world.script(UpdateChunk::METHOD, step.faults.clone());
    let calls = |state: &State| state.calls.get(&UpdateChunk::METHOD).copied().unwrap_or(0);
    let before = calls(&servers.world.state());
    let mut write = file.write_at(FileOffset(step.start), pattern(step.len, salt)).boxed();
    let Some(requests) = step.dropped else {
        servers.world.gate.add_permits(10);
        let done = write.await;
        assert!(matches!(done, Ok(()) | Err(ClientError::Fs(FsError::NoSpace))), "{done:?}");
        return;
    };
    let came = servers.world.until("it is sent", |state| calls(state) >= before + requests);
    let given_up = async {
        tokio::time::timeout(Duration::from_millis(20), came).await.ok();
    };
    tokio::select! { _ = &mut write => {}, () = given_up => {} }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Whatever became of the calls: once it is closed, the length covers every byte that a server has, and
    /// what is said to be dense is there.
    #[test]
    fn a_closed_file_s_length_covers_all_that_servers_have(
        steps in prop::collection::vec(step(), 1..8),
        late: bool,
    ) {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let servers = Servers::start().await;
            let client = servers.client().await;
            let file = client.fs().open("a", &both().report_late(late)).await.expect("created");
            let inode = file.inode();
            for (salt, step) in (1..).zip(&steps) {
                take(&servers, &file, step, salt).await;
            }
            servers.world.gate.add_permits(1000);
            file.close().await.expect("closed");
            let state = servers.world.state();
            prop_assert!(state.namespace.writers.is_empty());
            prop_assert_eq!(state.size(inode).get(), end_held(&state, inode));
            let dense = dense_to(&state, inode);
            for index in 0..dense.div_ceil(CHUNK as u64) {
                let covered = (dense - index * CHUNK as u64).min(CHUNK as u64);
                let index = u32::try_from(index).expect("small");
                let has = state.chunks.iter().any(|((_, id), bytes)| {
                    id.index == ChunkIndex(index) && bytes.len() as u64 >= covered
                });
                prop_assert!(has, "chunk {} below {}", index, dense);
            }
            Ok(())
        })?;
    }
}
