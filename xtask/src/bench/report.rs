//! What was measured, as a table for people and as JSON for programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::pairs::Pair;
use super::rows::{Floor, Measure, RAM, ROWS, Row};
use super::sides::Run;
use super::slice::Slice;
use super::statistics::{median, quartiles};

/// What is to be known of a slice.
type Figure = Box<dyn Fn(&Slice) -> f64>;
/// Of which kind of limit what is noted.
type Disks = (&'static str, &'static str, fn(&Slice) -> f64);

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    id: String,
    value: f64,
    unit: &'static str,
    limit: Option<f64>,
    ratio: Option<f64>,
    quartiles: Option<(f64, f64)>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    /// Context switches of the servers for each call: value and limit.
    switches: Option<(f64, f64)>,
    /// CPU seconds of the servers for each GiB: value and limit.
    cpu: Option<(f64, f64)>,
    calls: u64,
    runs: usize,
    noisy: bool,
    notes: Vec<String>,
}

impl Line {
    /// Resident memory before anything was done, or the most there ever was.
    pub(super) fn memory(id: String, mib: f64, at_most: bool) -> Self {
        let when = if at_most { "at most, until all was done" } else { "after `up`" };
        Self {
            id,
            value: mib,
            unit: "MiB",
            limit: None,
            ratio: None,
            quartiles: None,
            p50_us: None,
            p99_us: None,
            switches: None,
            cpu: None,
            calls: 0,
            runs: 1,
            noisy: false,
            notes: vec![format!("RSS of the largest server {when}")],
        }
    }

    /// What a row says of a load.
    pub(super) fn of(id: String, row: &Row, run: &Run) -> Self {
        let unit = run.load.unit;
        let (of, word): (Figure, _) = match row.measure {
            Measure::Cpu => (Box::new(Slice::cpu_by_gib), "CPU s/GiB"),
            _ => (Box::new(move |slice: &Slice| slice.rate_in(unit)), unit.word()),
        };
        let each = |of: &dyn Fn(&Pair) -> f64| run.pairs.iter().map(of).collect::<Vec<f64>>();
        let (values, limits) = (each(&|pair| pair.value(&of)), each(&|pair| pair.limit(&of)));
        let ratios: Vec<f64> = values.iter().zip(&limits).map(|(v, l)| v / l).collect();
        let noisy = run.pairs.iter().filter(|pair| pair.is_noisy).count();
        let is_rate = row.measure == Measure::Rate;
        let has_bytes = is_rate && run.pairs.iter().all(|pair| pair.values[0].bytes > 0);
        let of_value = |of: fn(&Slice) -> f64| median(&each(&|pair| pair.value(of)));
        let of_limit = |of: fn(&Slice) -> f64| median(&each(&|pair| pair.limit(of)));
        Self {
            id,
            value: median(&values),
            unit: word,
            limit: Some(median(&limits)),
            ratio: Some(median(&ratios)),
            quartiles: Some(quartiles(&ratios)),
            p50_us: is_rate.then(|| of_value(|slice| slice.p50_us)),
            p99_us: is_rate.then(|| of_value(|slice| slice.p99_us)),
            switches: is_rate
                .then(|| (of_value(Slice::switches_by_call), of_limit(Slice::switches_by_call))),
            cpu: has_bytes.then(|| (of_value(Slice::cpu_by_gib), of_limit(Slice::cpu_by_gib))),
            calls: run.pairs.iter().flat_map(|pair| &pair.values).map(|slice| slice.ops).sum(),
            runs: run.pairs.len(),
            noisy: noisy > 0,
            notes: if is_rate { notes(run, noisy, of_value, of_limit) } else { Vec::new() },
        }
    }

    /// In a few words, for who waits.
    pub(super) fn summary(&self) -> String {
        let limit = self.limit.map_or_else(String::new, |limit| format!(" of {}", short(limit)));
        let ratio = self.ratio.map_or_else(String::new, |ratio| format!(": {ratio:.2}"));
        format!("{} {}{limit} {}{ratio}", self.id, short(self.value), self.unit)
    }

    fn floor(&self) -> Option<Floor> {
        let bare = self.id.strip_suffix(RAM).unwrap_or(&self.id);
        ROWS.iter().find(|row| row.id == bare).and_then(|row| row.floor)
    }
}

/// What else there is to say of a load.
fn notes(
    run: &Run,
    noisy: usize,
    of_value: impl Fn(fn(&Slice) -> f64) -> f64,
    of_limit: impl Fn(fn(&Slice) -> f64) -> f64,
) -> Vec<String> {
    let mut notes = Vec::new();
    if noisy > 0 {
        notes.push(format!("{noisy} noisy"));
    }
    let said: BTreeSet<&String> =
        run.pairs.iter().flat_map(|pair| &pair.values).filter_map(|s| s.note.as_ref()).collect();
    notes.extend(said.into_iter().cloned());
    if run.is_weak {
        notes.push(format!("weak limit: parts alone, calls/s: {}", run.parts));
    }
    if run.ways.len() > 1 {
        let ways = run.ways.iter().map(|(way, rate)| format!("{way} {rate:.0}"));
        notes.push(format!("ways: {}", ways.collect::<Vec<_>>().join(", ")));
    }
    let disks: [Disks; 2] = [
        ("read", "bytes from disks", Slice::read_by_byte),
        ("write", "bytes to disks", Slice::written_by_byte),
    ];
    for (kind, what, of) in disks {
        if run.load.limit_line().starts_with(kind) && of_value(of) > 0.0 {
            notes.push(format!("{what} {:.1} : {:.1}", of_value(of), of_limit(of)));
        }
    }
    notes
}

/// For people.
pub(super) fn table(lines: &[Line]) -> String {
    let heads = [
        "ID",
        "VALUE",
        "LIMIT",
        "UNIT",
        "RATIO",
        "QUARTILES",
        "P50 US",
        "P99 US",
        "CALLS",
        "SWITCHES/CALL",
        "CPU S/GIB",
        "FLOOR",
        "NOTES",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(lines.iter().map(cells));
    let width = |c: usize| rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut text = format!(
        "Limit, value, value, limit: pairs of slices; medians, and quartiles of the ratio. Both sides: three servers \
         and one client on this machine, 512 MiB to read and 512 MiB to write over, cold (O_DIRECT). Switches and CPU, \
         value : limit, are the servers'. Floors are judged on {RAM} rows.\n"
    );
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(text, "{}", line.trim_end()).expect("memory");
    }
    text
}

fn cells(line: &Line) -> Vec<String> {
    let or_none = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
    let floor = line.floor().map(|floor| {
        let is_judged = line.id.ends_with(RAM);
        let is_missed = is_judged && !floor.is_kept(line.value, line.ratio);
        format!("{}{}", floor.word(), if is_missed { " MISSED" } else { "" })
    });
    vec![
        line.id.clone(),
        short(line.value),
        or_none(line.limit.map(short)),
        line.unit.to_owned(),
        or_none(line.ratio.map(|ratio| format!("{ratio:.2}"))),
        or_none(line.quartiles.map(|(first, third)| format!("{first:.2}-{third:.2}"))),
        or_none(line.p50_us.map(|us| format!("{us:.0}"))),
        or_none(line.p99_us.map(|us| format!("{us:.0}"))),
        or_none((line.calls > 0).then(|| line.calls.to_string())),
        or_none(line.switches.map(|(value, limit)| format!("{value:.1} : {limit:.1}"))),
        or_none(line.cpu.map(|(value, limit)| format!("{value:.2} : {limit:.2}"))),
        or_none(floor),
        line.notes.join("; "),
    ]
}

/// Three digits and more.
fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// For programs: a list.
pub(super) fn json(lines: &[Line]) -> String {
    let object = |line: &Line| {
        json!({
            "id": line.id,
            "value": line.value,
            "unit": line.unit,
            "limit": line.limit,
            "ratio": line.ratio,
            "quartiles": line.quartiles.map(|(first, third)| [first, third]),
            "p50": line.p50_us,
            "p99": line.p99_us,
            "runs": line.runs,
            "calls": line.calls,
            "switches_by_call": line.switches.map(|(value, limit)| [value, limit]),
            "cpu_s_by_gib": line.cpu.map(|(value, limit)| [value, limit]),
            "noisy": line.noisy,
            "notes": line.notes,
        })
    };
    let list: Vec<Value> = lines.iter().map(object).collect();
    format!("{:#}\n", Value::Array(list))
}

#[cfg(test)]
mod tests {
    use super::super::rows::LOADS;
    use super::*;

    fn slice(ops: u64) -> Slice {
        Slice { ops, bytes: ops << 20, seconds: 1.0, p50_us: 7.0, p99_us: 9.0, ..Slice::default() }
    }

    fn run() -> Run {
        let pair = |limit: u64, value: u64, is_noisy| Pair {
            limits: [slice(limit), slice(limit)],
            values: [slice(value), slice(value)],
            is_noisy,
        };
        let pairs = vec![pair(100, 50, false), pair(100, 70, true), pair(200, 120, false)];
        let load = LOADS.iter().find(|load| load.name == "native_seq_read_1m_s4").expect("a load");
        Run {
            load,
            pairs,
            parts: json!({}),
            is_weak: true,
            ways: vec![("one", 2.0), ("other", 1.0)],
        }
    }

    #[test]
    fn a_line_has_the_median_of_the_ratios() {
        let row = ROWS.iter().find(|row| row.id == "native_seq_read_1m_s4").expect("a row");
        let line = Line::of(format!("{}{RAM}", row.id), row, &run());
        assert!((line.ratio.expect("it has a limit") - 0.6).abs() < 1e-9);
        assert_eq!((line.runs, line.noisy, line.p99_us), (3, true, Some(9.0)));
        let text = table(std::slice::from_ref(&line));
        for word in ["native_seq_read_1m_s4_ram", "0.60", "1 noisy", "weak limit", "one 2, other 1"]
        {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("MISSED"), "{text}");
        let list: Value = serde_json::from_str(&json(&[line])).expect("JSON");
        for key in ["id", "value", "unit", "limit", "ratio", "p50", "p99", "runs", "noisy"] {
            assert!(list[0].get(key).is_some(), "{key}");
        }
    }

    #[test]
    fn a_missed_floor_is_said_where_it_is_judged() {
        let line = |id: &str| table(&[Line::memory(id.to_owned(), 200.0, false)]);
        assert!(line("mem_idle_server_ram").contains("<= 150 MISSED"));
        assert!(!line("mem_idle_server").contains("MISSED"));
    }
}
