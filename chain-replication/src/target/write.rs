//! The head: admits clients' changes, orders them, and gathers what waits into the next version.

use std::collections::VecDeque;

use emberfs_buffer::Payload;
use emberfs_layout::{ChunkId, ChunkVersion};
use emberfs_wire::chunk::{ChunkChange, UpdateChunk, UpdateChunkReply};
use emberfs_wire::limits::{CHANGES_MAX, PAYLOAD_BYTES_MAX};
use emberfs_wire::replica::TaggedChange;
use emberfs_wire::{FsError, Tag, WireError};

use super::chain_view::refresh;
use super::effect::Effect;
use super::input::{Durable, Millis, RequestId};
use super::limits::WORKS_MAX;
use super::waiting::Waiting;
use super::work::{Work, join};
use super::{Target, Turn, retry};

impl Target {
    pub(super) fn on_update(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        update: UpdateChunk,
        data: Option<Payload>,
    ) {
        let admitted = self
            .admit(turn, &update, data.as_ref())
            .and_then(|()| self.answered_or_joined(turn, id, update.chunk, update.tag));
        match admitted {
            Ok(true) => {}
            Ok(false) => match self.room(turn, &update) {
                Ok(()) => self.enqueue(turn, id, update, data),
                Err(why) => turn.out.push(Effect::refuse(id, why)),
            },
            Err(why) => turn.out.push(Effect::refuse(id, why)),
        }
    }

    /// Whether the request may be looked at here, by this session, in this form.
    fn admit(
        &mut self,
        turn: &Turn<'_>,
        update: &UpdateChunk,
        data: Option<&Payload>,
    ) -> Result<(), WireError> {
        let view = self.serving(turn.now, &update.replica)?;
        if !view.head {
            return Err(refresh(&update.replica, view.version));
        }
        if update.low_water > update.tag.sequence {
            return Err(WireError::bug("a request below its own low-water mark"));
        }
        // Only now: `tags` says why a mark is learned from nobody who goes by another version of the chain.
        self.tags.learn(update.tag.client, update.low_water);
        if self.tags.is_over(update.tag) {
            return Err(FsError::Stale.into());
        }
        let most = update.chunk_size.bytes();
        let valid = match (&update.change, data) {
            (ChunkChange::Write(_), Some(data)) => {
                !data.is_empty()
                    && data.end().get() <= most
                    && data.block_size() == update.chunk_size.block_size()
            }
            (ChunkChange::Cut(len), None) => len.get() <= most,
            (ChunkChange::Remove, None) => true,
            _ => false,
        };
        if valid { Ok(()) } else { Err(FsError::InvalidArgument.into()) }
    }

    /// A retry: of an applied change it is answered as before, of one under way it joins that.
    fn answered_or_joined(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        chunk: ChunkId,
        tag: Tag,
    ) -> Result<bool, WireError> {
        let work = self.works.get_mut(&chunk);
        if let Some((work, at)) = work.and_then(|work| work.has(tag).map(|at| (work, at))) {
            let oldest = join(&mut work.clients[at], id);
            turn.out.extend(oldest.map(|old| Effect::refuse(old, retry("sent again".into()))));
            return Ok(true);
        }
        if let Some(waiting) = self.waiting.find(chunk, tag) {
            let oldest = join(&mut waiting.clients, id);
            turn.out.extend(oldest.map(|old| Effect::refuse(old, retry("sent again".into()))));
            return Ok(true);
        }
        if let Some(why) = self.tags.refusal(tag) {
            return Err(why.into());
        }
        let Some(applied) = self.tags.find(chunk, tag) else { return Ok(false) };
        match turn.committed(chunk).filter(|state| applied.version <= state.version) {
            Some(state) => {
                let reply =
                    UpdateChunkReply { version: applied.version, chunk_len: applied.chunk_len };
                turn.out.push(Effect::updated(id, reply, &Durable::shown(state)));
                Ok(true)
            }
            None => Err(retry("the change is not committed yet".into())),
        }
    }

    /// Whether one more tag may live with the chunk, beside those of whoever stands in line before this session; if
    /// not, asks for the marks of those that do.
    fn tag_fits(
        &mut self,
        now: Millis,
        update: &UpdateChunk,
        not_done: usize,
    ) -> Result<(), WireError> {
        let (chunk, client) = (update.chunk, update.tag.client);
        let live = self.tags.of(chunk);
        let is_first = update.tag.sequence == update.low_water;
        let most = if is_first { self.limits.tags_max } else { self.limits.tags_open_max };
        let open = live.len() + not_done;
        let kept_free = self.limits.tags_max - self.limits.tags_open_max;
        let before = self.turned_away.before(chunk, client);
        if open + before.min(kept_free) < most {
            if is_first {
                self.turned_away.leave(chunk, client);
            }
            return Ok(());
        }
        if is_first {
            self.turned_away.stand(now, chunk, update.tag);
        }
        let others = live.iter().map(|applied| applied.tag.client).filter(|other| *other != client);
        self.wanted.ask(now, others);
        Err(retry(format!(
            "{chunk} has {open} changes of which nobody said that the reply is there, and {before} sessions wait"
        )))
    }

    /// Whether there is room for one more change.
    fn room(&mut self, turn: &Turn<'_>, update: &UpdateChunk) -> Result<(), WireError> {
        let chunk = update.chunk;
        if let Some(text) = self.view.as_ref().and_then(super::ChainView::too_few) {
            return Err(WireError::Wait { text });
        }
        let work = self.works.get(&chunk);
        let size = turn.chunks.state(chunk).map(|state| state.chunk_size);
        let size = size
            .or(work.map(|work| work.chunk_size))
            .or(self.waiting.first_of(chunk).map(|first| first.chunk_size));
        if size.is_some_and(|size| size != update.chunk_size) {
            return Err(FsError::InvalidArgument.into());
        }
        let queued = self.waiting.len_of(chunk);
        let under_way = work.filter(|work| !work.is_durable()).map_or(0, |work| work.changes.len());
        let is_new = work.is_none();
        if self.is_orphaned(chunk) {
            return Err(retry(format!("{chunk} settles after a change of its chain")));
        }
        let full = self.waiting.room() == 0 || (is_new && self.works.len() >= WORKS_MAX);
        if full {
            return Err(retry(format!("{} is busy", self.id)));
        }
        self.tag_fits(turn.now, update, under_way + queued)
    }

    fn enqueue(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        update: UpdateChunk,
        data: Option<Payload>,
    ) {
        let UpdateChunk { tag, low_water, chunk, chunk_size, change, .. } = update;
        let change = TaggedChange { tag, low_water, change };
        let waiting = Waiting { change, chunk_size, data, clients: vec![id], alone: false };
        self.waiting.push(chunk, waiting);
        if !self.works.contains_key(&chunk) {
            self.next_version(turn, chunk);
        }
    }

    /// Makes the next version of a chunk out of what waits.
    pub(super) fn next_version(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        assert!(!self.works.contains_key(&chunk), "one version under way at a time");
        let batch = self.take_batch(turn, chunk);
        let Some(first) = batch.first() else { return };
        let base = turn.committed(chunk).map_or(ChunkVersion::NONE, |state| state.version);
        let kept = self.tags.of(chunk).iter().map(|applied| applied.tag).collect();
        let chunk_size = first.chunk_size;
        let (mut changes, mut data, mut clients) = (Vec::new(), Vec::new(), Vec::new());
        for waiting in batch {
            changes.push(waiting.change);
            data.extend(waiting.data);
            clients.push(waiting.clients);
        }
        let mut work = Work::new(base.next(), chunk_size, changes, data, kept);
        work.clients = clients;
        self.start(turn, chunk, work);
    }

    /// The changes that fit one version; those whose session has ended meanwhile are refused.
    fn take_batch(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) -> Vec<Waiting> {
        let mut queue = self.waiting.take(chunk);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(waiting) = queue.pop_front() {
            if self.tags.is_over(waiting.change.tag) {
                let refuse = |id| Effect::refuse(id, FsError::Stale.into());
                turn.out.extend(waiting.clients.into_iter().map(refuse));
                continue;
            }
            bytes += waiting.data.as_ref().map_or(0, Payload::len);
            let full = batch.len() == CHANGES_MAX || bytes > PAYLOAD_BYTES_MAX as usize;
            if full || (waiting.alone && !batch.is_empty()) {
                queue.push_front(waiting);
                break;
            }
            let alone = waiting.alone;
            batch.push(waiting);
            if alone {
                break;
            }
        }
        self.waiting.push_before(chunk, queue);
        batch
    }

    /// The changes of a version that was taken back, before all that waits: each makes its own. Those that
    /// nobody waits for are dropped; a retry begins them anew.
    pub(super) fn each_alone(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, work: Work) {
        let Work { chunk_size, changes, data, clients, .. } = work;
        let mut data = data.into_iter();
        let mut again = VecDeque::new();
        for (change, clients) in changes.into_iter().zip(clients) {
            let is_write = matches!(change.change, ChunkChange::Write(_));
            let data = if is_write { data.next() } else { None };
            if clients.is_empty() {
                continue;
            }
            if self.waiting.room() == again.len() {
                let refuse = |id| Effect::refuse(id, retry(format!("{} is busy", self.id)));
                turn.out.extend(clients.into_iter().map(refuse));
                continue;
            }
            again.push_back(Waiting { change, chunk_size, data, clients, alone: true });
        }
        self.waiting.push_before(chunk, again);
    }

    /// Nothing that waits will be ordered here.
    pub(super) fn refuse_all_waiting(&mut self, turn: &mut Turn<'_>, why: &WireError) {
        let chunks = self.waiting.chunks();
        chunks.into_iter().for_each(|chunk| self.refuse_waiting(turn, chunk, why));
    }

    /// Nothing that waits for this chunk will be ordered here.
    pub(super) fn refuse_waiting(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, why: &WireError) {
        for waiting in self.waiting.take(chunk) {
            let refuse = |id| Effect::refuse(id, why.clone());
            turn.out.extend(waiting.clients.into_iter().map(refuse));
        }
    }
}
