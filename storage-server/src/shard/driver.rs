//! One target at work: its core, and what carries out the core's effects.
//!
//! ```text
//!   request ─► ask() ─┐                      ┌─► engine  ──► Stored, ReadDone ─┐
//!   chain, lease ─────┼─► feed ─► core.step ─┼─► peers   ──► Answer ───────────┼─► feed …
//!   tick ─────────────┘                      └─► whoever waits for a reply     │
//!                     └────────────────────────────────────────────────────────┘
//! ```
//!
//! Inputs stand in one queue and are stepped one at a time; an effect that ends at once puts its outcome
//! behind them. A request whose asker gave up is not undone: what it began goes on in tasks of its own.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use emberfs_buffer::Pool;
use emberfs_chain_replication::target::{
    Durable, Effect, Input, OpId, Reply, RequestId, StoreError, Target,
};
use emberfs_wire::WireError;
use emberfs_wire::cluster::{TargetReport, WantedMark};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::busy::Busy;
use super::forwarding;
use super::peers::Peers;
use super::store::Store;
use crate::clock::Clock;

/// How long a peer is told to wait before it asks a shard again that could not take its request.
pub(crate) const RETRY_MS: u32 = 20;

/// What a request of a peer ends in.
pub(crate) type Waiting = oneshot::Receiver<Result<Reply, WireError>>;

/// What a target needs of its shard.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) clock: Clock,
    pub(crate) peers: Rc<Peers>,
    /// Where payloads that must be joined go.
    pub(crate) pool: Pool,
    pub(crate) busy: Busy,
}

/// A target.
pub(crate) struct Driver {
    store: Store,
    around: Surroundings,
    core: RefCell<Target>,
    inputs: RefCell<VecDeque<Input>>,
    waiting: RefCell<HashMap<RequestId, oneshot::Sender<Result<Reply, WireError>>>>,
    next: Cell<u64>,
}

impl Driver {
    pub(crate) fn new(store: Store, core: Target, around: Surroundings) -> Rc<Self> {
        Rc::new(Self {
            store,
            around,
            core: RefCell::new(core),
            inputs: RefCell::default(),
            waiting: RefCell::default(),
            next: Cell::new(0),
        })
    }

    /// Hands in a request; the answer comes whenever it does.
    pub(crate) fn ask(self: &Rc<Self>, input: impl FnOnce(RequestId) -> Input) -> Waiting {
        let id = RequestId(self.next.get());
        self.next.set(id.0 + 1);
        let (tell, answer) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, tell);
        self.feed(input(id));
        answer
    }

    /// Hands in one event and carries out all that follows from it.
    pub(crate) fn feed(self: &Rc<Self>, input: Input) {
        self.inputs.borrow_mut().push_back(input);
        // An effect that ended at once: the loop below, further up the stack, comes to it.
        let Ok(mut core) = self.core.try_borrow_mut() else { return };
        let mut effects = Vec::new();
        loop {
            let Some(input) = self.inputs.borrow_mut().pop_front() else { break };
            core.step(self.around.clock.now(), input, &self.store, &mut effects);
            effects.drain(..).for_each(|effect| self.begin(effect));
        }
    }

    /// How it stands.
    pub(crate) fn report(&self) -> TargetReport {
        self.core.borrow().report()
    }

    /// Marks of sessions that it asks for.
    pub(crate) fn marks_wanted(&self) -> Vec<WantedMark> {
        self.core.borrow().marks_wanted().collect()
    }

    fn begin(self: &Rc<Self>, effect: Effect) {
        let store = self.store.clone();
        let target_id = store.target();
        match effect {
            Effect::Put { op, chunk, new } => {
                self.store(op, store.put(chunk, new));
            }
            Effect::Install { op, chunk, installed } => {
                self.store(op, store.install(chunk, installed));
            }
            Effect::Sweep { op, chunk } => self.store(op, async move { store.sweep(chunk).await }),
            Effect::Flush { op } => self.store(op, async move { store.flush().await }),
            Effect::Commit { chunk, version } => store.commit(chunk, version),
            Effect::Discard { chunk } => store.discard(chunk),
            Effect::Read { op, chunk, which, start, len } => self.work(async move {
                Input::ReadDone { op, outcome: store.read(chunk, which, start, len).await }
            }),
            Effect::Send { call, to, ask } => {
                let around = self.around.clone();
                self.work(async move {
                    Input::Answer { call, answer: forwarding::send(&around, to, ask).await }
                });
            }
            Effect::Reply { to, reply } => {
                let waiting = self.waiting.borrow_mut().remove(&to);
                // Whoever asked may have given up.
                let _gone = waiting.map(|tell| tell.send(reply));
            }
            Effect::ReplicasDiffer { chunk, version, ours, theirs, successor } => tracing::error!(
                %target_id, %chunk, %version, ?ours, ?theirs, %successor,
                "replicas of a chunk differ"
            ),
            Effect::Unreadable { chunk } => tracing::error!(
                %target_id, %chunk,
                "a chunk cannot be read: until it is removed or written anew, no replica that returns will serve"
            ),
            Effect::Failed { text } => tracing::error!(%target_id, %text, "target failed"),
        }
    }

    fn store(
        self: &Rc<Self>,
        op: OpId,
        work: impl Future<Output = Result<Durable, StoreError>> + 'static,
    ) {
        self.work(async move { Input::Stored { op, outcome: work.await } });
    }

    /// Begins some work now, so that effects begin in their order, and finishes it in a task of its own.
    fn work(self: &Rc<Self>, work: impl Future<Output = Input> + 'static) {
        let mut work: Pin<Box<dyn Future<Output = Input>>> = Box::pin(work);
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => self.feed(outcome),
            Poll::Pending => {
                let driver = Rc::clone(self);
                let busy = self.around.busy.one_more();
                spawn_local(async move {
                    let outcome = work.await;
                    driver.feed(outcome);
                    drop(busy);
                });
            }
        }
    }
}
