//! Work that runs once for a key, however many wait for it.
//!
//! A job is a task of its own, so that it goes on when the request that began it is dropped. At most
//! [`RUNNING_MAX`] of a kind make progress at once; the others queue for a permit.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How many jobs of a kind run at once: enough to keep a cluster's chains busy, few enough that the
/// leader's own work does not crowd out its clients'.
const RUNNING_MAX: usize = 64;

/// The running jobs of one kind, until [`Self::end`].
#[derive(Debug)]
pub(crate) struct Jobs<K> {
    state: Arc<Mutex<State<K>>>,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct State<K> {
    running: HashMap<K, watch::Receiver<()>>,
    /// `None`: they were ended.
    tasks: Option<JoinSet<()>>,
}

/// Somebody's interest in a job.
#[derive(Debug)]
pub(crate) struct Finished(watch::Receiver<()>);

impl Finished {
    /// Waits until the job has ended. What became of it is to be looked up: it may be done, it may have
    /// been given up, and it may have looked before what its waiter wants done was there to be seen.
    pub(crate) async fn wait(mut self) {
        // The sender never sends: it goes when the job ends.
        let _ended = self.0.changed().await;
    }
}

/// Takes a job off the list when its task ends, also when it is aborted.
struct Entry<K: Eq + Hash> {
    key: K,
    state: Arc<Mutex<State<K>>>,
    _alive: watch::Sender<()>,
}

impl<K: Eq + Hash> Drop for Entry<K> {
    fn drop(&mut self) {
        lock(&self.state).running.remove(&self.key);
    }
}

fn lock<K>(state: &Mutex<State<K>>) -> std::sync::MutexGuard<'_, State<K>> {
    // No code under the lock panics half-way through an update.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Eq + Hash + Copy + Send + 'static> Jobs<K> {
    /// None yet.
    pub(crate) fn new() -> Self {
        let state = State { running: HashMap::new(), tasks: Some(JoinSet::new()) };
        Self { state: Arc::new(Mutex::new(state)), permits: Arc::new(Semaphore::new(RUNNING_MAX)) }
    }

    /// Begins `work` for `key`, unless it is under way; `None` if they were ended.
    pub(crate) fn start<F>(&self, key: K, work: impl FnOnce() -> F) -> Option<Finished>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut guard = lock(&self.state);
        let State { running, tasks } = &mut *guard;
        let tasks = tasks.as_mut()?;
        if let Some(running) = running.get(&key) {
            return Some(Finished(running.clone()));
        }
        while tasks.try_join_next().is_some() {}
        let (alive, receiver) = watch::channel(());
        let entry = Entry { key, state: self.state.clone(), _alive: alive };
        let (permits, work) = (self.permits.clone(), work());
        running.insert(key, receiver.clone());
        tasks.spawn(async move {
            let _entry = entry;
            let _permit = permits.acquire().await.expect("never closed");
            work.await;
        });
        Some(Finished(receiver))
    }

    /// Ends all jobs, and begins no more.
    pub(crate) fn end(&self) {
        // Taken out first: an aborted task takes itself off the list under the same lock.
        let tasks = lock(&self.state).tasks.take();
        drop(tasks);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_job_runs_once_for_all_who_wait() {
        let jobs = Jobs::new();
        let (runs, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let work = || {
            let (runs, gate) = (runs.clone(), gate.clone());
            async move {
                runs.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.expect("open").forget();
            }
        };
        let [one, two] = [jobs.start(1, work), jobs.start(1, work)];
        gate.add_permits(1);
        one.expect("not ended").wait().await;
        two.expect("not ended").wait().await;
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        let again = jobs.start(1, work);
        gate.add_permits(1);
        again.expect("not ended").wait().await;
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn ended_jobs_keep_nobody_waiting() {
        let jobs = Jobs::new();
        let waiting = jobs.start((), std::future::pending);
        jobs.end();
        waiting.expect("not ended").wait().await;
        assert!(jobs.start((), std::future::pending).is_none());
    }
}
