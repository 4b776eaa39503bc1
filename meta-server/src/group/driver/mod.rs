//! The driver: the thread that owns the [`Member`], feeds it and carries its effects out.
//!
//! It waits for nothing but events: what it hands to threads and to other members goes into queues, those to
//! other members bounded ([`post`](super::post)).

mod effects;
mod event;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use emberfs_meta_server_consensus::{
    Abstention, ConfirmId, Index, Input, Leadership, Member, MemberId, Millis, ProposalId, Term,
};
use emberfs_wire::meta::Time;
use minicbor::bytes::ByteVec;

use super::answer::Answer;
use super::machine::{Batch, Machine, Stamp};
use super::meters::DriverMeters;
use super::receive::Delivery;
use super::snapshots::Snapshots;
use super::threads::{FlushJob, Leftover};
use super::undelivered::{Undelivered, became};
use super::{COMMAND_BYTES_MAX, GroupError, GroupOptions};
use crate::store::Applied;
pub(super) use event::{Event, Order, Outlets, Public, Question};

/// Entries whose sync may be under way: orders that come meanwhile share the next. With two, the disk
/// syncs more often for the same orders, and measures no faster.
const APPENDS_IN_FLIGHT: usize = 1;

/// Most commands in one entry: about what is gathered while a slow disk syncs.
const BATCH_COMMANDS_MAX: usize = 1024;

/// An entry takes no further command beyond this size.
const BATCH_BYTES: usize = 1 << 20;

/// Most events between two looks at the queue of orders.
const EVENTS_A_TURN: usize = 1024;

/// For how long a member of several that stops waits for what is under way: where no majority answers, it would
/// wait for ever.
const STOP_WAIT: Duration = Duration::from_secs(1);

/// The driver's own state.
pub(super) struct Driver<M: Machine> {
    machine: Arc<M>,
    member: Member,
    outlets: Outlets<M>,
    options: GroupOptions,
    /// The latest time that any command carries.
    time: Time,
    waiting: VecDeque<Order<M>>,
    proposed: BTreeMap<ProposalId, Vec<Answer<M::Outcome>>>,
    asked: BTreeMap<ConfirmId, Answer<Index>>,
    numbers: u64,
    /// What follows from effects that could not be carried out.
    later: VecDeque<Input>,
    /// The state that goes with the message which is being taken in.
    delivery: Option<Delivery>,
    snapshots: Snapshots,
    /// What was committed since the state was last made durable, by size.
    unflushed: usize,
    flushing: bool,
    /// What the state has taken in, and what of that was made durable since the start.
    taken_in: Index,
    durable: Index,
    /// It takes no more orders, and another is to lead when those that it took are answered.
    handing_over: bool,
    /// Since when it stops, if it does.
    stopping: Option<Instant>,
    failure: Option<GroupError>,
    meters: DriverMeters,
}

impl<M: Machine> Driver<M> {
    pub(super) fn new(
        machine: Arc<M>,
        member: Member,
        outlets: Outlets<M>,
        options: GroupOptions,
    ) -> Self {
        Self {
            machine,
            snapshots: Snapshots::new(outlets.public.snapshot.clone(), outlets.flush.clone()),
            // All of it is applied again, and may be long.
            unflushed: member.log_bytes(),
            member,
            outlets,
            options,
            time: Time::default(),
            waiting: VecDeque::new(),
            proposed: BTreeMap::new(),
            asked: BTreeMap::new(),
            numbers: 0,
            later: VecDeque::new(),
            delivery: None,
            flushing: false,
            taken_in: Index::NONE,
            durable: Index::NONE,
            handing_over: false,
            stopping: None,
            failure: None,
            meters: DriverMeters::new(),
        }
    }

    /// Runs until it is told to stop and all that it took is answered, or until something fails.
    ///
    /// # Errors
    /// What failed.
    pub(super) fn run(mut self, events: &Receiver<Event<M>>) -> Result<(), GroupError> {
        match self.member.abstains() {
            Some(Abstention::Lost { to }) => tracing::warn!(
                to = to.get(),
                "this member's log has lost entries: it votes for nobody before a leader has sent them again; where none \
                 is elected, `emberfs status` says what to do"
            ),
            Some(Abstention::New) => tracing::info!(
                "this member is new, and votes for nobody who holds anything before a leader has brought it up to date; the \
                 first leader of a group is elected by all its members"
            ),
            None => {}
        }
        let end = self.turn_over(events);
        self.outlets.public.lease.note(Millis(0), self.member.committed());
        self.outlets.public.leadership.send_replace(Leadership::Nobody);
        self.snapshots.end();
        end
    }

    fn turn_over(&mut self, events: &Receiver<Event<M>>) -> Result<(), GroupError> {
        self.step(Input::Tick);
        while !self.has_stopped() {
            match events.recv_timeout(self.until_tick()) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => self.step(Input::Tick),
                Err(RecvTimeoutError::Disconnected) => self.stop(),
            }
            for event in events.try_iter().take(EVENTS_A_TURN) {
                self.take(event);
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            self.propose();
            self.hand_over();
            self.flush_if_long();
            self.meters.note(&self.member, self.leadership(), self.taken_in, self.waiting.len());
            if self.snapshots.is_gone() {
                self.step(Input::SnapshotGone);
            }
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.stopping.get_or_insert_with(Instant::now);
    }

    fn has_stopped(&self) -> bool {
        let Some(since) = self.stopping else { return false };
        let idle = self.waiting.is_empty() && self.proposed.is_empty();
        idle || (!self.member.alone() && since.elapsed() >= STOP_WAIT)
    }

    fn until_tick(&self) -> Duration {
        let now = self.outlets.public.lease.now();
        Duration::from_millis(self.member.next_tick().0.saturating_sub(now.0))
    }

    fn take(&mut self, event: Event<M>) {
        match event {
            Event::Order(order) if self.stopping.is_some() => {
                order.answer.give(Err(GroupError::Stopped));
            }
            Event::Order(order) if self.handing_over => {
                order.answer.give(Err(self.not_leader()));
            }
            Event::Order(order) => self.waiting.push_back(order),
            Event::Confirm(question) => self.confirm(question),
            // Whoever asked may have gone.
            Event::Stand(asker) => drop(asker.send(self.member.standing())),
            Event::Heard(message, delivery, _taken) => {
                self.delivery = delivery;
                self.step(Input::Message(message));
                if let Some(late) = self.delivery.take() {
                    // The thread is gone only when it failed.
                    drop(self.outlets.flush.send(FlushJob::Remove(Leftover::Received(late))));
                }
            }
            Event::Unreachable(to) => self.step(Input::Unreachable(to)),
            Event::SnapshotSent(to, sent) => self.snapshot_sent(to, sent),
            Event::HandOver => self.handing_over = !self.member.alone(),
            Event::Durable(durable) => self.step(Input::Durable(durable)),
            Event::Applied(applied) => self.applied(applied),
            Event::Installed(durable, applied) => {
                self.step(Input::Durable(durable));
                self.applied(applied);
            }
            Event::StateDurable(index) => {
                self.flushing = false;
                self.durable = index;
                self.step(Input::StateDurable(index));
            }
            Event::SnapshotMade(Some(made)) => {
                let name = self.snapshots.keep(made);
                self.step(Input::SnapshotMade(name));
            }
            Event::SnapshotMade(None) => self.snapshots.fail(),
            Event::Failed(failure) => self.failure = Some(failure),
            Event::Stop => self.stop(),
        }
    }

    fn snapshot_sent(&mut self, to: MemberId, sent: Result<(), Undelivered>) {
        self.snapshots.sent(to);
        let was = self.member.is_given_up(to);
        self.step(Input::SnapshotSent { to, became: became(&sent) });
        match (was, self.member.is_given_up(to), sent) {
            (false, true, Err(cause)) => tracing::warn!(
                member = to.get(), %cause,
                "a member of the metadata group lags behind the log and refuses every state that it is sent: no more of \
                 the log than usual is kept for it; mend on its machine what it names as the cause, such as room on its \
                 disk: it is sent others all the same, and is back with the first that it takes"
            ),
            (true, false, Ok(())) => tracing::info!(
                member = to.get(),
                "a member of the metadata group that refused every state has taken one"
            ),
            _ => {}
        }
    }

    fn applied(&mut self, applied: Applied) {
        // Whoever leads next goes on from here.
        self.time = self.time.max(applied.time);
        self.taken_in = applied.position.index;
        self.step(Input::Applied(applied.position.index));
    }

    fn confirm(&mut self, Question { term, answer }: Question) {
        if !self.leads_in(term) {
            answer.give(Err(self.not_leader()));
            return;
        }
        self.numbers += 1;
        let id = ConfirmId(self.numbers);
        self.asked.insert(id, answer);
        self.step(Input::Confirm(id));
    }

    fn leadership(&self) -> Leadership {
        *self.outlets.public.leadership.borrow()
    }

    /// Whether this member leads in the term, if that matters.
    fn leads_in(&self, wanted: Option<Term>) -> bool {
        wanted.is_none_or(|term| self.leadership() == Leadership::Leader { term })
    }

    fn not_leader(&self) -> GroupError {
        GroupError::NotLeader { leader: self.leadership().other() }
    }

    /// Puts what waits into entries, as long as the log thread can use another.
    fn propose(&mut self) {
        if !matches!(self.leadership(), Leadership::Leader { .. }) {
            let why = self.not_leader();
            self.waiting.drain(..).for_each(|order| order.answer.give(Err(why.clone())));
            return;
        }
        // A log that is full is being cut: what waits goes on waiting, and so do its callers.
        while self.member.unsynced() < APPENDS_IN_FLIGHT
            && !self.member.log_is_full()
            && !self.waiting.is_empty()
        {
            self.propose_batch();
        }
    }

    fn propose_batch(&mut self) {
        self.time = self.time.max((self.options.clock)());
        let (mut commands, mut answers, mut len) = (Vec::new(), Vec::new(), 0);
        while len < BATCH_BYTES
            && commands.len() < BATCH_COMMANDS_MAX
            && let Some(Order { request, term, answer }) = self.waiting.pop_front()
        {
            if !self.leads_in(term) {
                answer.give(Err(self.not_leader()));
                continue;
            }
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
        self.meters.proposed(commands.len());
        let batch = Batch { time: self.time, commands };
        let data = minicbor::to_vec(batch).expect("memory takes all that is written to it");
        self.numbers += 1;
        let id = ProposalId(self.numbers);
        self.proposed.insert(id, answers);
        self.step(Input::Propose { id, data: Bytes::from(data) });
    }

    /// Lets another lead, when nothing is under way that this member would have to answer.
    fn hand_over(&mut self) {
        if self.handing_over && self.waiting.is_empty() && self.proposed.is_empty() {
            self.handing_over = false;
            self.step(Input::HandOver);
        }
    }

    fn flush_if_long(&mut self) {
        // What is kept for others is durable in the state long since.
        let full = self.member.log_is_long();
        // What the last one found was less than what was committed, where applying lagged behind.
        let more = self.durable < self.taken_in;
        let due = self.unflushed >= self.options.flush_bytes || (full && more);
        if due && !self.flushing {
            self.unflushed = 0;
            // The thread is gone only when it failed, which comes as an event.
            self.flushing = self.outlets.flush.send(FlushJob::Flush).is_ok();
        }
    }

    fn step(&mut self, input: Input) {
        self.later.push_back(input);
        while let Some(input) = self.later.pop_front() {
            let mut effects = Vec::new();
            let lease = &self.outlets.public.lease;
            self.member.step(lease.now(), input, &mut effects);
            // Before anything leaves that lets another lead, or that tells others what is committed.
            lease.note(self.member.lease_until(), self.member.committed());
            self.snapshots.withdraw(|name| self.member.is_of_use(name));
            effects.into_iter().for_each(|effect| self.carry_out(effect));
        }
    }
}
