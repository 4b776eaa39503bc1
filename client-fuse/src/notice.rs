//! What whoever started the daemon is told while it works: by the log, and on standard error where people read that.

use std::io::{self, Write};

/// `aloud`: people read standard error, and not the log.
pub(crate) fn tell(words: &str, aloud: bool) {
    tracing::warn!("{words}");
    if aloud {
        // Whoever called may be gone.
        let _unheard = writeln!(io::stderr(), "emberfs-fuse: {words}");
    }
}
