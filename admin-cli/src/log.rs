//! Warnings of the client library, on standard error: what a call waits for, say.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;

/// What asks for more, or for less.
const ASKED_BY: &str = "RUST_LOG";

/// Whether nothing is written any more. Of the process, as who logs is.
static IS_HUSHED: AtomicBool = AtomicBool::new(false);

/// The same, of what became of writes.
static ARE_WRITES_HUSHED: AtomicBool = AtomicBool::new(false);

/// Who warns of writes that were given up.
const WRITES: &str = "emberfs_client::data::write";

/// Logs from now on: warnings, unless `RUST_LOG` says otherwise.
pub(crate) fn start() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into());
    let filter = filter.with_env_var(ASKED_BY).from_env_lossy();
    // By default a line that cannot be written is said on standard error, with a panic where that is closed.
    let lines = tracing_subscriber::fmt().log_internal_errors(false);
    let writer = (|| Out)
        .with_filter(|of| of.target() != WRITES || !ARE_WRITES_HUSHED.load(Ordering::Relaxed));
    let lines = lines.with_env_filter(filter).with_writer(writer);
    lines.with_ansi(io::stderr().is_terminal()).with_target(false).compact().init();
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
