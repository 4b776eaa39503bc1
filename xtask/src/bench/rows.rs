//! Which rows there are, and of which loads they are: two tables.

use super::medium::Medium;

/// What both sides do.
#[derive(Debug)]
pub(super) struct Load {
    /// By which rows name it; of what goes through a mount or has one way only, what `emberfs bench` calls so.
    pub(super) name: &'static str,
    pub(super) by: By,
    pub(super) unit: Unit,
    pub(super) pace: Pace,
    /// Whether it is also run with disks in memory: what moves data, or has a floor, which is judged there.
    pub(super) in_ram: bool,
}

/// How it is done, and by that what its limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By the client library, in the ways that `emberfs bench` calls so, of which the fastest counts. The limit is the
    /// bare pipeline.
    Client(&'static [&'static str], Limit),
    /// Through a mount. The limit is what this does by the client library and the same through a mounted file system
    /// in memory do one after the other: `1 / (1/native + 1/bare)`.
    Mount(&'static str),
    /// Through a mount, from the page cache. The limit is the same in a directory of this machine.
    Cache,
}

/// What `bare-pipeline` is told, each line: kind, size, streams, depth, order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// Of several, a call needs one of each, one after the other: `1 / (1/one + 1/other)`. The first moves the bytes.
    pub(super) lines: &'static [&'static str],
    /// How much of what the value counts each of its calls is.
    pub(super) each: u64,
}

/// For how long it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// There is a floor.
    Floor,
    Usual,
    /// The work is given, not the time: it takes some seconds, and time to prepare.
    Whole,
    /// The same, where it takes much longer.
    Long,
}

/// What is counted in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// 10^6 bytes.
    Bytes,
    Calls,
}

/// What of a load a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// How fast it is.
    Rate,
    /// CPU seconds of the servers for each GiB.
    Cpu,
    /// Resident memory of the largest server, before anything was done.
    Memory,
    /// The most that the largest server ever had, when all was done.
    BusyMemory,
}

/// A row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) load: &'static str,
    pub(super) measure: Measure,
    /// What is wanted on `_ram`: a ratio, or of [`Measure::Memory`] MiB.
    pub(super) floor: Option<Floor>,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Floor {
    /// A ratio at least.
    Ratio(f64),
    /// A ratio at most.
    RatioMost(f64),
    /// A value at least.
    Value(f64),
    /// A value at most.
    ValueMost(f64),
}

const fn load(name: &'static str, by: By, unit: Unit, pace: Pace, in_ram: bool) -> Load {
    Load { name, by, unit, pace, in_ram }
}

const fn rate(id: &'static str, floor: Option<Floor>) -> Row {
    Row { id, load: id, measure: Measure::Rate, floor }
}

/// All loads, in the order in which they are run.
///
/// An entry of the group's log is a few hundred bytes, the attributes of a page of 1024 names 128 KiB. What changes
/// names must be synced by a majority, which an echo is not: its limit is a synced append. A small file of 110 KiB
/// fills 28 blocks of 4 KiB; making it takes two entries of the log, that it is there and how long it is.
pub(super) const LOADS: &[Load] = &[
    load(
        "native_seq_read_1m_s1",
        By::Client(&["native_seq_read_1m_s1"], Limit { lines: &["read 1048576 1 1 seq"], each: 1 }),
        Unit::Bytes,
        Pace::Usual,
        true,
    ),
    load(
        "native_seq_read_1m_s4",
        By::Client(&["native_seq_read_1m_s4"], Limit { lines: &["read 1048576 4 1 seq"], each: 1 }),
        Unit::Bytes,
        Pace::Floor,
        true,
    ),
    load(
        "native_rand_read_4k_d1",
        By::Client(
            &["native_rand_read_4k_d1"],
            Limit { lines: &["read 4096 1 1 random"], each: 1 },
        ),
        Unit::Calls,
        Pace::Usual,
        true,
    ),
    load(
        "native_rand_read_4k_d64",
        By::Client(
            &["native_rand_read_4k_d64", "native_rand_read_4k_d64_batch"],
            Limit { lines: &["read 4096 1 64 random"], each: 1 },
        ),
        Unit::Calls,
        Pace::Floor,
        true,
    ),
    load(
        "native_rand_read_128k_d64",
        By::Client(
            &["native_rand_read_128k_d64", "native_rand_read_128k_d64_batch"],
            Limit { lines: &["read 131072 1 64 random"], each: 1 },
        ),
        Unit::Calls,
        Pace::Usual,
        true,
    ),
    load(
        "native_seq_write_1m_s1",
        By::Client(
            &["native_seq_write_1m_s1"],
            Limit { lines: &["write 1048576 1 1 seq"], each: 1 },
        ),
        Unit::Bytes,
        Pace::Usual,
        true,
    ),
    load(
        "native_seq_write_1m_s4",
        By::Client(
            &["native_seq_write_1m_s4"],
            Limit { lines: &["write 1048576 4 1 seq"], each: 1 },
        ),
        Unit::Bytes,
        Pace::Floor,
        true,
    ),
    load(
        "native_overwrite_4k_d1",
        By::Client(
            &["native_overwrite_4k_d1"],
            Limit { lines: &["write 4096 1 1 random"], each: 1 },
        ),
        Unit::Calls,
        Pace::Usual,
        true,
    ),
    load(
        "native_overwrite_4k_d32",
        By::Client(
            &["native_overwrite_4k_d32"],
            Limit { lines: &["write 4096 1 32 random"], each: 1 },
        ),
        Unit::Calls,
        Pace::Floor,
        true,
    ),
    load(
        "small_files_write_110k",
        By::Client(
            &["small_files_write_110k"],
            Limit {
                lines: &["write 114688 1 16 random", "append 256 1 16 seq", "append 256 1 16 seq"],
                each: 1,
            },
        ),
        Unit::Calls,
        Pace::Usual,
        true,
    ),
    load(
        "small_files_read_110k",
        By::Client(
            &["small_files_read_110k"],
            Limit { lines: &["read 114688 1 16 random", "get 256 1 16 seq"], each: 1 },
        ),
        Unit::Calls,
        Pace::Usual,
        true,
    ),
    load(
        "checkpoint_4x256m",
        By::Client(&["checkpoint_4x256m"], Limit { lines: &["write 1048576 4 1 seq"], each: 1 }),
        Unit::Bytes,
        Pace::Whole,
        true,
    ),
    load(
        "restore_4x256m",
        By::Client(&["restore_4x256m"], Limit { lines: &["read 1048576 4 1 seq"], each: 1 }),
        Unit::Bytes,
        Pace::Whole,
        true,
    ),
    load(
        "create_c1",
        By::Client(&["create_c1"], Limit { lines: &["append 256 1 1 seq"], each: 1 }),
        Unit::Calls,
        Pace::Usual,
        false,
    ),
    load(
        "create_c32",
        By::Client(&["create_c32"], Limit { lines: &["append 256 1 32 seq"], each: 1 }),
        Unit::Calls,
        Pace::Floor,
        true,
    ),
    load(
        "create_c32_apart",
        By::Client(&["create_c32_apart"], Limit { lines: &["append 256 1 32 seq"], each: 1 }),
        Unit::Calls,
        Pace::Usual,
        false,
    ),
    load(
        "stat_c32",
        By::Client(&["stat_c32"], Limit { lines: &["get 256 1 32 seq"], each: 1 }),
        Unit::Calls,
        Pace::Floor,
        true,
    ),
    load(
        "open_c32",
        By::Client(&["open_c32"], Limit { lines: &["get 256 1 32 seq"], each: 1 }),
        Unit::Calls,
        Pace::Usual,
        false,
    ),
    load(
        "list_100k",
        By::Client(&["list_100k"], Limit { lines: &["get 131072 1 1 seq"], each: 1024 }),
        Unit::Calls,
        Pace::Whole,
        false,
    ),
    load(
        "unlink_c32",
        By::Client(&["unlink_c32"], Limit { lines: &["append 256 1 32 seq"], each: 1 }),
        Unit::Calls,
        Pace::Usual,
        false,
    ),
    load(
        "rename_c32",
        By::Client(&["rename_c32"], Limit { lines: &["append 256 1 32 seq"], each: 1 }),
        Unit::Calls,
        Pace::Usual,
        false,
    ),
    load(
        "rmtree_10k",
        By::Client(&["rmtree_10k"], Limit { lines: &["get 256 1 32 seq"], each: 1 }),
        Unit::Calls,
        Pace::Whole,
        false,
    ),
    load("fuse_seq_read_1m_s4", By::Mount("native_seq_read_1m_s4"), Unit::Bytes, Pace::Floor, true),
    load(
        "fuse_seq_write_1m_s4",
        By::Mount("native_seq_write_1m_s4"),
        Unit::Bytes,
        Pace::Floor,
        true,
    ),
    load(
        "fuse_rand_read_4k_t16",
        By::Mount("native_rand_read_4k_d16"),
        Unit::Calls,
        Pace::Usual,
        true,
    ),
    load("fuse_cached_read", By::Cache, Unit::Bytes, Pace::Usual, false),
    load("fuse_stat_c4", By::Mount("stat_c4"), Unit::Calls, Pace::Usual, false),
    load("fuse_create_c4", By::Mount("create_c4"), Unit::Calls, Pace::Usual, false),
    load(
        "fuse_overwrite_fsync_4k",
        By::Mount("native_overwrite_4k_d1"),
        Unit::Calls,
        Pace::Usual,
        true,
    ),
    load("fuse_untar", By::Mount("small_files_write_4k"), Unit::Calls, Pace::Long, false),
    load(
        "fuse_small_files_write_110k",
        By::Mount("small_files_write_110k"),
        Unit::Calls,
        Pace::Usual,
        true,
    ),
    load(
        "fuse_small_files_read_110k",
        By::Mount("small_files_read_110k"),
        Unit::Calls,
        Pace::Usual,
        true,
    ),
];

/// All rows; each whose load is also run in memory stands a second time with `_ram` behind its id.
pub(super) const ROWS: &[Row] = &[
    rate("native_seq_read_1m_s1", None),
    rate("native_seq_read_1m_s4", Some(Floor::Ratio(0.6))),
    rate("native_seq_write_1m_s1", None),
    rate("native_seq_write_1m_s4", Some(Floor::Ratio(0.6))),
    rate("native_rand_read_4k_d1", None),
    rate("native_rand_read_4k_d64", Some(Floor::Ratio(0.4))),
    rate("native_rand_read_128k_d64", None),
    rate("native_overwrite_4k_d1", None),
    rate("native_overwrite_4k_d32", Some(Floor::Ratio(0.3))),
    rate("fuse_seq_read_1m_s4", Some(Floor::Ratio(0.7))),
    rate("fuse_seq_write_1m_s4", Some(Floor::Ratio(0.7))),
    rate("fuse_rand_read_4k_t16", None),
    rate("fuse_cached_read", None),
    rate("small_files_write_110k", None),
    rate("small_files_read_110k", None),
    rate("fuse_small_files_write_110k", None),
    rate("fuse_small_files_read_110k", None),
    rate("checkpoint_4x256m", Some(Floor::Ratio(0.6))),
    rate("restore_4x256m", Some(Floor::Ratio(0.6))),
    rate("create_c1", None),
    rate("create_c32", Some(Floor::Value(3000.0))),
    rate("create_c32_apart", None),
    rate("stat_c32", Some(Floor::Value(20_000.0))),
    rate("open_c32", None),
    rate("list_100k", None),
    rate("unlink_c32", None),
    rate("rename_c32", None),
    rate("rmtree_10k", None),
    rate("fuse_stat_c4", None),
    rate("fuse_create_c4", None),
    rate("fuse_untar", None),
    rate("fuse_overwrite_fsync_4k", None),
    Row {
        id: "cpu_read_gib",
        load: "native_seq_read_1m_s4",
        measure: Measure::Cpu,
        floor: Some(Floor::RatioMost(2.0)),
    },
    Row {
        id: "cpu_write_gib",
        load: "native_seq_write_1m_s4",
        measure: Measure::Cpu,
        floor: Some(Floor::RatioMost(2.0)),
    },
    Row {
        id: "mem_idle_server",
        load: "",
        measure: Measure::Memory,
        floor: Some(Floor::ValueMost(150.0)),
    },
    Row {
        id: "mem_busy_server",
        load: "",
        measure: Measure::BusyMemory,
        floor: Some(Floor::ValueMost(1024.0)),
    },
];

/// What stands behind the id of a row whose disks are in memory.
pub(super) const RAM: &str = "_ram";

/// Whether there is a row of this id.
pub(super) fn is_row(id: &str) -> Result<String, String> {
    let media = [Medium::Disk, Medium::Ram];
    let of = |row: &'static Row| {
        media.into_iter().filter(move |on| row.is_on(*on)).map(move |on| on.id_of(row.id))
    };
    let ids: Vec<String> = ROWS.iter().flat_map(of).collect();
    match ids.iter().any(|known| known == id) {
        true => Ok(id.to_owned()),
        false => Err(format!("there are {}", ids.join(", "))),
    }
}

impl Row {
    /// What it says something of; `None`: of no load.
    pub(super) fn load(&self) -> Option<&'static Load> {
        LOADS.iter().find(|load| load.name == self.load)
    }

    /// Whether it is measured there.
    pub(super) fn is_on(&self, medium: Medium) -> bool {
        medium == Medium::Disk || self.load().is_none_or(|load| load.in_ram)
    }
}

impl Load {
    /// What its limit is told first, if that is the bare pipeline.
    pub(super) fn limit_line(&self) -> &'static str {
        match self.by {
            By::Client(_, limit) => limit.lines[0],
            By::Mount(_) | By::Cache => "",
        }
    }
}

impl Unit {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Bytes => "MB/s",
            Self::Calls => "calls/s",
        }
    }
}

impl Floor {
    /// Whether these are good enough.
    pub(super) fn is_kept(self, value: f64, ratio: Option<f64>) -> bool {
        match self {
            Self::Ratio(least) => ratio.is_some_and(|ratio| ratio >= least),
            Self::RatioMost(most) => ratio.is_some_and(|ratio| ratio <= most),
            Self::Value(least) => value >= least,
            Self::ValueMost(most) => value <= most,
        }
    }

    /// As the table has it.
    pub(super) fn word(self) -> String {
        match self {
            Self::Ratio(least) => format!("ratio {least}"),
            Self::RatioMost(most) => format!("ratio <= {most}"),
            Self::Value(least) => format!("{least}"),
            Self::ValueMost(most) => format!("<= {most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_row_has_an_id_of_its_own_and_a_load() {
        let ids: BTreeSet<_> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), ROWS.len());
        for row in ROWS {
            let is_memory = matches!(row.measure, Measure::Memory | Measure::BusyMemory);
            assert_eq!(row.load().is_some(), !is_memory, "{}", row.id);
            assert!(is_row(row.id).is_ok());
            let in_ram = is_row(&Medium::Ram.id_of(row.id)).is_ok();
            assert_eq!(in_ram, row.is_on(Medium::Ram), "{}", row.id);
            assert!(in_ram || row.floor.is_none(), "{}: floors are judged in memory", row.id);
        }
        assert!(is_row("native").expect_err("no row").contains("stat_c32"));
    }

    #[test]
    fn each_load_is_done_in_some_way_and_has_a_whole_limit() {
        for load in LOADS {
            if let By::Client(ways, limit) = load.by {
                assert!(!ways.is_empty() && !limit.lines.is_empty(), "{}", load.name);
                let is_whole = |line: &&str| line.split(' ').count() == 5;
                assert!(limit.lines.iter().all(is_whole), "{}", load.name);
            }
            assert!(ROWS.iter().any(|row| row.load == load.name), "{}", load.name);
        }
    }

    #[test]
    fn floors_are_least_or_most() {
        assert!(Floor::Ratio(0.6).is_kept(1.0, Some(0.6)));
        assert!(!Floor::Ratio(0.6).is_kept(9.0, None));
        assert!(!Floor::RatioMost(2.0).is_kept(1.0, Some(2.1)));
        assert!(Floor::Value(3000.0).is_kept(3000.0, Some(0.1)));
        assert!(!Floor::ValueMost(150.0).is_kept(151.0, None));
    }
}
