//! The table of a configuration's keys: what each is for, what it is by default, what it is now.
//!
//! [`described!`](crate::described) declares a configuration as the struct that it is, and takes the table
//! from it: a key's name and meaning are the field's and its documentation, its unit is the end of its name,
//! its default is what a file has that names no key but those that must be there. Nothing is said twice, so
//! help cannot go astray.

use serde::Serialize;
use toml::{Table, Value};

use crate::logging::LogConfig;

/// Units, by the end of a key's name.
const UNITS: &[(&str, &str)] = &[("_mib", "MiB"), ("_mib_max", "MiB"), ("_ms", "ms"), ("_s", "s")];

/// One key, as it is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub meaning: &'static str,
}

/// One key of a configuration that was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name; a key of a part has the part's name and a dot before it.
    pub key: String,
    /// What it is; absent if it is not set, and that means what its meaning says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What it is if the file does not name it; absent if it is not set then, or must be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Whether the file must name it.
    pub required: bool,
    /// The unit of its number, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// What it is for.
    pub meaning: &'static str,
}

/// A configuration that knows its keys. The part `log`, which every server's has, is described by itself.
pub trait Described: Serialize + serde::de::DeserializeOwned {
    /// The shortest file: the keys that must be there.
    const LEAST: &'static str;
    /// All keys, in order.
    const KEYS: &'static [Key];
}

/// Every key of `config`, in order.
#[must_use]
pub fn rows<T: Described>(config: &T) -> Vec<Row> {
    let usual: T = toml::from_str(T::LEAST).expect("a test reads it");
    let least: Table = toml::from_str(T::LEAST).expect("a test reads it");
    let (values, usual) = (table_of(config), table_of(&usual));
    let mut rows = Vec::new();
    for key in T::KEYS {
        match (values.get(key.name), usual.get(key.name)) {
            (Some(Value::Table(part)), Some(Value::Table(usual))) => {
                let inner = |of: &Key| row(of, Some(key.name), part, usual, false);
                rows.extend(LogConfig::KEYS.iter().map(inner));
            }
            _ => rows.push(row(key, None, &values, &usual, least.contains_key(key.name))),
        }
    }
    rows
}

/// The same as a text: TOML, `[[keys]]` with the fields of [`Row`].
#[must_use]
pub fn to_text<T: Described>(config: &T) -> String {
    #[derive(Serialize)]
    struct Page {
        keys: Vec<Row>,
    }
    toml::to_string(&Page { keys: rows(config) }).expect("words, numbers and lists of them")
}

fn row(key: &Key, part: Option<&str>, values: &Table, usual: &Table, required: bool) -> Row {
    let name = key.name;
    let unit = UNITS.iter().find(|(end, _)| name.ends_with(end));
    Row {
        key: part.map_or_else(|| name.to_owned(), |part| format!("{part}.{name}")),
        value: values.get(name).cloned(),
        default: usual.get(name).filter(|_| !required).cloned(),
        required,
        unit: unit.map(|(_, unit)| *unit),
        meaning: key.meaning.trim(),
    }
}

fn table_of(config: &impl Serialize) -> Table {
    Table::try_from(config).expect("a configuration is a table of words, numbers and lists of them")
}

/// Declares a configuration: `least = "…";`, then the struct, each field with its documentation.
///
/// It implements [`Described`](crate::reference::Described); the struct derives `Serialize` and `Deserialize`.
#[macro_export]
macro_rules! described {
    (
        least = $least:literal;
        $(#[$meta:meta])*
        $of:vis struct $name:ident {
            $($(#[doc = $doc:literal])+ $(#[serde $serde:tt])? $vis:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        $of struct $name {
            $($(#[doc = $doc])+ $(#[serde $serde])? $vis $field: $type,)*
        }

        impl $crate::reference::Described for $name {
            const LEAST: &'static str = $least;
            const KEYS: &'static [$crate::reference::Key] = &[$($crate::reference::Key {
                name: stringify!($field),
                meaning: concat!($($doc),+),
            }),*];
        }
    };
}

/// A value as text: its `Display` and `FromStr`. For `#[serde(with = "…")]`.
pub mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes a value.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn deserialize<'de, D, T>(from: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: Display>,
    {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A list of values as texts. For `#[serde(with = "…")]`.
pub mod texts {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes a list.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(values: &[impl Display], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(ToString::to_string))
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with one of them, in words.
    pub fn deserialize<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: Display>,
    {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    crate::described! {
        least = "name = \"a\"";
        #[derive(Debug, Serialize, Deserialize)]
        struct Example {
            /// What it is called.
            #[serde(with = "text")]
            name: String,
            /// Memory: a quarter
            /// is for reading.
            #[serde(default = "memory")]
            memory_mib: u64,
            /// How many; by default as many as cores.
            workers: Option<u32>,
            /// Where it logs.
            #[serde(default)]
            log: LogConfig,
        }
    }

    fn memory() -> u64 {
        64
    }

    #[test]
    fn a_row_says_all_of_a_key() {
        let config = toml::from_str("name = \"b\"\nmemory_mib = 7\n[log]\nlevel = \"warn\"");
        let rows = rows::<Example>(&config.expect("valid"));
        let names: Vec<&str> = rows.iter().map(|row| &*row.key).collect();
        let log = ["log.level", "log.file_mib_max", "log.files_kept"];
        assert_eq!(names[..4], ["name", "memory_mib", "workers", "log.file"]);
        assert_eq!(names[4..], log);
        assert_eq!((&rows[0].value, rows[0].required), (&Some("b".into()), true));
        let memory = &rows[1];
        assert_eq!((&memory.value, &memory.default), (&Some(7.into()), &Some(64.into())));
        assert_eq!(memory.unit, Some("MiB"));
        assert_eq!(memory.meaning, "Memory: a quarter is for reading.");
        assert_eq!((&rows[2].value, &rows[2].default, rows[2].required), (&None, &None, false));
        let level = &rows[4];
        assert_eq!((&level.value, &level.default), (&Some("warn".into()), &Some("info".into())));
        let config = toml::from_str("name = \"b\"").expect("valid");
        assert!(to_text::<Example>(&config).starts_with("[[keys]]\nkey = \"name\"\n"));
    }
}
