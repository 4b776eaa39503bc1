//! Reads that see all that anybody was answered, and the proof of leadership that they need.

use emberfs_meta_server_consensus::{Index, Leadership, MemberId, Term};
use emberfs_meta_server_state::StoreError;

use super::answer::Answer;
use super::driver::{Event, Question};
use super::error::failed;
use super::{Group, GroupError, Machine};
use crate::store::StateView;

impl<M: Machine> Group<M> {
    /// The same group, for what is to be done as its leader in `term` and at no other time: orders, reads and
    /// confirmations are refused once this member does not lead in it.
    #[must_use]
    pub fn in_term(&self, term: Term) -> Self {
        Self { term: Some(term), ..self.clone() }
    }

    /// Asks the state of the leader, which is to be this member: the answer holds all outcomes that anybody had
    /// when this was called. `ask` runs in the caller's task, so it should read little.
    ///
    /// # Errors
    /// [`GroupError`]; also when the state cannot be read.
    pub async fn read<R>(
        &self,
        ask: impl FnOnce(&StateView<'_>) -> Result<R, StoreError>,
    ) -> Result<R, GroupError> {
        let Some(term) = self.leads() else { return Err(self.not_leader().await) };
        if self.inner.members == 1 {
            // What it has applied is all that anybody was ever answered.
            return self.look(ask);
        }
        // A follower may have answered from what is committed and not applied here yet.
        self.reached(self.inner.lease.committed()).await?;
        let answer = self.look(ask)?;
        // Asked afterwards: a leader that leads now, in the same term, has led all the time.
        if self.inner.lease.holds() && self.leads() == Some(term) {
            return Ok(answer);
        }
        self.confirm().await?;
        if self.leads() == Some(term) { Ok(answer) } else { Err(self.not_leader().await) }
    }

    /// Asks the state of this member, whoever leads: the answer holds all outcomes that anybody had when this was
    /// called.
    ///
    /// # Errors
    /// As for [`Self::read`]: nobody leads, or the leader is not heard.
    pub async fn read_here<R>(
        &self,
        ask: impl FnOnce(&StateView<'_>) -> Result<R, StoreError>,
    ) -> Result<R, GroupError> {
        let committed = self.confirm().await?;
        self.reached(committed).await?;
        self.look(ask)
    }

    /// The leader led at some time after the call: whoever grants a lease takes the time before it. Says what was
    /// committed. Of a handle [in a term](Self::in_term) the leader is this member.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn confirm(&self) -> Result<Index, GroupError> {
        let (answer, confirmed) = Answer::new(self.room().await);
        let term = self.term;
        self.send(Event::Confirm(Question { term, answer })).await?;
        self.answered(confirmed).await
    }

    fn look<R>(
        &self,
        ask: impl FnOnce(&StateView<'_>) -> Result<R, StoreError>,
    ) -> Result<R, GroupError> {
        self.inner.state.read(ask).map_err(|error| failed(&error))
    }

    /// Waits until the state has taken in this much.
    async fn reached(&self, index: Index) -> Result<(), GroupError> {
        let mut applied = self.inner.applied.clone();
        let reached = applied.wait_for(|applied| *applied >= index).await.is_ok();
        if reached { Ok(()) } else { Err(self.why().await) }
    }

    /// The term in which this member leads, if it is one that this handle is for.
    fn leads(&self) -> Option<Term> {
        match *self.inner.leadership.borrow() {
            Leadership::Leader { term } => {
                Some(term).filter(|term| self.term.is_none_or(|wanted| wanted == *term))
            }
            _ => None,
        }
    }

    /// Who leads, if that is known to be another member.
    #[must_use]
    pub fn leader(&self) -> Option<MemberId> {
        self.inner.leadership.borrow().other()
    }

    async fn not_leader(&self) -> GroupError {
        if self.inner.end.borrow().is_some() {
            return self.why().await;
        }
        GroupError::NotLeader { leader: self.leader() }
    }
}
