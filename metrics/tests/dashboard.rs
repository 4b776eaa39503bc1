//! The sample dashboard: it is JSON as Grafana takes it, and asks for nothing that no process counts.

use std::collections::BTreeSet;

use emberfs_metrics::TABLE;
use serde_json::Value;

/// What a histogram has beside its name.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// What has no panel: what is of all the time, or what others say better.
const HIDDEN: [&str; 6] = [
    "emberfs_build_info",
    "emberfs_call_requests_total",
    "emberfs_call_sent_bytes_total",
    "emberfs_call_received_bytes_total",
    "emberfs_disk_cached_pieces",
    "emberfs_disk_file_system_free_bytes",
];

fn dashboard() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana/emberfs.json");
    let text = std::fs::read_to_string(file).expect("it is there");
    serde_json::from_str(&text).expect("it is JSON")
}

/// Every expression of every panel.
fn expressions(dashboard: &Value) -> Vec<&str> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().expect("an expression")).collect()
}

/// Words of an expression that can only be metrics.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("emberfs_") || word.starts_with("process_"))
}

/// The metric that a word of an expression is of.
fn metric_of(word: &str) -> Option<&'static str> {
    let row = TABLE.iter().find(|row| match row.kind {
        "histogram" => PARTS.iter().any(|part| word.strip_suffix(part) == Some(row.name)),
        _ => row.name == word,
    })?;
    Some(row.name)
}

#[test]
fn it_asks_for_what_is_counted() {
    let dashboard = dashboard();
    let expressions = expressions(&dashboard);
    assert!(expressions.len() > 20, "{}", expressions.len());
    let mut shown = BTreeSet::new();
    for expression in expressions {
        for word in metrics(expression) {
            let metric = metric_of(word);
            shown.insert(metric.unwrap_or_else(|| panic!("{word} in `{expression}` is no metric")));
        }
        let opened = |letter| expression.matches(letter).count();
        for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
            assert_eq!(opened(open), opened(close), "{expression}");
        }
    }
    let ours = TABLE.iter().filter(|row| row.name.starts_with("emberfs_"));
    let missing: Vec<&str> =
        ours.map(|row| row.name).filter(|name| !shown.contains(name)).collect();
    assert_eq!(missing, HIDDEN, "each metric has a panel, but these");
    let variable = dashboard["templating"]["list"][1]["definition"].as_str().expect("a query");
    assert!(metrics(variable).all(|word| metric_of(word).is_some()), "{variable}");
}

#[test]
fn grafana_finds_what_it_needs() {
    let dashboard = dashboard();
    for key in ["title", "uid", "schemaVersion", "panels", "templating", "time"] {
        assert!(!dashboard[key].is_null(), "{key}");
    }
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has a number of its own");
    for panel in panels {
        let place = &panel["gridPos"];
        let [width, left] = ["w", "x"].map(|key| place[key].as_u64().expect("a number"));
        assert!(width > 0 && left + width <= 24, "{}", panel["title"]);
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()));
    }
}
