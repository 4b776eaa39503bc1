//! The three threads beside the driver: each owns one slow thing and reports by events.
//!
//! ```text
//!              orders, questions
//!                     ▼
//!   ┌──────────── driver (propose) ◄───────────┬───────────┐
//!   │ appends, cuts   │ committed    flush now │           │ Durable, Applied, StateDurable
//!   ▼                 ▼                  ▼     │           │
//!  log (sync)       apply              flush ──┴───────────┘
//! ```

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use emberfs_meta_server_consensus::{Append, Committed, Index, Position};
use emberfs_meta_server_state::{Overlay, StoreError};

use super::answer::Answer;
use super::driver::Event;
use super::machine::{Batch, Machine, decode};
use crate::store::{FlushError, LogStore, StateStore, WriteError};

/// The guard knows what was on stable storage at most this long ago.
const GUARD_EVERY: Duration = Duration::from_secs(1);

/// For the log thread.
pub(super) enum LogJob {
    Append(Append),
    Cut(Position),
}

/// For the apply thread: a committed entry, and who waits for its commands, in their order.
pub(super) struct ApplyJob<M: Machine> {
    pub(super) committed: Committed,
    pub(super) answers: Vec<Answer<M::Outcome>>,
}

/// Writes all that waits with one sync, over and over, until the driver lets go.
pub(super) fn write_log<M: Machine>(
    mut log: LogStore,
    jobs: &Receiver<LogJob>,
    events: &Sender<Event<M>>,
) -> Result<LogStore, WriteError> {
    let mut guarded = Instant::now();
    loop {
        if guarded.elapsed() >= GUARD_EVERY {
            log.refresh_guard()?;
            guarded = Instant::now();
        }
        let first = match jobs.recv_timeout(GUARD_EVERY.saturating_sub(guarded.elapsed())) {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(log),
        };
        let (mut appends, mut cut) = (Vec::new(), None);
        for job in std::iter::once(first).chain(jobs.try_iter()) {
            match job {
                LogJob::Append(append) => appends.push(append),
                LogJob::Cut(position) => cut = Some(position),
            }
        }
        if let Some(durable) = log.append(appends, cut)? {
            // The driver is gone only when it failed.
            let _ = events.send(Event::Durable(durable));
        }
    }
}

/// Applies what is committed, answers, and reports how far it is.
pub(super) fn apply_all<M: Machine>(
    machine: &M,
    state: &StateStore,
    jobs: &Receiver<Vec<ApplyJob<M>>>,
    events: &Sender<Event<M>>,
) -> Result<(), ApplyError> {
    let mut applied = state.applied()?;
    for batch in jobs {
        let mut transaction = Overlay::new(state);
        let mut outcomes = Vec::new();
        for ApplyJob { committed, answers } in batch {
            let entry = committed.entry;
            assert_eq!(entry.position.index, applied.position.index.next(), "in the log's order");
            applied.position = entry.position;
            let mut answers = answers.into_iter();
            if !entry.data.is_empty() {
                let batch: Batch = decode(&entry.data, "batch of commands")?;
                applied.time = applied.time.max(batch.time);
                for command in batch.commands {
                    let outcome = machine.apply(&mut transaction, &command)?;
                    outcomes.extend(answers.next().map(|answer| (answer, outcome)));
                }
            }
            assert!(answers.next().is_none(), "one answer for each command");
        }
        state.commit(transaction.into_changes(), applied)?;
        // Reported first: who has the answer and asks finds a leader that has applied it. An asker or
        // a driver that is gone needs nothing.
        let _ = events.send(Event::Applied(applied));
        for (answer, outcome) in outcomes {
            answer.give(Ok(outcome));
        }
    }
    Ok(())
}

/// Why the apply thread ends before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Makes the state durable whenever it is told to.
pub(super) fn flush_state<M: Machine>(
    state: &Arc<StateStore>,
    wishes: &Receiver<()>,
    events: &Sender<Event<M>>,
) -> Result<(), FlushError> {
    for () in wishes {
        let durable: Index = state.flush()?;
        let _ = events.send(Event::StateDurable(durable));
    }
    Ok(())
}
