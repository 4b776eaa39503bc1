//! Which crate may use which: the one table of it, held against `cargo metadata`.
//!
//! A crate that is not in [`TABLE`] fails, so does an edge that its row does not name. Crates without
//! I/O also have every outside crate that they may use named, so that none brings a clock, a thread
//! or a socket along; so has the limit of the benchmarks, which is to be bare. Development dependencies are bound by the same rows, with [`DEV`] added.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// One crate's allowed dependencies.
struct Row {
    name: &'static str,
    /// Which crates of this workspace it may use.
    ours: &'static [&'static str],
    /// Which outside ones; `None` leaves the choice free, for crates that do I/O.
    outside: Option<&'static [&'static str]>,
}

const fn pure(
    name: &'static str,
    ours: &'static [&'static str],
    outside: &'static [&'static str],
) -> Row {
    Row { name, ours, outside: Some(outside) }
}

const fn free(name: &'static str, ours: &'static [&'static str]) -> Row {
    Row { name, ours, outside: None }
}

const LAYOUT: &str = "emberfs-layout";
const BUFFER: &str = "emberfs-buffer";
const METRICS: &str = "emberfs-metrics";
const WIRE: &str = "emberfs-wire";
const CHAIN: &str = "emberfs-chain-replication";
const TRANSPORT: &str = "emberfs-transport";
const DAEMON: &str = "emberfs-daemon";
const ENGINE: &str = "emberfs-storage-server-chunk-engine";
const STATE: &str = "emberfs-meta-server-state";
const CONSENSUS: &str = "emberfs-meta-server-consensus";
const SESSION: &str = "emberfs-client-session";
const CLIENT: &str = "emberfs-client";
const MOUNTS: &str = "emberfs-client-fuse-mounts";

/// Lower crates first.
const TABLE: &[Row] = &[
    pure(LAYOUT, &[], &["minicbor"]),
    pure(BUFFER, &[LAYOUT], &["bytes", "crc32c", "minicbor", "thiserror"]),
    free(METRICS, &[]),
    pure(WIRE, &[LAYOUT, BUFFER], &["bytes", "crc32c", "minicbor", "thiserror"]),
    pure(CHAIN, &[LAYOUT, BUFFER, WIRE], &["bytes", "minicbor", "thiserror"]),
    pure(STATE, &[LAYOUT, BUFFER, WIRE], &["bytes", "minicbor", "siphasher", "thiserror"]),
    pure(CONSENSUS, &[LAYOUT, WIRE], &["bytes", "minicbor", "raft", "slog", "thiserror"]),
    pure(SESSION, &[LAYOUT, BUFFER, WIRE], &["bytes", "thiserror"]),
    free(TRANSPORT, &[LAYOUT, BUFFER, METRICS, WIRE]),
    free(DAEMON, &[LAYOUT, METRICS]),
    free(ENGINE, &[LAYOUT, BUFFER, METRICS]),
    free(
        "emberfs-storage-server",
        &[LAYOUT, BUFFER, METRICS, WIRE, ENGINE, CHAIN, TRANSPORT, DAEMON],
    ),
    free(
        "emberfs-meta-server",
        &[LAYOUT, BUFFER, METRICS, WIRE, STATE, CONSENSUS, CHAIN, TRANSPORT, DAEMON],
    ),
    free(CLIENT, &[LAYOUT, BUFFER, METRICS, WIRE, SESSION, TRANSPORT]),
    free(MOUNTS, &[]),
    free("emberfs-client-fuse", &[LAYOUT, BUFFER, METRICS, CLIENT, DAEMON, MOUNTS]),
    free("emberfs-admin-cli", &[LAYOUT, CLIENT, MOUNTS]),
    free("xtask", &[]),
    pure(
        "emberfs-tests-bench",
        &[],
        &["anyhow", "clap", "crc32c", "fuser", "io-uring", "rustix", "serde_json"],
    ),
    free(
        "emberfs-tests",
        &[
            LAYOUT,
            BUFFER,
            METRICS,
            WIRE,
            ENGINE,
            CHAIN,
            STATE,
            CONSENSUS,
            SESSION,
            TRANSPORT,
            DAEMON,
            CLIENT,
            MOUNTS,
            "emberfs-storage-server",
            "emberfs-meta-server",
            "emberfs-client-fuse",
            "emberfs-admin-cli",
        ],
    ),
];

/// Outside crates that any crate's tests may use.
const DEV: &[&str] = &["proptest", "tempfile", "tokio"];

/// Reads the workspace and holds it against the table.
pub(crate) fn run() -> Result<()> {
    let metadata =
        MetadataCommand::new().no_deps().other_options(["--locked".to_owned()]).exec()?;
    let mut found: Vec<String> = metadata.packages.iter().flat_map(faults).collect();
    let names: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let gone = TABLE.iter().filter(|row| !names.contains(row.name));
    found.extend(gone.map(|row| format!("{} is in the table of edges and nowhere else", row.name)));
    ensure!(found.is_empty(), "edges that the table does not allow:\n  {}", found.join("\n  "));
    Ok(())
}

fn faults(package: &Package) -> Vec<String> {
    let Some(row) = TABLE.iter().find(|row| row.name == package.name.as_str()) else {
        return vec![format!("{} is not in the table of edges (xtask/src/edges.rs)", package.name)];
    };
    package
        .dependencies
        .iter()
        .filter(|dep| !allowed(row, &dep.name, dep.kind == DependencyKind::Development))
        .map(|dep| format!("{} must not use {}", row.name, dep.name))
        .collect()
}

fn allowed(row: &Row, dependency: &str, for_tests: bool) -> bool {
    let ours = TABLE.iter().any(|other| other.name == dependency);
    if ours {
        return row.ours.contains(&dependency);
    }
    row.outside.is_none_or(|outside| outside.contains(&dependency))
        || (for_tests && DEV.contains(&dependency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> &'static Row {
        TABLE.iter().find(|row| row.name == name).expect("in the table")
    }

    #[test]
    fn an_upward_edge_and_a_clock_are_refused() {
        assert!(allowed(row(WIRE), LAYOUT, false));
        assert!(!allowed(row(LAYOUT), WIRE, false));
        assert!(!allowed(row(LAYOUT), WIRE, true));
        assert!(!allowed(row(WIRE), "tokio", false));
        assert!(allowed(row(WIRE), "tokio", true));
        assert!(allowed(row(TRANSPORT), "tokio", false));
    }

    #[test]
    fn every_edge_points_down() {
        for (place, row) in TABLE.iter().enumerate() {
            let lower: Vec<_> = TABLE[..place].iter().map(|row| row.name).collect();
            assert!(row.ours.iter().all(|used| lower.contains(used)), "{}", row.name);
        }
    }

    #[test]
    fn the_workspace_keeps_the_table() {
        run().expect("no edge outside the table");
    }
}
