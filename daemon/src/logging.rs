//! Structured log lines, to a file that is rotated and bounded or to standard error.
//!
//! A line is: time (UTC), level, module, message, fields. `level` takes the directives of
//! `tracing-subscriber`, such as `info,emberfs_transport=debug`. A panic is logged too, before it takes
//! its course.

use std::path::PathBuf;
use std::sync::Mutex;

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing_subscriber::EnvFilter;

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
    /// The file's directory cannot be made.
    #[error("log.file: {}: {source}", file.display())]
    File {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Logging runs already.
    #[error("logging was started twice")]
    Twice,
}

/// Starts logging, for the whole process.
///
/// # Errors
/// [`LogError`].
pub fn start(config: &LogConfig) -> Result<(), LogError> {
    let lines = tracing_subscriber::fmt().with_env_filter(filter(&config.level)?).with_ansi(false);
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

fn rotated(config: &LogConfig, file: &PathBuf) -> Result<FileRotate<AppendCount>, LogError> {
    if let Some(directory) = file.parent() {
        let failed = |source| LogError::File { file: file.clone(), source };
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let limit = ContentLimit::BytesSurpassed((config.file_mib_max as usize) << 20);
    let kept = AppendCount::new(config.files_kept);
    Ok(FileRotate::new(file, kept, limit, Compression::None, None))
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
    use std::io::Write;

    #[test]
    fn files_are_bounded_in_size_and_number() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("deep/server.log");
        let config = LogConfig { file_mib_max: 1, files_kept: 2, ..LogConfig::default() };
        let mut log = rotated(&config, &file).expect("a writable directory");
        for _ in 0..64 {
            log.write_all(&[b'x'; 128 << 10]).expect("room for some MiB");
        }
        let sizes: Vec<u64> = std::fs::read_dir(file.parent().expect("in a directory"))
            .expect("made")
            .map(|entry| entry.and_then(|entry| entry.metadata()).expect("there").len())
            .collect();
        assert_eq!(sizes.len(), 3);
        assert!(sizes.iter().all(|size| *size <= (1 << 20) + (128 << 10)), "{sizes:?}");
    }

    #[test]
    fn a_wrong_level_is_named() {
        let config = LogConfig { level: "info,x=lowd".to_owned(), ..LogConfig::default() };
        let error = start(&config).expect_err("no such level");
        assert!(error.to_string().contains("x=lowd"), "{error}");
    }
}
