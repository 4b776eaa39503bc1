//! What could not be done of all that a command was asked: said as it happens, counted at the end.
//!
//! A command that is asked for several things does all that it can, as those of this machine do, and has failed if
//! anything has.

use std::cell::Cell;

use anyhow::Error;
use indicatif::ProgressBar;

use crate::exit::{End, say, words};

/// Failures that are said one by one (a count): more are only counted.
const SAID_MAX: u64 = 100;

/// The failures of one command.
#[derive(Debug)]
pub(super) struct Failures {
    bar: ProgressBar,
    count: Cell<u64>,
}

impl Failures {
    /// None yet.
    pub(super) fn new() -> Self {
        Self::beside(ProgressBar::hidden())
    }

    /// None yet; what is said leaves this bar as it is.
    pub(super) fn beside(bar: ProgressBar) -> Self {
        Self { bar, count: Cell::new(0) }
    }

    /// Says why something could not be done.
    pub(super) fn add(&self, why: &Error) {
        let count = self.count.get() + 1;
        self.count.set(count);
        if count <= SAID_MAX {
            self.bar.suspend(|| say(&format!("error: {}", words(why))));
        } else if count == SAID_MAX + 1 {
            self.bar.suspend(|| say("error: more failed, and are only counted from here on"));
        }
    }

    /// One more of a kind that was said already.
    pub(super) fn add_unsaid(&self) {
        self.count.set(self.count.get() + 1);
    }

    pub(super) fn count(&self) -> u64 {
        self.count.get()
    }

    /// How the command ends.
    pub(super) fn end(&self) -> End {
        if self.count.get() == 0 { End::Done } else { End::Failed }
    }
}
