//! Memory that calls under way hold together, up to a bound in bytes: who wants more waits, or is refused.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many bytes; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    max: usize,
}

/// A part of it, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// Bytes in their place.
struct Placed<T> {
    bytes: T,
    _place: Place,
}

impl Room {
    pub(crate) fn new(max: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(max)), max }
    }

    /// A place for so many bytes, or for all that there can be; waits for it behind those who asked before.
    pub(crate) async fn place(&self, len: u32) -> Place {
        let place = self.free.clone().acquire_many_owned(self.at_most(len)).await;
        Place { _permit: place.expect("it is never closed") }
    }

    /// The same, if it is there now.
    pub(crate) fn place_now(&self, len: u32) -> Option<Place> {
        let place = self.free.clone().try_acquire_many_owned(self.at_most(len));
        place.ok().map(|permit| Place { _permit: permit })
    }

    /// So many bytes, or all that there can be.
    fn at_most(&self, len: u32) -> u32 {
        u32::try_from(self.max).map_or(len, |max| len.min(max))
    }
}

impl Place {
    /// These bytes, which hold the place until the last of them is dropped.
    pub(crate) fn hold(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Placed { bytes, _place: self })
    }
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Placed<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_finds_no_room_waits_until_the_last_bytes_of_another_are_gone() {
        let room = Room::new(10);
        let first = room.place(6).now_or_never().expect("there is room").hold(b"sixsix".to_vec());
        assert!(room.place_now(5).is_none() && room.place(5).now_or_never().is_none());
        let part = first.slice(2..);
        drop(first);
        assert!(room.place_now(5).is_none(), "a part is held");
        assert_eq!(part[..], *b"xsix");
        drop(part);
        let all = room.place(1000).now_or_never().expect("what can be had at most");
        assert!(room.place_now(1).is_none());
        drop(all);
        assert!(room.place_now(10).is_some());
    }
}
