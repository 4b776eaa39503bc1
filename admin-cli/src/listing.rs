//! What commands print: one listing, as a table for people or as JSON for programs.
//!
//! JSON is one object: `{"schema": 1, "NAME": [{"COLUMN": VALUE, …}, …]}`. A column never changes its
//! meaning within a schema; new ones may come.
//!
//! A name is bytes, and JSON is text: bytes that are none stand in a field beside it, in hexadecimal, which is
//! null where the name says all. In tables what would move the terminal is a `?`.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use emberfs_client::Time;
use serde_json::{Map, Value, json};

use crate::exit;
use crate::printable::{self, printable};

/// Number of the form of all JSON that is printed.
pub(crate) const SCHEMA: u32 = 1;

/// Rows of things of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// What they are, in the plural.
    name: &'static str,
    columns: &'static [&'static str],
    /// The one that people need not see.
    json_only: Option<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Listing {
    /// No rows yet.
    pub(crate) fn new(name: &'static str, columns: &'static [&'static str]) -> Self {
        Self { name, columns, json_only: None, rows: Vec::new() }
    }

    /// The same, with a column that only JSON has.
    pub(crate) fn json_only(self, column: &'static str) -> Self {
        Self { json_only: Some(column), ..self }
    }

    /// Adds a row with a value for each column.
    pub(crate) fn push(&mut self, row: Vec<Value>) {
        assert_eq!(row.len(), self.columns.len(), "a value for each column");
        self.rows.push(row);
    }

    /// Prints it.
    ///
    /// # Errors
    /// The system's, as when a pipe is closed.
    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        let mut out = exit::out();
        if json {
            writeln!(out, "{}", printable::json(&self.to_json()))
        } else {
            write!(out, "{}", self.to_table())
        }
    }

    fn to_json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            let fields = self.columns.iter().zip(row);
            Value::Object(
                fields.map(|(c, v)| (c.replace(' ', "_"), v.clone())).collect::<Map<_, _>>(),
            )
        };
        let rows: Vec<Value> = self.rows.iter().map(object).collect();
        json!({ "schema": SCHEMA, self.name: rows })
    }

    fn to_table(&self) -> String {
        if self.rows.is_empty() {
            return format!("no {}\n", self.name);
        }
        let is_shown = |c: &usize| self.json_only != Some(self.columns[*c]);
        let places: Vec<usize> = (0..self.columns.len()).filter(is_shown).collect();
        let heads = places.iter().map(|c| self.columns[*c].to_uppercase()).collect();
        let words = self.rows.iter().map(|row| places.iter().map(|c| shown(&row[*c])).collect());
        let lines: Vec<Vec<String>> = std::iter::once(heads).chain(words).collect();
        let width = |c: usize| lines.iter().map(|line| line[c].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..places.len()).map(width).collect();
        let print = |line: &Vec<String>| {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            format!("{}\n", line.trim_end())
        };
        lines.iter().map(print).collect()
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(list) => list.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// What is no text in a name, in hexadecimal; null if it is text.
pub(crate) fn bytes_of(name: &[u8]) -> Value {
    let hex = |name: &[u8]| {
        name.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("memory");
            text
        })
    };
    if std::str::from_utf8(name).is_ok() { Value::Null } else { json!(hex(name)) }
}

/// A moment in UTC, as RFC 3339 has it; before 1970, in seconds from there.
pub(crate) fn time(time: Time) -> String {
    let since = u64::try_from(time.seconds).ok();
    let moment =
        since.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::new(seconds, time.nanos)));
    let shown = moment.map(|moment| humantime::format_rfc3339_nanos(moment).to_string());
    shown.unwrap_or_else(|| format!("{}.{:09}", time.seconds, time.nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_json_say_the_same() {
        let mut listing = Listing::new("disks", &["id", "used bytes", "targets"]);
        assert_eq!(listing.to_table(), "no disks\n");
        listing.push(vec![json!("d1"), json!(7), json!([1, 2])]);
        listing.push(vec![json!("disk-2"), Value::Null, json!([])]);
        let table = "ID      USED BYTES  TARGETS\nd1      7           1,2\ndisk-2  -\n";
        assert_eq!(listing.to_table(), table);
        let json = listing.to_json();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["disks"][0]["used_bytes"], 7);
    }

    #[test]
    fn bytes_that_are_no_text_are_in_json_alone_and_move_no_terminal() {
        let mut listing = Listing::new("names", &["name", "bytes", "more"]).json_only("bytes");
        for name in [&b"\x1b[J"[..], b"\xff", "ü".as_bytes()] {
            listing.push(vec![json!(String::from_utf8_lossy(name)), bytes_of(name), json!(1)]);
        }
        assert_eq!(listing.to_table(), "NAME  MORE\n?[J   1\n\u{fffd}     1\nü     1\n");
        let json = listing.to_json();
        let bytes = [0, 1, 2].map(|row| json["names"][row]["bytes"].clone());
        assert_eq!(bytes, [Value::Null, json!("ff"), Value::Null]);
    }
}
