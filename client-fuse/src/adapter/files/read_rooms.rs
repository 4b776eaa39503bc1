//! The memory that reads of a mount hold, so that those that hang leave it to the others:
//!
//! ```text
//!   read ─► waits for room, and is in the quick room, for a second ─► in the slow room, for as long as it takes
//! ```
//! A read holds memory from before it asks the servers until its bytes are handed over. One whose chain has no server
//! holds it for as long as that lasts, and so do all that come after it: a share for each chain or file would be used up
//! where many hang. So who has waited for a second, for room or for an answer, moves to a room of its own kind, and what it
//! held is free. No work is thrown away: where all servers are slow, more reads are under way together. Where the slow
//! room is full, all wait for those who hang: it takes a thousand programs that do.

use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use crate::room::{Place, Room};

/// Bytes of those that have just begun: as many as the kernel reads ahead at once.
const QUICK_BYTES: usize = 256 << 20;
/// Bytes of those that take longer: those of a thousand programs, with the usual largest request.
const SLOW_BYTES: usize = 1 << 30;
/// How long a read is a quick one: most are done in a hundredth of it.
const QUICK_TIME: Duration = Duration::from_secs(1);

/// Both rooms of a mount.
#[derive(Debug)]
pub(in crate::adapter) struct ReadRooms {
    quick: Room,
    slow: Room,
}

impl ReadRooms {
    pub(in crate::adapter) fn new() -> Self {
        Self { quick: Room::new(QUICK_BYTES), slow: Room::new(SLOW_BYTES) }
    }

    /// Reads so many bytes when there is room for them; what came of it, and the place that they hold then.
    pub(super) async fn hold<T>(&self, len: u32, read: impl Future<Output = T>) -> (T, Place) {
        let (mut read, mut slow) = (pin!(read), pin!(self.slow_place(len)));
        let quick = tokio::select! {
            biased;
            quick = self.quick.place(len) => quick,
            slow = &mut slow => return (read.await, slow),
        };
        let slow = tokio::select! {
            biased;
            done = &mut read => return (done, quick),
            slow = slow => slow,
        };
        drop(quick);
        (read.await, slow)
    }

    async fn slow_place(&self, len: u32) -> Place {
        sleep(QUICK_TIME).await;
        self.slow.place(len).await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt;
    use futures_util::future::select_all;
    use tokio::time::{Instant, timeout};

    use super::*;

    fn rooms() -> ReadRooms {
        ReadRooms { quick: Room::new(10), slow: Room::new(20) }
    }

    /// Whether a read that is answered at once has room, and how long that took.
    async fn waits(rooms: &ReadRooms) -> Option<Duration> {
        let begun = Instant::now();
        let read = timeout(Duration::from_secs(60), rooms.hold(5, ready(()))).await;
        read.ok().map(|_| begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn reads_that_hang_leave_room_to_others_after_a_second() {
        let rooms = rooms();
        let hang =
            |count: usize| select_all((0..count).map(|_| rooms.hold(5, pending::<()>()).boxed()));
        assert_eq!(waits(&rooms).await, Some(Duration::ZERO), "nobody reads");
        let mut four = hang(4);
        assert!((&mut four).now_or_never().is_none());
        let both = async {
            tokio::select! { waited = waits(&rooms) => waited, _ = &mut four => None }
        };
        assert_eq!(both.await, Some(QUICK_TIME), "two are there, and two wait before it");
        assert!(timeout(Duration::from_secs(5), &mut four).await.is_err());
        assert_eq!(waits(&rooms).await, Some(Duration::ZERO), "all four are slow");
        let mut two = hang(2);
        assert!(timeout(Duration::from_secs(5), &mut two).await.is_err());
        assert_eq!(waits(&rooms).await, None, "there is no more room for slow ones either");
        drop(four);
        let both = async {
            tokio::select! { waited = waits(&rooms) => waited, _ = &mut two => None }
        };
        assert_eq!(both.await, Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_holds_its_place_until_its_bytes_are_gone_and_is_done_whatever_room_it_is_in() {
        let rooms = rooms();
        let quick = rooms.hold(10, ready("quick")).await;
        assert_eq!(quick.0, "quick");
        assert!(rooms.quick.place_now(1).is_none() && rooms.slow.place_now(20).is_some());
        drop(quick);
        let late = async {
            let ended = timeout(3 * QUICK_TIME, pending::<()>()).await;
            if ended.is_err() { "slow" } else { "never" }
        };
        let slow = rooms.hold(10, late).await;
        assert_eq!(slow.0, "slow");
        assert!(rooms.quick.place_now(10).is_some() && rooms.slow.place_now(11).is_none());
        drop(slow);
        assert!(rooms.slow.place_now(20).is_some());
    }
}
