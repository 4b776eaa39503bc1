//! Locks of this crate: held for a few steps of memory, none of which leaves something half done, so one under which a
//! thread panicked is as good as before.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
