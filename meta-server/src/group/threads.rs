//! The three threads beside the driver: each owns one slow thing and reports by events.
//!
//! ```text
//!              orders, questions, messages
//!                     ▼
//!   ┌──────────── driver (propose) ◄───────────┬───────────┐
//!   │ appends, cuts   │ committed  flush, copy │           │ Durable, Applied, StateDurable,
//!   ▼                 ▼            remove▼     │           │ Installed, SnapshotMade
//!  log (sync) ───►  apply              flush ──┴───────────┘
//!        install
//! ```
//!
//! A received state is installed by the log thread, in its place among the appends. It asks the apply thread, by
//! its ordinary queue, to switch: what was committed before stands before that in the queue, and what comes
//! after is committed only when the driver hears that the install is done.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use emberfs_meta_server_consensus::{Append, Committed, Index, Position, SnapshotId};
use emberfs_meta_server_state::{Overlay, StoreError};
use tokio::sync::watch;

use super::answer::Answer;
use super::berth::Place;
use super::driver::Event;
use super::machine::{Batch, Machine, decode};
use super::meters::Slow;
use super::receive::Delivery;
use crate::store::{
    Applied, Checkpoint, FlushError, LogStore, OpenError, Received, Replaced, StateStore,
    WriteError,
};

/// The guard knows what was on stable storage at most this long ago.
const GUARD_EVERY: Duration = Duration::from_secs(1);

/// For the log thread.
pub(super) enum LogJob {
    Append(Append),
    /// An append that begins with a state, and the state.
    Install(Append, Delivery),
    Cut(Position),
    /// The guard is to know, before what comes behind this, that the log has held this much.
    Owe(Index),
    /// The guard is to forget, behind all that came before this, that the member was new.
    BroughtUp,
}

/// For the apply thread.
pub(super) enum ApplyJob<M: Machine> {
    /// Entries that were committed, in order.
    Entries(Vec<Entry<M>>),
    /// A state to put in the place of the present one, and who waits for that.
    Install(Received, Sender<(Applied, Replaced)>),
}

/// A committed entry, and who waits for its commands, in their order: nobody, where another member proposed it.
pub(super) struct Entry<M: Machine> {
    pub(super) committed: Committed,
    pub(super) answers: Vec<Answer<M::Outcome>>,
}

/// For the flush thread.
pub(super) enum FlushJob {
    /// Make the state durable.
    Flush,
    /// Set it aside.
    Copy(SnapshotId),
    /// Remove what nobody needs any more: that takes seconds where it is large.
    Remove(Leftover),
}

/// What is removed when it is dropped.
#[expect(dead_code, reason = "it is only to be dropped")]
pub(super) enum Leftover {
    /// A snapshot that nobody needs.
    Snapshot(Arc<Checkpoint>),
    /// A state that came too late to be needed.
    Received(Delivery),
    /// One that another has taken the place of, and the place for the next.
    Replaced(Replaced, Place),
}

/// Where the log thread reports, whom it asks to switch, and whom to clear up.
pub(super) struct LogPorts<M: Machine> {
    pub(super) events: Sender<Event<M>>,
    pub(super) apply: Sender<ApplyJob<M>>,
    pub(super) flush: Sender<FlushJob>,
    /// How long a sync takes.
    pub(super) slow: Slow,
}

/// Writes all that waits with one sync, over and over, until the driver lets go.
pub(super) fn write_log<M: Machine>(
    mut log: LogStore,
    jobs: &Receiver<LogJob>,
    ports: &LogPorts<M>,
) -> Result<LogStore, LogError> {
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
                LogJob::Install(append, delivery) => {
                    write(&mut log, std::mem::take(&mut appends), cut.take(), ports)?;
                    install(&mut log, append, delivery, ports)?;
                }
                LogJob::Owe(held) => {
                    write(&mut log, std::mem::take(&mut appends), cut.take(), ports)?;
                    log.owe(held)?;
                }
                LogJob::BroughtUp => {
                    write(&mut log, std::mem::take(&mut appends), cut.take(), ports)?;
                    log.brought_up()?;
                }
            }
        }
        write(&mut log, appends, cut, ports)?;
    }
}

fn write<M: Machine>(
    log: &mut LogStore,
    appends: Vec<Append>,
    cut: Option<Position>,
    ports: &LogPorts<M>,
) -> Result<(), LogError> {
    if appends.is_empty() && cut.is_none() {
        return Ok(());
    }
    let (began, some) = (Instant::now(), !appends.is_empty());
    let durable = log.append(appends, cut)?;
    if some {
        ports.slow.since(began);
    }
    if let Some(durable) = durable {
        // The driver is gone only when it failed.
        let _ = ports.events.send(Event::Durable(durable));
    }
    Ok(())
}

/// Puts a received state in its place, and the log behind it.
fn install<M: Machine>(
    log: &mut LogStore,
    append: Append,
    delivery: Delivery,
    ports: &LogPorts<M>,
) -> Result<(), LogError> {
    let at = append.snapshot().ok_or(LogError::NotInstalled)?.position;
    log.begin_install(at, append.vote())?;
    let (done, switched) = mpsc::channel();
    let (received, taken) = delivery.into_parts();
    ports.apply.send(ApplyJob::Install(received, done)).map_err(|_| LogError::NotInstalled)?;
    let (applied, replaced) = switched.recv().map_err(|_| LogError::NotInstalled)?;
    log.finish_install(at, append.entries())?;
    tracing::info!(
        index = at.index.get(),
        "the state of another member took the place of this one's"
    );
    drop(ports.flush.send(FlushJob::Remove(Leftover::Replaced(replaced, taken))));
    // In one, so that nothing is applied behind it before the driver hears of it.
    let _ = ports.events.send(Event::Installed(append.synced(), applied));
    Ok(())
}

/// Why the log thread ends before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("a state that was received could not take the place of the present one")]
    NotInstalled,
}

/// Where the apply thread reports.
pub(super) struct ApplyPorts<M: Machine> {
    pub(super) events: Sender<Event<M>>,
    /// How far the state is.
    pub(super) applied: watch::Sender<Index>,
    /// How long it takes.
    pub(super) slow: Slow,
}

/// Applies what is committed, answers, and reports how far it is.
pub(super) fn apply_all<M: Machine>(
    machine: &M,
    state: &StateStore,
    jobs: &Receiver<ApplyJob<M>>,
    ports: &ApplyPorts<M>,
) -> Result<(), ApplyError> {
    let mut applied = state.applied()?;
    for job in jobs {
        match job {
            ApplyJob::Entries(entries) => apply(machine, state, entries, &mut applied, ports)?,
            ApplyJob::Install(received, done) => {
                let (now, replaced) = state.install(received)?;
                applied = now;
                ports.applied.send_replace(applied.position.index);
                // Who asked is gone only when it failed.
                let _ = done.send((applied, replaced));
            }
        }
    }
    Ok(())
}

fn apply<M: Machine>(
    machine: &M,
    state: &StateStore,
    entries: Vec<Entry<M>>,
    applied: &mut Applied,
    ports: &ApplyPorts<M>,
) -> Result<(), ApplyError> {
    let began = Instant::now();
    let mut transaction = Overlay::new(state);
    let mut outcomes = Vec::new();
    for Entry { committed, answers } in entries {
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
    state.commit(transaction.into_changes(), *applied)?;
    ports.slow.since(began);
    // Reported first: who has the answer and asks finds a leader that has applied it. An asker or
    // a driver that is gone needs nothing.
    ports.applied.send_replace(applied.position.index);
    let _ = ports.events.send(Event::Applied(*applied));
    for (answer, outcome) in outcomes {
        answer.give(Ok(outcome));
    }
    Ok(())
}

/// Why the apply thread ends before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] FlushError),
    #[error(transparent)]
    Install(#[from] OpenError),
}

/// Makes the state durable, sets it aside, or removes what is left of others, whenever it is told to.
pub(super) fn flush_state<M: Machine>(
    state: &Arc<StateStore>,
    jobs: &Receiver<FlushJob>,
    events: &Sender<Event<M>>,
) -> Result<(), FlushError> {
    for job in jobs {
        let done = match job {
            FlushJob::Flush => Event::StateDurable(state.flush()?),
            FlushJob::Copy(id) => {
                let made = state.checkpoint(id);
                let made = made.inspect_err(|error| {
                    tracing::warn!(%error, "no snapshot of the state could be made");
                });
                Event::SnapshotMade(made.ok())
            }
            FlushJob::Remove(leftover) => {
                drop(leftover);
                continue;
            }
        };
        let _ = events.send(done);
    }
    Ok(())
}
