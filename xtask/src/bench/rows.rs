//! Which rows there are, and of which loads they are: two tables.

/// What both sides do.
#[derive(Debug)]
pub(super) struct Load {
    /// By which rows name it.
    pub(super) name: &'static str,
    pub(super) by: By,
    /// What `bare-pipeline` is told: kind, size, streams, depth, order.
    pub(super) limit: &'static str,
    pub(super) unit: Unit,
}

/// How it is done, and by that what its limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By the client library, in the ways that `emberfs bench` calls so, of which the fastest counts. The limit is the
    /// bare pipeline.
    Client(&'static [&'static str]),
    /// Through a mount. The limit is what this does by the client library and a mounted file system in memory do one
    /// after the other: `1 / (1/native + 1/bare)`.
    Mount(&'static str),
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

const fn load(
    name: &'static str,
    ways: &'static [&'static str],
    limit: &'static str,
    unit: Unit,
) -> Load {
    Load { name, by: By::Client(ways), limit, unit }
}

const fn mount(name: &'static str, native: &'static str, limit: &'static str) -> Load {
    Load { name, by: By::Mount(native), limit, unit: Unit::Bytes }
}

const fn rate(id: &'static str, floor: Option<Floor>) -> Row {
    Row { id, load: id, measure: Measure::Rate, floor }
}

/// All loads, in the order in which they are run.
pub(super) const LOADS: &[Load] = &[
    load("native_seq_read_1m_s1", &["native_seq_read_1m_s1"], "read 1048576 1 1 seq", Unit::Bytes),
    load("native_seq_read_1m_s4", &["native_seq_read_1m_s4"], "read 1048576 4 1 seq", Unit::Bytes),
    load(
        "native_rand_read_4k_d1",
        &["native_rand_read_4k_d1"],
        "read 4096 1 1 random",
        Unit::Calls,
    ),
    load(
        "native_rand_read_4k_d64",
        &["native_rand_read_4k_d64", "native_rand_read_4k_d64_batch"],
        "read 4096 1 64 random",
        Unit::Calls,
    ),
    load(
        "native_rand_read_128k_d64",
        &["native_rand_read_128k_d64", "native_rand_read_128k_d64_batch"],
        "read 131072 1 64 random",
        Unit::Calls,
    ),
    load(
        "native_seq_write_1m_s1",
        &["native_seq_write_1m_s1"],
        "write 1048576 1 1 seq",
        Unit::Bytes,
    ),
    load(
        "native_seq_write_1m_s4",
        &["native_seq_write_1m_s4"],
        "write 1048576 4 1 seq",
        Unit::Bytes,
    ),
    load(
        "native_overwrite_4k_d1",
        &["native_overwrite_4k_d1"],
        "write 4096 1 1 random",
        Unit::Calls,
    ),
    load(
        "native_overwrite_4k_d32",
        &["native_overwrite_4k_d32"],
        "write 4096 1 32 random",
        Unit::Calls,
    ),
    mount("fuse_seq_read_1m_s4", "native_seq_read_1m_s4", "read 1048576 4 1 seq"),
    mount("fuse_seq_write_1m_s4", "native_seq_write_1m_s4", "write 1048576 4 1 seq"),
    // An entry of the group's log is a few hundred bytes.
    load("create_c1", &["create_c1"], "append 256 1 1 seq", Unit::Calls),
    load("create_c32", &["create_c32"], "append 256 1 32 seq", Unit::Calls),
    // The two warm gets cost microseconds, and are left out of the limit.
    load("stat_c32", &["stat_c32"], "echo 256 1 32 seq", Unit::Calls),
];

/// All rows; each stands a second time with `_ram` behind its id.
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
    rate("create_c1", None),
    rate("create_c32", Some(Floor::Value(3000.0))),
    rate("stat_c32", Some(Floor::Value(20_000.0))),
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
];

/// What stands behind the id of a row whose disks are in memory.
pub(super) const RAM: &str = "_ram";

/// Whether there is a row of this id.
pub(super) fn is_row(id: &str) -> Result<String, String> {
    let bare = id.strip_suffix(RAM).unwrap_or(id);
    if ROWS.iter().any(|row| row.id == bare) {
        return Ok(id.to_owned());
    }
    let ids: Vec<_> = ROWS.iter().map(|row| row.id).collect();
    Err(format!("there are {}, and each with {RAM} behind it", ids.join(", ")))
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
            let has_load = LOADS.iter().any(|load| load.name == row.load);
            assert_eq!(has_load, row.measure != Measure::Memory, "{}", row.id);
            assert!(is_row(row.id).is_ok() && is_row(&format!("{}{RAM}", row.id)).is_ok());
        }
        assert!(is_row("native").expect_err("no row").contains("stat_c32"));
    }

    #[test]
    fn each_load_is_done_in_some_way_and_has_a_whole_limit() {
        for load in LOADS {
            assert_ne!(load.by, By::Client(&[]), "{}", load.name);
            assert_eq!(load.limit.split(' ').count(), 5, "{}", load.name);
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
