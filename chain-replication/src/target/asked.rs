//! What was asked of the store and of other replicas, and who takes the answers.

use emberfs_layout::{ChunkId, TargetId};
use emberfs_wire::replica::AppliedTag;
use emberfs_wire::{Tag, WireError};

use super::chunks::{ReadResult, StoreError};
use super::effect::{Ask, Effect};
use super::input::{Answer, CallId, Durable, OpId, RequestId};
use super::returning::InstallUnderWay;
use super::{Target, Turn, retry};

/// What the store was asked for.
pub(super) enum Op {
    Put(ChunkId),
    Install(InstallUnderWay),
    Flush(RequestId),
    /// A version that is taken back: its discard is made durable.
    Undo(ChunkId),
    /// A chunk is read to be installed at the successor.
    Transfer(ChunkId),
}

/// What the store still does to a chunk without anybody's waiting for it.
pub(super) struct Orphan {
    pub(super) chunk: ChunkId,
    pub(super) tags: OrphanTags,
}

/// What an orphan makes of its chunk's tags.
pub(super) enum OrphanTags {
    /// A put adds these.
    Put(Vec<Tag>),
    /// An install replaces all by these.
    Install(Vec<AppliedTag>),
}

/// What another replica was asked for.
pub(super) enum Call {
    Forward(ChunkId),
    Page,
    Install(ChunkId),
    Finish,
}

impl Target {
    pub(super) fn next_op(&mut self) -> OpId {
        self.last_op += 1;
        OpId(self.last_op)
    }

    pub(super) fn op(&mut self, op: Op) -> OpId {
        let id = self.next_op();
        self.ops.insert(id, op);
        id
    }

    pub(super) fn next_call(&mut self) -> CallId {
        self.last_call += 1;
        CallId(self.last_call)
    }

    pub(super) fn send(
        &mut self,
        turn: &mut Turn<'_>,
        to: TargetId,
        call: Call,
        ask: Ask,
    ) -> CallId {
        let id = self.next_call();
        self.calls.insert(id, (turn.now, call));
        turn.out.push(Effect::Send { call: id, to, ask });
        id
    }

    pub(super) fn is_orphaned(&self, chunk: ChunkId) -> bool {
        self.orphans.values().any(|orphan| orphan.chunk == chunk)
    }

    pub(super) fn on_stored(
        &mut self,
        turn: &mut Turn<'_>,
        op: OpId,
        outcome: Result<Durable, StoreError>,
    ) {
        if let Err(StoreError::Failed { text }) = &outcome {
            self.fail(turn, text.clone());
        }
        if let Some(orphan) = self.orphans.remove(&op) {
            return self.orphan_done(turn, orphan, outcome);
        }
        match self.ops.remove(&op) {
            Some(Op::Put(chunk)) => self.put_done(turn, chunk, outcome),
            Some(Op::Install(install)) => self.install_done(turn, install, outcome),
            Some(Op::Flush(id)) => self.flush_done(turn, id, outcome),
            Some(Op::Undo(chunk)) => self.undone(turn, chunk, &outcome),
            Some(Op::Transfer(_)) => unreachable!("a read ends in ReadDone"),
            None => {} // of a work that a failure ended
        }
    }

    pub(super) fn on_read_done(
        &mut self,
        turn: &mut Turn<'_>,
        op: OpId,
        outcome: Result<ReadResult, StoreError>,
    ) {
        if let Err(StoreError::Failed { text }) = &outcome {
            self.fail(turn, text.clone());
        }
        if let Some(read) = self.reads.remove(&op) {
            return self.client_read_done(turn, read, outcome);
        }
        match self.ops.remove(&op) {
            Some(Op::Transfer(chunk)) => self.transfer_read(turn, op, chunk, outcome),
            Some(_) => unreachable!("only a read ends in ReadDone"),
            None => {}
        }
    }

    pub(super) fn on_answer(
        &mut self,
        turn: &mut Turn<'_>,
        call: CallId,
        answer: Result<Answer, WireError>,
    ) {
        if let Some((_, asker)) = self.questions.remove(&call) {
            return match answer {
                Ok(Answer::Committed(reply)) => {
                    self.committed_answered(turn, asker, reply.version);
                }
                other => {
                    let why = retry(format!("the tail: {}", failure(other)));
                    turn.out.push(Effect::refuse(asker.request(), why));
                }
            };
        }
        let Some((_, asked)) = self.calls.remove(&call) else {
            return; // given up, or asked under an earlier version of the chain
        };
        match (asked, answer) {
            (Call::Forward(chunk), Ok(Answer::Forward(reply))) => {
                self.forward_answered(turn, chunk, call, &Ok(reply));
            }
            (Call::Forward(chunk), other) => {
                self.forward_answered(turn, chunk, call, &Err(failure(other)));
            }
            (Call::Page, Ok(Answer::Page(page))) => self.page_answered(turn, &page),
            (Call::Install(chunk), Ok(Answer::Installed(_))) => self.transferred(turn, chunk),
            (Call::Finish, Ok(Answer::Finished(_))) => self.resync_finished(),
            (Call::Page | Call::Finish, _) => self.resync_again(turn.now),
            (Call::Install(chunk), answer) => self.transfer_failed(turn, chunk, &failure(answer)),
        }
    }
}

fn failure(answer: Result<Answer, WireError>) -> WireError {
    answer.map_or_else(|error| error, |_| WireError::bug("an answer to something else"))
}
