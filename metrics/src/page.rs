//! The table as a document: `docs/metrics.md`, which a test holds against it.

use std::fmt::Write;

use crate::metric::Row;
use crate::table::TABLE;

/// What the names begin with, by the part of the page that they are on.
const PARTS: &[(&str, &str)] = &[
    ("emberfs_build", "What was built"),
    ("emberfs_rpc", "Requests that a process serves"),
    ("emberfs_call", "Requests that a process makes of others"),
    ("emberfs_disk", "A disk of a storage server"),
    ("emberfs_pool", "Buffers of a storage server"),
    ("emberfs_meta", "A member of the metadata group"),
    ("emberfs_fuse", "A mount"),
    ("process", "Every process"),
];

/// What stands above the tables.
const HEAD: &str = "\
# Metrics

Every process serves its metrics as text for Prometheus, where its configuration says so: `metrics` in the file of a
metadata member or a storage server, such as `metrics = \"127.0.0.1:9700\"`, and `-o metrics=127.0.0.1:9720` for a mount.
`emberfs up` gives each process of its cluster a port; `emberfs status` shows rates without any of it. Whoever reaches
the address can read, and change nothing. A program that uses the Rust library has the same text by
`emberfs_client::metrics::text()`.

```sh
curl -s http://127.0.0.1:9700/metrics
```

[deploy/prometheus/prometheus.yml](../deploy/prometheus/prometheus.yml) is a sample of what Prometheus is told, and
[deploy/grafana/emberfs.json](../deploy/grafana/emberfs.json) a dashboard to import into Grafana. Counters begin at 0 with
each start of a process. A metric is there from when something was first counted. Labels have few values: a disk's id, a
method's name; clients are told apart up to 64 at a time.

This page is written from the table in `metrics/src/table.rs`: `UPDATE_GOLDEN=1 cargo test --release -p emberfs-metrics`
writes it anew.
";

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for (begin, title) in PARTS {
        write!(page, "\n## {title}\n\n| metric | kind | labels | what it counts |\n")
            .expect("memory");
        page.push_str("| --- | --- | --- | --- |\n");
        for row in TABLE.iter().filter(|row| part_of(row) == Some(*begin)) {
            let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
            let Row { name, kind, help, .. } = row;
            writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", "))
                .expect("memory");
        }
    }
    page
}

fn part_of(row: &Row) -> Option<&'static str> {
    PARTS.iter().map(|(begin, _)| *begin).find(|begin| row.name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_the_table_does() {
        assert!(TABLE.iter().all(|row| part_of(row).is_some()), "a metric is on no part");
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(file, markdown()).expect("written");
        }
        let page = std::fs::read_to_string(file).expect("readable");
        assert!(
            page == markdown(),
            "docs/metrics.md is not as the table: UPDATE_GOLDEN=1 writes it"
        );
    }
}
