//! What was measured, as a table for people and as JSON for programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::pairs::Pair;
use super::rows::{Floor, Measure, RAM, Row};
use super::sides::Run;
use super::slice::Slice;
use super::start::Start;
use super::statistics::{median, quartiles};

/// What is to be known of a slice.
type Figure = Box<dyn Fn(&Slice) -> f64>;
/// Of which kind of limit what is noted.
type Disks = (&'static str, &'static str, fn(&Slice) -> f64);

/// Of a value and its limit.
type Both = Option<(f64, f64)>;

/// One line.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    id: String,
    floor: Option<Floor>,
    value: f64,
    unit: &'static str,
    limit: Option<f64>,
    ratio: Option<f64>,
    quartiles: Option<(f64, f64)>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    /// Over how much it goes, and what has it in memory when a slice begins.
    data: String,
    cache: String,
    /// Of the servers, for each call.
    flushes: Both,
    switches: Both,
    system_calls: Both,
    /// CPU seconds of the servers for each GiB.
    cpu: Both,
    calls: u64,
    runs: usize,
    noisy: bool,
    notes: Vec<String>,
}

impl Line {
    /// Resident memory before anything was done, or the most there ever was.
    pub(super) fn memory(id: String, row: &Row, mib: f64, at_most: bool) -> Self {
        let when = if at_most { "at most, until all was done" } else { "after `up`" };
        let notes = vec![format!("RSS of the largest server {when}")];
        Self { id, floor: row.floor, value: mib, unit: "MiB", runs: 1, notes, ..Self::default() }
    }

    /// How long a storage server took to start.
    pub(super) fn start(id: String, row: &Row, start: &Start) -> Self {
        let Start { chunks, seconds, empty_seconds, mib, empty_mib } = *start;
        let notes = vec![
            format!("`emberfs up` until all is well; {empty_seconds:.2} s without chunks"),
            format!("RSS {mib:.0} MiB, without chunks {empty_mib:.0}"),
        ];
        Self {
            id,
            floor: row.floor,
            value: seconds,
            unit: "s",
            data: format!("{chunks} chunks"),
            runs: 1,
            notes,
            ..Self::default()
        }
    }

    /// What a row says of a load.
    pub(super) fn of(id: String, row: &Row, run: &Run) -> Self {
        let unit = run.benchmark.unit;
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
        let counted = |of: fn(&Slice) -> f64| {
            run.counted.as_ref().filter(|_| is_rate).map(|(value, limit)| (of(value), of(limit)))
        };
        Self {
            id,
            floor: row.floor,
            value: median(&values),
            unit: word,
            limit: Some(median(&limits)),
            ratio: Some(median(&ratios)),
            quartiles: Some(quartiles(&ratios)),
            p50_us: is_rate.then(|| of_value(|slice| slice.p50_us)),
            p99_us: is_rate.then(|| of_value(|slice| slice.p99_us)),
            data: run.benchmark.data.clone(),
            cache: run.benchmark.cache.clone(),
            flushes: counted(Slice::flushes_by_call),
            system_calls: counted(Slice::system_calls_by_call),
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
        notes.push(format!("weak limit: alone, in calls/s, {}", alone(&run.parts)));
    }
    if run.ways.len() > 1 {
        let ways = run.ways.iter().map(|(way, rate)| format!("{way} {rate:.0}"));
        notes.push(format!("ways: {}", ways.collect::<Vec<_>>().join(", ")));
    }
    let disks: [Disks; 2] = [
        ("read", "bytes from disks for each byte", Slice::read_by_byte),
        ("write", "bytes to disks for each byte", Slice::written_by_byte),
    ];
    for (kind, what, of) in disks {
        if run.ways.iter().any(|(way, _)| way.contains(kind)) && of_value(of) >= 0.05 {
            notes.push(format!("{what} {:.1} : {:.1}", of_value(of), of_limit(of)));
        }
    }
    notes
}

/// What the parts of a limit do alone, piece by piece.
fn alone(parts: &Value) -> String {
    let pieces = parts.as_array().into_iter().flatten().filter_map(Value::as_object);
    let piece = |parts: &Map<String, Value>| {
        let part = |(name, rate): (&String, &Value)| match name.as_str() {
            "sum" => format!("all in a row {}", short(rate.as_f64().unwrap_or(0.0))),
            _ => format!("{name} {}", short(rate.as_f64().unwrap_or(0.0))),
        };
        parts.iter().map(part).collect::<Vec<_>>().join(", ")
    };
    pieces.map(piece).collect::<Vec<_>>().join("; then ")
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
        "FLOOR",
        "P50 US",
        "P99 US",
        "CALLS",
        "DATA",
        "CACHE",
        "FLUSHES",
        "SWITCHES",
        "SYSCALLS",
        "CPU S/GIB",
        "NOTES",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(lines.iter().map(cells));
    let width = |c: usize| rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut text = format!(
        "Limit, value, value, limit: pairs of slices; medians, and quartiles of the ratio. The limit is a bare pipeline of \
         three servers and a client, with the same hops, bytes and flushes; through a mount, the same by the client \
         library and then through a mount in memory. All on this machine.\n\
         FLUSHES, SWITCHES (of context) and SYSCALLS are for each call, CPU for each GiB, value : limit: of the servers, \
         and through a mount of that too. They count all that goes on meanwhile: heartbeats, what a slice makes before it \
         begins (names that are removed, files that are read), and what is freed behind an earlier one.\n\
         CACHE: cold is read from disks by O_DIRECT, warm from servers' memory, none is durable before it counts. Floors \
         are judged on {RAM} rows, where no disk makes noise.\n\n"
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
    let text = |cell: &String| or_none((!cell.is_empty()).then(|| cell.clone()));
    let both =
        |of: Both| or_none(of.map(|(value, limit)| format!("{} : {}", part(value), part(limit))));
    let floor = line.floor.map(|floor| {
        let is_judged = line.id.ends_with(RAM);
        let is_missed = is_judged && !floor.is_kept(line.value, line.ratio);
        format!("{}{}", floor.word(), if is_missed { " MISSED" } else { "" })
    });
    vec![
        line.id.clone(),
        short(line.value),
        or_none(line.limit.map(short)),
        line.unit.to_owned(),
        or_none(line.ratio.map(part)),
        or_none(line.quartiles.map(|(first, third)| format!("{}-{}", part(first), part(third)))),
        or_none(floor),
        or_none(line.p50_us.map(|us| format!("{us:.0}"))),
        or_none(line.p99_us.map(|us| format!("{us:.0}"))),
        or_none((line.calls > 0).then(|| line.calls.to_string())),
        text(&line.data),
        text(&line.cache),
        both(line.flushes),
        both(line.switches),
        both(line.system_calls),
        both(line.cpu),
        line.notes.join("; "),
    ]
}

/// Two digits behind the point, and three where there would be none but zeros.
fn part(value: f64) -> String {
    match value {
        0.0 | 0.05.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
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
    let both = |of: Both| of.map(|(value, limit)| [value, limit]);
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
            "data": line.data,
            "cache": line.cache,
            "flushes_by_call": both(line.flushes),
            "switches_by_call": both(line.switches),
            "system_calls_by_call": both(line.system_calls),
            "cpu_s_by_gib": both(line.cpu),
            "noisy": line.noisy,
            "notes": line.notes,
        })
    };
    let list: Vec<Value> = lines.iter().map(object).collect();
    format!("{:#}\n", Value::Array(list))
}

#[cfg(test)]
mod tests {
    use super::super::benchmarks::Benchmark;
    use super::super::kernel::Asked;
    use super::super::rows::rows;
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
        let said = json!({ "a": {
            "unit": "MB/s", "data": "512 MiB", "cache": "cold", "pieces": ["bare"], "each": 1
        }});
        let asking = |calls| Slice { asked: Asked { calls, flushes: 2.0 }, ..slice(4) };
        Run {
            benchmark: Benchmark::find(&said, "a").expect("whole"),
            pairs,
            counted: Some((asking(10.0), asking(4.0))),
            parts: json!([{ "wire": 3000.0, "sum": 70.0 }]),
            is_weak: true,
            ways: vec![("one", 2.0), ("other", 1.0)],
        }
    }

    fn row(id: &str) -> Row {
        rows().find(|row| row.id == id).expect("a row")
    }

    #[test]
    fn a_line_has_the_median_of_the_ratios() {
        let row = row("native_seq_read_1m_s4");
        let line = Line::of(format!("{}{RAM}", row.id), &row, &run());
        assert!((line.ratio.expect("it has a limit") - 0.6).abs() < 1e-9);
        assert_eq!((line.runs, line.noisy, line.p99_us), (3, true, Some(9.0)));
        let text = table(std::slice::from_ref(&line));
        for word in [
            "native_seq_read_1m_s4_ram",
            "0.60",
            "512 MiB  cold",
            "2.50 : 1.00",
            "0.50 : 0.50",
            "1 noisy",
            "weak limit: alone, in calls/s, wire 3000, all in a row 70.0",
            "one 2, other 1",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("MISSED"), "{text}");
        let list: Value = serde_json::from_str(&json(&[line])).expect("JSON");
        for key in ["id", "value", "unit", "limit", "ratio", "p50", "p99", "runs", "noisy"] {
            assert!(list[0].get(key).is_some(), "{key}");
        }
        assert_eq!(list[0]["system_calls_by_call"], json!([2.5, 1.0]));
    }

    #[test]
    fn a_missed_floor_is_said_where_it_is_judged() {
        let line =
            |id: &str| table(&[Line::memory(id.to_owned(), &row("mem_idle_server"), 200.0, false)]);
        assert!(line("mem_idle_server_ram").contains("<= 150 MISSED"));
        assert!(!line("mem_idle_server").contains("MISSED"));
    }

    #[test]
    fn a_start_says_its_memory() {
        let (chunks, seconds, empty_seconds) = (1_000_000, 4.0, 1.0);
        let start = Start { chunks, seconds, empty_seconds, mib: 140.0, empty_mib: 20.0 };
        let row = row("start_1m_chunks");
        let text = table(&[Line::start("start_1m_chunks_ram".to_owned(), &row, &start)]);
        assert!(text.contains("1000000 chunks") && text.contains("RSS 140 MiB"), "{text}");
    }
}
