//! A server's configuration: one TOML file, read once, into the server's own struct.
//!
//! The struct derives `serde::Deserialize` with `deny_unknown_fields`; sizes and times are whole numbers
//! with the unit in the key's name. What belongs together is checked by [`Validate`], right after
//! reading, so that no later code meets a configuration that makes no sense.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

/// Holds values against each other.
pub trait Validate {
    /// Says in words what is wrong, naming the key.
    ///
    /// # Errors
    /// The words.
    fn validate(&self) -> Result<(), String>;
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, a key is unknown or missing, or a value is of another type.
    #[error("in the configuration {}: {text}", file.display())]
    Malformed {
        /// Which file.
        file: PathBuf,
        /// What and where.
        text: String,
    },
    /// A value makes no sense.
    #[error("in the configuration {}: {text}", file.display())]
    Invalid {
        /// Which file.
        file: PathBuf,
        /// Which key, and why.
        text: String,
    },
}

/// Reads `file`.
///
/// # Errors
/// [`ConfigError`], which names the file, the place and what is wrong.
pub fn load<T: DeserializeOwned + Validate>(file: &Path) -> Result<T, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { file: file.to_owned(), source };
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    parse(file, &text)
}

fn parse<T: DeserializeOwned + Validate>(file: &Path, text: &str) -> Result<T, ConfigError> {
    let malformed = |error: toml::de::Error| ConfigError::Malformed {
        file: file.to_owned(),
        text: error.to_string(),
    };
    let config: T = toml::from_str(text).map_err(malformed)?;
    let invalid = |text| ConfigError::Invalid { file: file.to_owned(), text };
    config.validate().map_err(invalid)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        workers: u32,
    }

    impl Validate for Example {
        fn validate(&self) -> Result<(), String> {
            if self.workers == 0 { Err("workers: at least 1".into()) } else { Ok(()) }
        }
    }

    fn said(text: &str) -> String {
        match parse::<Example>(Path::new("a.toml"), text) {
            Ok(config) => format!("{} workers", config.workers),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(said("workers = 3"), "3 workers");
        assert!(said("workers = 3\nworker = 1").contains("unknown field `worker`"));
        assert!(said("workers = \"3\"").contains("a.toml"));
        assert!(said("").contains("missing field `workers`"));
        assert_eq!(said("workers = 0"), "in the configuration a.toml: workers: at least 1");
        let gone = load::<Example>(Path::new("/nowhere/a.toml")).expect_err("no such file");
        assert!(gone.to_string().contains("/nowhere/a.toml"), "{gone}");
    }
}
