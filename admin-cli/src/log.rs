//! Warnings of the client library, on standard error: what a call waits for, say.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter};
use tracing_subscriber::fmt::writer::MakeWriterExt;

use crate::exit::Usage;

/// What asks for more, or for less.
const ASKED_BY: &str = "RUST_LOG";

/// What a level may be, in any case.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether nothing is written any more. Of the process, as who logs is.
static IS_HUSHED: AtomicBool = AtomicBool::new(false);

/// The same, of what became of writes.
static ARE_WRITES_HUSHED: AtomicBool = AtomicBool::new(false);

/// Who warns of writes that were given up.
const WRITES: &str = "emberfs_client::data::write";

/// Logs from now on: warnings, unless `RUST_LOG` says otherwise.
///
/// # Errors
/// [`Usage`], if what it says is none.
pub(crate) fn start() -> Result<()> {
    let filter = filter(&std::env::var_os(ASKED_BY).unwrap_or_default().to_string_lossy())?;
    // By default a line that cannot be written is said on standard error, with a panic where that is closed.
    let lines = tracing_subscriber::fmt().log_internal_errors(false);
    let writer = (|| Out)
        .with_filter(|of| of.target() != WRITES || !ARE_WRITES_HUSHED.load(Ordering::Relaxed));
    let lines = lines.with_env_filter(filter).with_writer(writer);
    lines.with_ansi(io::stderr().is_terminal()).with_target(false).compact().init();
    Ok(())
}

/// Levels, and modules with one of them. A word that is no level would be a module, of which alone is logged then: so
/// one that can be neither, such as `wran`, is refused.
fn filter(asked: &str) -> Result<EnvFilter> {
    let parts: Vec<&str> =
        asked.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let is_level = |part: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part));
    let is_understood = |part: &&&str| {
        let named = is_level(part) || part.contains('=') || part.starts_with("emberfs");
        named && !part.ends_with('=') && part.parse::<Directive>().is_ok()
    };
    let refused = |part: &str| {
        Usage(format!(
            "${ASKED_BY}: `{part}` is none of {}, nor a module with one of them, such as emberfs_client=debug",
            LEVELS.join(", ")
        ))
    };
    if let Some(part) = parts.iter().find(|part| !is_understood(part)) {
        return Err(refused(part).into());
    }
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into());
    Ok(filter.parse(parts.join(",")).map_err(|_| refused(asked))?)
}

/// Logs no more: what a command that is ended leaves behind is warned of, and is no news to who ended it. Who asked for
/// a log has it to the end.
pub(crate) fn hush() {
    IS_HUSHED.store(std::env::var_os(ASKED_BY).is_none(), Ordering::Relaxed);
}

/// Warns no more of writes that were given up: why a copy failed is said, and the rest of its writes with it.
pub(crate) fn hush_writes() {
    ARE_WRITES_HUSHED.store(std::env::var_os(ASKED_BY).is_none(), Ordering::Relaxed);
}

/// Standard error, until it is hushed. That is asked with standard error held: a line that comes through comes before
/// all that is said after [`hush`].
#[derive(Debug)]
struct Out;

impl Write for Out {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut out = io::stderr().lock();
        match IS_HUSHED.load(Ordering::Relaxed) {
            true => Ok(line.len()),
            false => out.write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for wrong in ["wran", "3", "info,loud", "emberfs_client=loud", "info="] {
            let said = filter(wrong).expect_err("no level").to_string();
            assert!(said.starts_with("$RUST_LOG: `") && said.contains("debug, trace"), "{said}");
        }
        for right in ["", "Debug", " off ", "warn,emberfs_client=trace", "emberfs_client"] {
            assert!(filter(right).is_ok(), "{right}");
        }
    }
}
