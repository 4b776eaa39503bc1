//! Saying what goes on, in one line that changes, or line by line where nobody watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::exit;

/// How often it turns.
const TURN_EVERY: Duration = Duration::from_millis(100);

/// A line on standard error, gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
        bar.set_style(style.expect("a fixed template"));
        bar.enable_steady_tick(TURN_EVERY);
        Self(bar)
    }

    /// One that also shows how many of so many steps are done.
    pub(crate) fn steps(count: usize) -> Self {
        let bar = ProgressBar::new(count as u64);
        let style =
            ProgressStyle::with_template("{spinner} {elapsed} {bar:20} {pos}/{len} {wide_msg}");
        bar.set_style(style.expect("a fixed template"));
        bar.enable_steady_tick(TURN_EVERY);
        Self(bar)
    }

    /// One more step is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    /// Says what goes on: on the line, or as a line of its own where no line can change.
    pub(crate) fn say(&self, what: String) {
        if self.0.is_hidden() && self.0.message() != what {
            exit::say(&what);
        }
        self.0.set_message(what);
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
