//! `config show`: what commands go by, and what a server goes by.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use emberfs_client::Directory;
use serde::Deserialize;
use serde_json::{Value, json};
use textwrap::{Options, WordSplitter};

use crate::args::Named;
use crate::connection::Connection;
use crate::exit;
use crate::listing::SCHEMA;
use crate::local::process;

/// Where a line of a meaning ends, in characters.
const LINE_CHARS: usize = 96;

/// What a server's own command says of its configuration.
#[derive(Deserialize)]
struct Page {
    keys: Vec<Key>,
}

/// One key, as the server's own command says it.
#[derive(Deserialize)]
struct Key {
    key: String,
    value: Option<toml::Value>,
    default: Option<toml::Value>,
    required: bool,
    unit: Option<String>,
    meaning: String,
}

/// Which cluster commands are about, and who says so.
pub(super) fn cluster(connection: &Connection, json: bool) -> Result<()> {
    let directory = Directory::of_user()?;
    let address = connection.address()?;
    let by_address = connection.cluster.as_ref().is_some_and(|named| named.contains(':'));
    let name = match &connection.cluster {
        Some(_) if by_address => None,
        Some(name) => Some(name.clone()),
        None => directory.list()?.into_keys().next(),
    };
    let named_by = match connection.named {
        Named::Flag => "--cluster",
        Named::Environment => "$EMBERFS_CLUSTER",
        Named::Nowhere => "being the only one in the file",
    };
    let meta: Vec<String> = address.meta.iter().map(ToString::to_string).collect();
    let fields = [
        ("cluster", json!(name)),
        ("named_by", json!(named_by)),
        ("id", json!(address.cluster.map(|id| id.to_string()))),
        ("metadata_servers", json!(meta)),
        ("file", json!(directory.path())),
        ("timeout_s", json!(connection.timeout.map(|timeout| timeout.as_secs_f64()))),
    ];
    let mut out = exit::out();
    if json {
        let mut object = json!({ "schema": SCHEMA });
        for (field, value) in fields {
            object[field] = value;
        }
        writeln!(out, "{object:#}")?;
        return Ok(());
    }
    for (field, value) in fields {
        let shown = match value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text,
            Value::Array(_) => meta.join(", "),
            other => other.to_string(),
        };
        writeln!(out, "{}: {shown}", field.replace('_', " "))?;
    }
    Ok(())
}

/// Every key of a server's file, from the server's own program.
pub(super) fn server(file: &Path, json: bool) -> Result<()> {
    let program = program_of(file)?;
    let text: String = process::answer_of(process::program(program)?.arg("config").arg(file))?;
    let page: Page = toml::from_str(&text).with_context(|| format!("{program} said `{text}`"))?;
    let mut out = exit::out();
    if json {
        let value = |value: &Option<toml::Value>| value.as_ref().map(as_json);
        let rows = page.keys.iter().map(|key| {
            json!({
                "key": key.key,
                "value": value(&key.value),
                "default": value(&key.default),
                "required": key.required,
                "unit": key.unit,
                "meaning": key.meaning,
            })
        });
        let rows: Vec<Value> = rows.collect();
        writeln!(out, "{:#}", json!({ "schema": SCHEMA, "program": program, "keys": rows }))?;
        return Ok(());
    }
    writeln!(out, "# {}, of {program}", file.display())?;
    for key in &page.keys {
        write!(out, "{}", shown(key))?;
    }
    Ok(())
}

/// Which server's a file is: only a storage server has disks.
fn program_of(file: &Path) -> Result<&'static str> {
    let unreadable = || format!("cannot read the configuration {}", file.display());
    let text = std::fs::read_to_string(PathBuf::from(file)).with_context(unreadable)?;
    let table: toml::Table = toml::from_str(&text)
        .with_context(|| format!("in the configuration {}", file.display()))?;
    let of_storage = ["disks", "cluster", "meta", "name"];
    let storage = of_storage.iter().any(|key| table.contains_key(*key));
    Ok(if storage { "emberfs-storage" } else { "emberfs-meta" })
}

/// A line of TOML, then what it means.
fn shown(key: &Key) -> String {
    let value = key.value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let default = match &key.default {
        _ if key.required => "must be set".to_owned(),
        Some(default) => format!("default {default}"),
        None => "not set by default".to_owned(),
    };
    let unit = key.unit.as_ref().map_or_else(String::new, |unit| format!(", in {unit}"));
    let mut text = format!("\n{} = {value}   # {default}{unit}\n", key.key);
    let lines = Options::new(LINE_CHARS).initial_indent("    ").subsequent_indent("    ");
    let lines = lines.word_splitter(WordSplitter::NoHyphenation).break_words(false);
    text.push_str(&textwrap::fill(&key.meaning, lines));
    text.push('\n');
    text
}

/// The same value as JSON.
fn as_json(value: &toml::Value) -> Value {
    serde_json::to_value(value).unwrap_or_else(|_| json!(value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_line_and_its_meaning() {
        let key = Key {
            key: "memory_mib".into(),
            value: Some(512.into()),
            default: Some(2048.into()),
            required: false,
            unit: Some("MiB".into()),
            meaning: "All buffers. ".repeat(12),
        };
        let text = shown(&key);
        assert!(text.starts_with("\nmemory_mib = 512   # default 2048, in MiB\n    All"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= LINE_CHARS), "{text}");
        let required = Key { value: None, default: None, required: true, unit: None, ..key };
        assert!(shown(&required).starts_with("\nmemory_mib = -   # must be set\n"));
    }

    #[test]
    fn a_file_is_the_server_s_whose_keys_it_has() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("a.toml");
        let of = |text: &str| {
            std::fs::write(&file, text).expect("written");
            program_of(&file).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(of("disks = []"), Ok("emberfs-storage"));
        assert_eq!(of("listen = []"), Ok("emberfs-meta"));
        assert!(of("listen = ").expect_err("no TOML").contains("a.toml"));
    }
}
