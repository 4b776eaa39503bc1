//! Structured log lines, to a file that is rotated and bounded or to standard error.
//!
//! A line is: time (UTC), level, module, message, fields. `level` takes the directives of
//! `tracing-subscriber`, such as `info,emberfs_transport=debug`. A panic is logged too, before it takes
//! its course.
//!
//! A line that cannot be written, as the disk is full or nobody reads standard error, is lost; the process goes on.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::rotation::RotatedFile;

crate::described! {
    least = "";
    /// Where a server logs, and how much: the `[log]` part of its configuration.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct LogConfig {
        /// The file; without one, standard error, for a service manager that keeps it.
        pub file: Option<PathBuf>,
        /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, also for single modules.
        pub level: String,
        /// A file that has grown to this is renamed, and a new one begun, in MiB: small enough for an
        /// editor.
        pub file_mib_max: u32,
        /// How many renamed ones are kept: with the default size some days of an unquiet cluster.
        pub files_kept: usize,
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { file: None, level: "info".to_owned(), file_mib_max: 16, files_kept: 4 }
    }
}

/// Why logging did not start.
#[derive(Debug, Error)]
pub enum LogError {
    /// The level is not understood.
    #[error("log.level: `{level}`: {text}")]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        text: String,
    },
    /// The file cannot be written.
    #[error("log.file: cannot open {}: {source}; name a file that this user may write", file.display())]
    File {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file would be full before its first line.
    #[error("log.file_mib_max: 0, expected at least 1")]
    NoLength,
    /// Logging runs already.
    #[error("logging was started twice")]
    Twice,
}

/// Starts logging, for the whole process.
///
/// # Errors
/// [`LogError`].
pub fn start(config: &LogConfig) -> Result<(), LogError> {
    // By default a line that cannot be written is said on standard error, with a panic where that is closed.
    let lines = tracing_subscriber::fmt().log_internal_errors(false);
    let lines = lines.with_env_filter(filter(&config.level)?).with_ansi(false);
    let started = match &config.file {
        None => lines.with_writer(std::io::stderr).try_init(),
        Some(file) => lines.with_writer(Mutex::new(rotated(config, file)?)).try_init(),
    };
    started.map_err(|_| LogError::Twice)?;
    log_panics();
    Ok(())
}

/// Whether a level can be understood.
///
/// # Errors
/// [`LogError::Level`].
pub fn check_level(level: &str) -> Result<(), LogError> {
    filter(level).map(|_| ())
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let wrong = |error: tracing_subscriber::filter::ParseError| LogError::Level {
        level: level.to_owned(),
        text: error.to_string(),
    };
    EnvFilter::builder().parse(level).map_err(wrong)
}

fn rotated(config: &LogConfig, file: &Path) -> Result<RotatedFile, LogError> {
    let len_max = u64::from(config.file_mib_max) << 20;
    if len_max == 0 {
        return Err(LogError::NoLength);
    }
    let failed = |source| LogError::File { file: file.to_owned(), source };
    RotatedFile::open(file, len_max, config.files_kept).map_err(failed)
}

fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(%panic, "panicked");
        before(panic);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_level_is_named() {
        let config = LogConfig { level: "info,x=lowd".to_owned(), ..LogConfig::default() };
        let error = start(&config).expect_err("no such level");
        assert!(error.to_string().contains("x=lowd"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = |name: &str| {
            let file = Some(directory.path().join(name));
            LogConfig { file, ..LogConfig::default() }
        };
        let error = start(&config("")).expect_err("no file");
        assert!(error.to_string().contains(&*directory.path().to_string_lossy()), "{error}");
        let none = LogConfig { file_mib_max: 0, ..config("a.log") };
        assert!(matches!(start(&none), Err(LogError::NoLength)));
    }
}
