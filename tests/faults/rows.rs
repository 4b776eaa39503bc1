//! Each sync that servers issue is needed: without any one of them a loss of power loses something that was
//! acknowledged, in a scenario that loses nothing otherwise.

mod scenarios;

use emberfs_daemon::sync_point::{SyncPoint as IdentityRow, VARIABLE};
use emberfs_meta_server::store::SyncPoint as MetaRow;
use emberfs_storage_server_chunk_engine::SyncPoint as EngineRow;

use crate::disk::can_be;
use scenarios::Scenario;

/// Every row of every table, with what needs it.
const ROWS: [(&str, Scenario); 9] = [
    ("chunk-engine.data", Scenario::Written),
    ("chunk-engine.directory", Scenario::NewEngine),
    ("chunk-engine.records", Scenario::Written),
    ("identity.directory", Scenario::Formatted),
    ("identity.file", Scenario::Formatted),
    ("meta.directory", Scenario::Written),
    ("meta.guard", Scenario::Written),
    ("meta.log", Scenario::Written),
    ("meta.state", Scenario::LongLog),
];

#[test]
fn every_row_has_a_scenario() {
    let mut all: Vec<&str> = EngineRow::ALL.iter().map(|row| row.name()).collect();
    all.extend(IdentityRow::ALL.iter().map(|row| row.name()));
    all.extend(MetaRow::ALL.iter().map(|row| row.name()));
    all.sort_unstable();
    assert_eq!(all, ROWS.map(|(row, _)| row));
}

/// With all syncs nothing is lost; without any one of those that the scenario is for, something is.
async fn matters(test: &str, scenario: Scenario) {
    if !can_be(test) {
        return;
    }
    if let Err(loss) = scenario.run(&[]).await {
        panic!("with all syncs: {loss}");
    }
    for (row, _) in ROWS.iter().filter(|(_, of)| *of == scenario) {
        let outcome = scenario.run(&[(VARIABLE, row)]).await;
        let loss = outcome.expect_err(&format!("without {row} nothing is lost"));
        println!("without {row}: {loss}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_formatted_needs_its_rows() {
    matters("what_was_formatted_needs_its_rows", Scenario::Formatted).await;
}

#[test]
fn a_format_that_was_cut_off_is_made_durable_by_whoever_finds_it() {
    if can_be("a_format_that_was_cut_off_is_made_durable_by_whoever_finds_it") {
        scenarios::formatted_by_two();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_needs_its_rows() {
    matters("what_was_written_needs_its_rows", Scenario::Written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_engine_needs_its_row() {
    matters("a_new_engine_needs_its_row", Scenario::NewEngine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_needs_its_row() {
    matters("a_log_that_was_cut_needs_its_row", Scenario::LongLog).await;
}
