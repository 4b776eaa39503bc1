//! Rules over Rust sources, on their lines: no parser, so they stay simple and err on the strict side.

use super::Fault;
use crate::tree::Source;

/// More code lines than this, and a second noun lives in the file.
const FILE_LINES_MAX: usize = 600;
/// More lines than this, and a function does two things.
const FUNCTION_LINES_MAX: usize = 70;
/// A main function parses, wires up and runs.
const MAIN_LINES_MAX: usize = 50;

/// Where `unsafe` may stand: paths that begin like this.
const UNSAFE_PLACES: &[&str] = &[
    "buffer/src/aligned.rs",
    "client-fuse/src/session/device/clone.rs",
    "storage-server/chunk-engine/src/disk/ring.rs",
    "tests/bench/src/ring.rs",
    "transport/src/landing.rs",
];
/// Crates that hold such a place, and so cannot forbid it as a whole.
const UNSAFE_CRATES: &[&str] = &[
    "buffer/src/lib.rs",
    "client-fuse/src/lib.rs",
    "storage-server/chunk-engine/src/lib.rs",
    "tests/bench/src/main.rs",
    "transport/src/lib.rs",
];

/// Words that name no noun.
const EMPTY_NAMES: &[&str] =
    &["common", "helper", "helpers", "manager", "misc", "shared", "util", "utils"];

/// What marks unfinished code; written in two parts, so that this file has none.
const MARKS: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

pub(super) fn head(source: &Source) -> Vec<Fault> {
    let missing = !source.text.starts_with("//! ");
    missing.then(|| (1, "no head".to_owned())).into_iter().collect()
}

pub(super) fn size(source: &Source) -> Vec<Fault> {
    let mut faults = long_functions(&source.text);
    let lines = code_lines(tested(&source.text).0);
    if lines > FILE_LINES_MAX {
        faults.push((0, format!("{lines} lines of code, {FILE_LINES_MAX} at most")));
    }
    faults
}

pub(super) fn main_size(source: &Source) -> Vec<Fault> {
    let lines = code_lines(&source.text);
    let long = lines > MAIN_LINES_MAX;
    long.then(|| (0, format!("{lines} lines, {MAIN_LINES_MAX} at most"))).into_iter().collect()
}

pub(super) fn marks(source: &Source) -> Vec<Fault> {
    on_lines(&source.text, |line| {
        let mark = MARKS.iter().find(|mark| line.contains(**mark))?;
        Some(format!("`{mark}`"))
    })
}

pub(super) fn waits(source: &Source) -> Vec<Fault> {
    let (code, tests) = tested(&source.text);
    let tests = if is_test_file(&source.path) { &source.text } else { tests };
    let before = if is_test_file(&source.path) { 0 } else { code.lines().count() };
    let mut faults = on_lines(tests, |line| {
        line.contains(concat!("sl", "eep(")).then(|| "a test sleeps".to_owned())
    });
    faults.iter_mut().for_each(|(line, _)| *line += before);
    faults.extend(on_lines(&source.text, |line| {
        line.contains(concat!("#[", "ignore")).then(|| "an ignored test".to_owned())
    }));
    faults
}

pub(super) fn unsafety(source: &Source) -> Vec<Fault> {
    let root = source.path.ends_with("src/lib.rs") || source.path.ends_with("src/main.rs");
    let exempt = UNSAFE_CRATES.contains(&source.path.as_str());
    if root && !exempt && !source.text.contains("#![forbid(unsafe_code)]") {
        return vec![(0, "no #![forbid(unsafe_code)]".to_owned())];
    }
    if UNSAFE_PLACES.iter().any(|place| source.path.starts_with(place)) {
        return Vec::new();
    }
    on_lines(&source.text, |line| {
        let code = line.trim_start();
        let starts = ["unsafe ", "pub unsafe ", "pub(crate) unsafe "];
        let inside =
            [concat!("= un", "safe {"), concat!("(un", "safe {"), concat!("> un", "safe {")];
        let found = starts.iter().any(|word| code.starts_with(word))
            || inside.iter().any(|word| code.contains(word));
        (found && !code.starts_with('"')).then(|| "unsafe code".to_owned())
    })
}

pub(super) fn names(source: &Source) -> Vec<Fault> {
    let parts = source.path.trim_end_matches(".rs").split('/');
    let empty = parts.filter(|part| EMPTY_NAMES.contains(part));
    empty.map(|part| (0, format!("`{part}` names no noun"))).collect()
}

/// The code, and behind it the module of its tests.
fn tested(text: &str) -> (&str, &str) {
    let start = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text.split_at(start)
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("tests.rs")
}

fn code_lines(text: &str) -> usize {
    let code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    text.lines().filter(code).count()
}

fn on_lines(text: &str, fault: impl Fn(&str) -> Option<String>) -> Vec<Fault> {
    text.lines().enumerate().filter_map(|(i, line)| Some((i + 1, fault(line)?))).collect()
}

/// Functions from their `fn` line to the brace that closes at the same indent.
fn long_functions(text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut open: Option<(usize, String, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        if let Some(name) = function_name(code) {
            open = Some((number, format!("{indent}}}"), name.to_owned()));
        } else if let Some((start, close, name)) = open.take_if(|(_, close, _)| line == close) {
            debug_assert_eq!(close, line);
            if number - start > FUNCTION_LINES_MAX {
                let lines = number - start;
                faults.push((start + 1, format!("`{name}` has {lines} lines")));
            }
        }
    }
    faults
}

/// The name of the function whose signature begins on this line.
fn function_name(code: &str) -> Option<&str> {
    let (before, rest) = code.split_once("fn ")?;
    let qualifiers =
        ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern", "\"C\""];
    let known = before.split_whitespace().all(|word| qualifiers.contains(&word));
    known.then(|| rest.split(['(', '<']).next().unwrap_or(rest))
}
