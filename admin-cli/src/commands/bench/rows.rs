//! Which benchmarks there are: one table.

use super::slice::Slice;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// One benchmark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// What it is called, here and in the table of `cargo xtask bench`.
    pub(super) id: &'static str,
    pub(super) what: &'static str,
    pub(super) unit: Unit,
    pub(super) load: Load,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// 10^6 bytes a second.
    Bytes,
    /// Calls a second.
    Calls,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Each stream reads a file of its own in order, one call at a time.
    SequentialRead { streams: usize },
    /// Each stream writes a file of its own in order, one call at a time.
    SequentialWrite { streams: usize },
    /// So many calls under way, anywhere in the files.
    RandomRead { size: usize, depth: usize },
    /// One `read_batch` of so many ranges after the other.
    RandomBatch { size: usize, depth: usize },
    /// So many calls under way, anywhere in a file that is there.
    Overwrite { depth: usize },
    /// So many at a time create an empty file each, and close it.
    Create { callers: usize },
    /// So many at a time ask for the attributes of a file by its path.
    Stat { callers: usize },
}

const fn bytes(id: &'static str, what: &'static str, load: Load) -> Row {
    Row { id, what, unit: Unit::Bytes, load }
}

const fn calls(id: &'static str, what: &'static str, load: Load) -> Row {
    Row { id, what, unit: Unit::Calls, load }
}

/// All of them.
pub(super) const ROWS: &[Row] = &[
    bytes("native_seq_read_1m_s1", "1 MiB reads in order", Load::SequentialRead { streams: 1 }),
    bytes(
        "native_seq_read_1m_s4",
        "1 MiB reads in order, 4 files at once",
        Load::SequentialRead { streams: 4 },
    ),
    bytes(
        "native_seq_write_1m_s1",
        "1 MiB durable writes in order",
        Load::SequentialWrite { streams: 1 },
    ),
    bytes(
        "native_seq_write_1m_s4",
        "1 MiB durable writes in order, 4 files at once",
        Load::SequentialWrite { streams: 4 },
    ),
    calls(
        "native_rand_read_4k_d1",
        "4 KiB random reads, one at a time",
        Load::RandomRead { size: 4 * KIB, depth: 1 },
    ),
    calls(
        "native_rand_read_4k_d64",
        "4 KiB random reads, 64 calls at once",
        Load::RandomRead { size: 4 * KIB, depth: 64 },
    ),
    calls(
        "native_rand_read_4k_d64_batch",
        "4 KiB random reads, 64 in one read_batch",
        Load::RandomBatch { size: 4 * KIB, depth: 64 },
    ),
    calls(
        "native_rand_read_128k_d64",
        "128 KiB random reads, 64 calls at once",
        Load::RandomRead { size: 128 * KIB, depth: 64 },
    ),
    calls(
        "native_rand_read_128k_d64_batch",
        "128 KiB random reads, 64 in one read_batch",
        Load::RandomBatch { size: 128 * KIB, depth: 64 },
    ),
    calls(
        "native_overwrite_4k_d1",
        "4 KiB durable random overwrites, one at a time",
        Load::Overwrite { depth: 1 },
    ),
    calls(
        "native_overwrite_4k_d32",
        "4 KiB durable random overwrites, 32 at once",
        Load::Overwrite { depth: 32 },
    ),
    calls(
        "create_c1",
        "empty files created and closed, one at a time",
        Load::Create { callers: 1 },
    ),
    calls("create_c32", "empty files created and closed, 32 at once", Load::Create { callers: 32 }),
    calls("stat_c32", "attributes by path, 32 at once", Load::Stat { callers: 32 }),
];

/// How much one call of a sequential load moves.
pub(super) const SEQUENTIAL_BYTES: usize = MIB;
/// How much an overwrite moves.
pub(super) const OVERWRITE_BYTES: usize = 4 * KIB;

impl Unit {
    /// What came of a slice.
    pub(super) fn value(self, slice: &Slice) -> f64 {
        let count = match self {
            Self::Bytes => slice.bytes as f64 / 1e6,
            Self::Calls => slice.calls() as f64,
        };
        count / slice.time.as_secs_f64()
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Bytes => "MB/s",
            Self::Calls => "calls/s",
        }
    }
}

/// Whether there is one of this id.
pub(crate) fn is_row(id: &str) -> Result<String, String> {
    match ROWS.iter().any(|row| row.id == id) {
        true => Ok(id.to_owned()),
        false => Err("the help of this command names all".to_owned()),
    }
}

/// All of them, for the help.
pub(crate) fn help() -> String {
    let width = ROWS.iter().map(|row| row.id.len()).max().unwrap_or(0);
    let lines =
        ROWS.iter().map(|row| format!("  {:width$}  {} ({})\n", row.id, row.what, row.unit.word()));
    format!(
        "Benchmarks:\n{}\nEach has 512 MiB to read and 512 MiB to write over, in files of a new directory \
         /.emberfs-bench-NUMBER that is removed at the end. Values of other machines say nothing about this \
         one: compare runs on one machine, one after the other.",
        lines.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_are_different_words_and_the_help_has_all() {
        let ids: BTreeSet<_> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), ROWS.len());
        for row in ROWS {
            assert!(!row.id.contains(' ') && help().contains(row.what), "{}", row.id);
            assert!(is_row(row.id).is_ok());
        }
        assert!(is_row("native").is_err());
    }

    #[test]
    fn a_value_is_by_time() {
        let slice = Slice { bytes: 4_000_000, time: Duration::from_secs(2), took_us: vec![1; 6] };
        assert!((Unit::Bytes.value(&slice) - 2.0).abs() < 1e-9);
        assert!((Unit::Calls.value(&slice) - 3.0).abs() < 1e-9);
    }
}
