//! The place where one state at a time comes in, and whose: that of the latest offer. A leader that was deposed may go on
//! sending for minutes, or hang, and what it sends is taken in by nobody; the next leader's state need not wait for it.

use std::sync::Arc;
use std::time::Duration;

use emberfs_meta_server_consensus::Term;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

/// The place for one state that comes in: it is taken until that is installed or gone.
pub(crate) type Place = OwnedSemaphorePermit;

/// The place, and the latest offer.
#[derive(Debug)]
pub(crate) struct Berth {
    place: Arc<Semaphore>,
    latest: watch::Sender<Number>,
}

/// Numbers offers: by the term of who offers, and in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Number {
    term: Term,
    count: u64,
}

/// An offer that no later one has taken the place of yet.
#[derive(Debug)]
pub(crate) struct Claim {
    number: Number,
    place: Arc<Semaphore>,
    latest: watch::Receiver<Number>,
}

impl Default for Berth {
    fn default() -> Self {
        Self { place: Arc::new(Semaphore::new(1)), latest: watch::Sender::default() }
    }
}

impl Berth {
    /// A state is offered in `term`: whatever comes by an earlier offer is to give way. None if a later leader has offered
    /// one. Of the same term this is the later: a leader offers one after the other.
    pub(crate) fn claim(&self, term: Term) -> Option<Claim> {
        let mut number = None;
        self.latest.send_if_modified(|latest| {
            if term >= latest.term {
                *latest = Number { term, count: latest.count + 1 };
                number = Some(*latest);
            }
            number.is_some()
        });
        let (place, latest) = (self.place.clone(), self.latest.subscribe());
        number.map(|number| Claim { number, place, latest })
    }
}

impl Claim {
    /// The place, as soon as what was there is gone; none after so long: it may be about to be installed.
    pub(crate) async fn place(&self, patience: Duration) -> Option<Place> {
        let place = timeout(patience, self.place.clone().acquire_owned()).await.ok()?;
        Some(place.expect("nobody closes it"))
    }

    /// Returns when another offer takes the place of this one.
    pub(crate) async fn superseded(&mut self) {
        let number = self.number;
        // The group is gone: nobody offers any more.
        if self.latest.wait_for(|latest| *latest != number).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    async fn is_superseded(claim: &mut Claim) -> bool {
        let mut superseded = Box::pin(claim.superseded());
        poll_fn(|cx| Poll::Ready(superseded.as_mut().poll(cx).is_ready())).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_leader_s_state_takes_the_place_of_one_that_still_comes() {
        let berth = Berth::default();
        let mut first = berth.claim(Term(5)).expect("the first");
        let place = first.place(LONG).await.expect("it is free");
        assert!(berth.claim(Term(4)).is_none(), "an earlier leader's");
        assert!(!is_superseded(&mut first).await);
        let mut second = berth.claim(Term(6)).expect("a later leader's");
        assert!(is_superseded(&mut first).await);
        assert!(second.place(LONG).await.is_none(), "it is installed just now");
        let coming = second.place(LONG);
        let gone = async { drop(place) };
        let (place, ()) = tokio::join!(coming, gone);
        assert!(place.is_some());
        assert!(!is_superseded(&mut second).await);
        // The same leader's next: of the one before it wants no more.
        assert!(berth.claim(Term(6)).is_some() && is_superseded(&mut second).await);
    }
}
