//! The driver: the thread that owns the [`Member`], feeds it and carries its effects out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use emberfs_meta_server_consensus::{
    Committed, ConfirmId, Durable, Effect, Index, Input, LOG_BYTES_MAX, Leadership, Member, Millis,
    ProposalId, Refusal,
};
use emberfs_wire::meta::Time;
use minicbor::bytes::ByteVec;
use tokio::sync::watch;

use super::answer::Answer;
use super::machine::{Batch, Machine, Stamp};
use super::threads::{ApplyJob, LogJob};
use super::{COMMAND_BYTES_MAX, GroupError};
use crate::store::Applied;

/// Entries whose sync may be under way: orders that come meanwhile share the next. With two, the disk
/// syncs more often for the same orders, and measures no faster.
const APPENDS_IN_FLIGHT: usize = 1;

/// Most commands in one entry: about what is gathered while a slow disk syncs.
const BATCH_COMMANDS_MAX: usize = 1024;

/// An entry takes no further command beyond this size.
const BATCH_BYTES: usize = 1 << 20;

/// Most events between two looks at the queue of orders.
const EVENTS_A_TURN: usize = 1024;

/// The state is made durable and the log cut when the log has grown to this: a restart reads and applies
/// about as much again, which takes a second or two.
const FLUSH_LOG_BYTES: usize = 32 << 20;

/// What happens to the group.
pub(super) enum Event<M: Machine> {
    Order(Order<M>),
    Confirm(Answer<Index>),
    Durable(Durable),
    Applied(Applied),
    StateDurable(Index),
    Failed(GroupError),
    Stop,
}

impl<M: Machine> Event<M> {
    /// What failed, if this says so.
    pub(super) fn failure(self) -> Option<GroupError> {
        match self {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}

/// A request and where its outcome goes.
pub(super) struct Order<M: Machine> {
    pub(super) request: M::Request,
    pub(super) answer: Answer<M::Outcome>,
}

/// Where effects go.
pub(super) struct Outlets<M: Machine> {
    pub(super) log: Sender<LogJob>,
    pub(super) apply: Sender<Vec<ApplyJob<M>>>,
    pub(super) flush: Sender<()>,
    pub(super) leadership: watch::Sender<Leadership>,
}

/// The driver's own state.
pub(super) struct Driver<M: Machine> {
    machine: Arc<M>,
    member: Member,
    outlets: Outlets<M>,
    clock: fn() -> Time,
    /// The member's time counts from here.
    started: Instant,
    /// The latest time that any command carries.
    time: Time,
    waiting: VecDeque<Order<M>>,
    proposed: BTreeMap<ProposalId, Vec<Answer<M::Outcome>>>,
    asked: BTreeMap<ConfirmId, Answer<Index>>,
    numbers: u64,
    flushing: bool,
    stopping: bool,
    failure: Option<GroupError>,
}

impl<M: Machine> Driver<M> {
    pub(super) fn new(
        machine: Arc<M>,
        member: Member,
        outlets: Outlets<M>,
        clock: fn() -> Time,
    ) -> Self {
        Self {
            machine,
            member,
            outlets,
            clock,
            started: Instant::now(),
            time: Time::default(),
            waiting: VecDeque::new(),
            proposed: BTreeMap::new(),
            asked: BTreeMap::new(),
            numbers: 0,
            flushing: false,
            stopping: false,
            failure: None,
        }
    }

    /// Runs until it is told to stop and all that it took is answered, or until something fails.
    ///
    /// # Errors
    /// What failed.
    pub(super) fn run(mut self, events: &Receiver<Event<M>>) -> Result<(), GroupError> {
        let end = self.turn_over(events);
        self.outlets.leadership.send_replace(Leadership::Nobody);
        end
    }

    fn turn_over(&mut self, events: &Receiver<Event<M>>) -> Result<(), GroupError> {
        self.step(Input::Tick);
        while !(self.stopping && self.waiting.is_empty() && self.proposed.is_empty()) {
            match events.recv_timeout(self.until_tick()) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => self.step(Input::Tick),
                Err(RecvTimeoutError::Disconnected) => self.stopping = true,
            }
            for event in events.try_iter().take(EVENTS_A_TURN) {
                self.take(event);
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            self.propose();
            self.flush_if_long();
        }
        Ok(())
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn until_tick(&self) -> Duration {
        Duration::from_millis(self.member.next_tick().0.saturating_sub(self.now().0))
    }

    fn take(&mut self, event: Event<M>) {
        match event {
            Event::Order(order) if self.stopping => order.answer.give(Err(GroupError::Stopped)),
            Event::Order(order) => self.waiting.push_back(order),
            Event::Confirm(answer) => {
                self.numbers += 1;
                let id = ConfirmId(self.numbers);
                self.asked.insert(id, answer);
                self.step(Input::Confirm(id));
            }
            Event::Durable(durable) => self.step(Input::Durable(durable)),
            Event::Applied(applied) => {
                self.time = self.time.max(applied.time);
                self.step(Input::Applied(applied.position.index));
            }
            Event::StateDurable(index) => {
                self.flushing = false;
                self.step(Input::StateDurable(index));
            }
            Event::Failed(failure) => self.failure = Some(failure),
            Event::Stop => self.stopping = true,
        }
    }

    /// Puts what waits into entries, as long as the log thread can use another.
    fn propose(&mut self) {
        if !matches!(*self.outlets.leadership.borrow(), Leadership::Leader { .. }) {
            let leader = self.outlets.leadership.borrow().other();
            let all = self.waiting.drain(..);
            all.for_each(|order| order.answer.give(Err(GroupError::NotLeader { leader })));
            return;
        }
        // A log that is full is being cut: what waits goes on waiting, and so do its callers.
        while self.member.unsynced() < APPENDS_IN_FLIGHT
            && self.member.log_bytes() < LOG_BYTES_MAX
            && !self.waiting.is_empty()
        {
            self.propose_batch();
        }
    }

    fn propose_batch(&mut self) {
        self.time = self.time.max((self.clock)());
        let (mut commands, mut answers, mut len) = (Vec::new(), Vec::new(), 0);
        while len < BATCH_BYTES
            && commands.len() < BATCH_COMMANDS_MAX
            && let Some(Order { request, answer }) = self.waiting.pop_front()
        {
            let stamp = Stamp { time: self.time, seed: rand::random() };
            let command = self.machine.encode(request, stamp);
            if command.len() > COMMAND_BYTES_MAX {
                let (len, limit) = (command.len(), COMMAND_BYTES_MAX);
                answer.give(Err(GroupError::TooLarge { len, limit }));
                continue;
            }
            len += command.len();
            commands.push(ByteVec::from(command));
            answers.push(answer);
        }
        if commands.is_empty() {
            return;
        }
        let batch = Batch { time: self.time, commands };
        let data = minicbor::to_vec(batch).expect("memory takes all that is written to it");
        self.numbers += 1;
        let id = ProposalId(self.numbers);
        self.proposed.insert(id, answers);
        self.step(Input::Propose { id, data: Bytes::from(data) });
    }

    fn flush_if_long(&mut self) {
        if !self.flushing && self.member.log_bytes() >= FLUSH_LOG_BYTES {
            // The thread is gone only when it failed, which comes as an event.
            self.flushing = self.outlets.flush.send(()).is_ok();
        }
    }

    fn step(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.member.step(self.now(), input, &mut effects);
        effects.into_iter().for_each(|effect| self.carry_out(effect));
    }

    /// A thread that is gone has failed, and said so in an event that stands in the queue.
    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Append(append) => drop(self.outlets.log.send(LogJob::Append(append))),
            Effect::Cut(position) => drop(self.outlets.log.send(LogJob::Cut(position))),
            Effect::Send(message) => unreachable!("a member that is alone writes {message:?}"),
            Effect::Apply(batch) => {
                let jobs = batch.into_iter().map(|committed| self.job(committed)).collect();
                drop(self.outlets.apply.send(jobs));
            }
            Effect::Confirmed { ids, index } => {
                let answers = ids.into_iter().filter_map(|id| self.asked.remove(&id));
                answers.for_each(|answer| answer.give(Ok(index)));
            }
            Effect::Unconfirmed { id, leader } => {
                let answer = self.asked.remove(&id);
                answer.into_iter().for_each(|a| a.give(Err(GroupError::NotLeader { leader })));
            }
            Effect::Refused { id, why } => {
                let why = match why {
                    Refusal::NotLeader { leader } => GroupError::NotLeader { leader },
                    Refusal::Full => unreachable!("the driver looks before it proposes"),
                    Refusal::Unknown => GroupError::Unknown,
                };
                let answers = self.proposed.remove(&id).unwrap_or_default();
                answers.into_iter().for_each(|answer| answer.give(Err(why.clone())));
            }
            Effect::Leadership(leadership) => {
                tracing::info!(?leadership, "leadership of the metadata group");
                self.outlets.leadership.send_replace(leadership);
            }
        }
    }

    fn job(&mut self, committed: Committed) -> ApplyJob<M> {
        let proposal = committed.proposal;
        let answers = proposal.and_then(|id| self.proposed.remove(&id)).unwrap_or_default();
        ApplyJob { committed, answers }
    }
}
