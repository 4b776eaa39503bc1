//! Where an answer goes, with the room that the question takes up until then.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::GroupError;

/// Somebody waits for this. Dropped, it says that the group has ended.
pub(super) struct Answer<T> {
    to: oneshot::Sender<Result<T, GroupError>>,
    _room: OwnedSemaphorePermit,
}

impl<T> Answer<T> {
    pub(super) fn new(
        room: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Result<T, GroupError>>) {
        let (to, answer) = oneshot::channel();
        (Self { to, _room: room }, answer)
    }

    /// An asker that has gone needs no answer.
    pub(super) fn give(self, answer: Result<T, GroupError>) {
        drop(self.to.send(answer));
    }
}
