//! Structured log lines, to a file that is rotated and bounded or to standard error.
//!
//! A line is: time (UTC), level, module, message, fields. `level` takes the directives of
//! `tracing-subscriber`, such as `info,emberfs_transport=debug`. There a word that is no level is a module, of which
//! alone is logged then; so a word that can be neither, such as `warning`, is refused here. A panic is logged too,
//! before it takes its course.
//!
//! A line that cannot be written, as the disk is full or nobody reads standard error, is lost; the process goes on.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

use crate::config::Validate;
use crate::rotation::{FILES_KEPT_MAX, RotatedFile};

/// What a level may be, in any case.
const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
/// What the names of our modules begin with.
const OURS: &str = "emberfs";

crate::described! {
    least = "";
    /// Where a server logs, and how much: the `[log]` part of its configuration.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct LogConfig {
        /// The file; without one, standard error, for a service manager that keeps it.
        pub file: Option<PathBuf>,
        /// What is logged: `off`, `error`, `warn`, `info`, `debug`, `trace`, also for single modules:
        /// `info,emberfs_transport=debug`.
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

impl Validate for LogConfig {
    fn validate(&self) -> Result<(), String> {
        self.check().map_err(|error| error.to_string())
    }
}

impl LogConfig {
    fn check(&self) -> Result<(), LogError> {
        if self.file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            return Err(LogError::NoName);
        }
        if self.file_mib_max == 0 {
            return Err(LogError::NoLength);
        }
        if self.files_kept > FILES_KEPT_MAX {
            return Err(LogError::TooMany { kept: self.files_kept });
        }
        check_level(&self.level)
    }
}

/// Why logging did not start.
#[derive(Debug, Error)]
pub enum LogError {
    /// The level, or a part of it, is not understood.
    #[error(
        "log.level: `{part}` is none of {}, nor a module with one of them, such as {OURS}_transport=debug",
        LEVELS.join(", ")
    )]
    Level {
        /// Which part.
        part: String,
    },
    /// A file without a name.
    #[error("log.file: empty: name a file, or leave the key out for standard error")]
    NoName,
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
    /// More files than a directory should have.
    #[error("log.files_kept: {kept}, expected at most {FILES_KEPT_MAX}")]
    TooMany {
        /// How many were to be kept.
        kept: usize,
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
    config.check()?;
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
    // With the blanks around it a part would name another module.
    let parts: Vec<&str> = level.split(',').map(str::trim).collect();
    if let Some(part) = parts.iter().find(|part| !is_understood(part)) {
        return Err(LogError::Level { part: (*part).to_owned() });
    }
    let whole = |_| LogError::Level { part: level.to_owned() };
    EnvFilter::builder().parse(parts.join(",")).map_err(whole)
}

/// Whether a part is a level, a module of ours, or says of any what is logged of it.
fn is_understood(part: &str) -> bool {
    let named = part.starts_with(OURS)
        || part.contains('=')
        || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part));
    // `info=` would be a module of that name.
    named && !part.ends_with('=') && part.parse::<Directive>().is_ok()
}

fn rotated(config: &LogConfig, file: &Path) -> Result<RotatedFile, LogError> {
    let len_max = u64::from(config.file_mib_max) << 20;
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
        assert!(error.to_string().contains("`x=lowd`"), "{error}");
    }

    #[test]
    fn a_word_that_is_no_level_is_not_taken_for_a_module() {
        let refused = |level: &str| match check_level(level) {
            Ok(()) => None,
            Err(LogError::Level { part }) => Some(part),
            Err(other) => panic!("{other}"),
        };
        for wrong in [
            "warning",
            "infoo",
            "loud",
            "",
            "3",
            "info=",
            "=info",
            "emberfs_transport=loud",
            "tokio",
        ] {
            assert_eq!(refused(wrong).as_deref(), Some(wrong));
        }
        for (level, part) in [
            ("info,loud", "loud"),
            ("warning, emberfs_transport=debug", "warning"),
            ("info,", ""),
            (" ", ""),
        ] {
            assert_eq!(refused(level).as_deref(), Some(part), "{level}");
        }
        for right in [
            "off",
            "error",
            "warn",
            "info",
            "debug",
            "trace",
            "WARN",
            "Info",
            "info,emberfs_transport=debug",
            " info , emberfs_transport::link=TRACE",
            "emberfs_transport",
            "warn,tokio=off",
        ] {
            assert_eq!(refused(right), None, "{right}");
        }
        let error = check_level("warning").expect_err("no level").to_string();
        assert_eq!(
            error,
            "log.level: `warning` is none of off, error, warn, info, debug, trace, nor a module with one of \
             them, such as emberfs_transport=debug"
        );
    }

    #[test]
    fn a_blank_after_a_comma_is_no_part_of_a_module_s_name() {
        let filter = filter("info, emberfs_transport=debug").expect("two parts");
        let mut parts: Vec<_> = filter.to_string().split(',').map(str::to_owned).collect();
        parts.sort();
        assert_eq!(parts, ["emberfs_transport=debug", "info"]);
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
        let nameless = LogConfig { file: Some(PathBuf::new()), ..LogConfig::default() };
        assert!(
            nameless.validate().expect_err("no name").starts_with("log.file: empty: name a file")
        );
        assert!(matches!(start(&nameless), Err(LogError::NoName)));
        let none = LogConfig { file_mib_max: 0, ..config("a.log") };
        assert!(matches!(start(&none), Err(LogError::NoLength)));
        let many = LogConfig { files_kept: 1001, ..config("a.log") };
        assert_eq!(many.validate(), Err("log.files_kept: 1001, expected at most 1000".to_owned()));
        assert!(matches!(start(&many), Err(LogError::TooMany { kept: 1001 })));
    }
}
