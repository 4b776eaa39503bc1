//! What happened, line by line: to be shown, and to be compared between two runs of one seed.

use std::fmt::Display;

/// Lines of text, kept only when they are wanted.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    text: Option<String>,
}

impl Trace {
    pub(crate) fn new(wanted: bool) -> Self {
        Self { text: wanted.then(String::new) }
    }

    /// Adds a line; `what` is written only if the trace is wanted.
    pub(crate) fn line<D: Display>(&mut self, at: u64, what: impl FnOnce() -> D) {
        if let Some(text) = &mut self.text {
            text.push_str(&format!("{at:>7} {}\n", what()));
        }
    }

    pub(crate) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or("")
    }
}
