//! Which rows there are: one table of loads, and what else is said of them.
//!
//! What a load does and what its limit is `emberfs bench` says, which knows it by the same name.

use super::medium::Medium;

/// What both sides do: a benchmark of `emberfs bench`, and a row.
#[derive(Debug)]
pub(super) struct Load {
    /// What `emberfs bench` calls it.
    pub(super) name: &'static str,
    /// Another way to do the same, of which the faster counts.
    pub(super) other: Option<&'static str>,
    pub(super) pace: Pace,
    /// Whether it is also run with disks in memory: what moves data, or has a floor, which is judged there.
    pub(super) in_ram: bool,
    pub(super) floor: Option<Floor>,
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
    /// How long a storage server takes to start that has very many chunks.
    Start,
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) id: &'static str,
    /// Of which load it says something; `None`: of none.
    pub(super) load: Option<&'static Load>,
    pub(super) measure: Measure,
    /// What is wanted on `_ram`.
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

const DISK: bool = false;
const BOTH: bool = true;

const fn load(name: &'static str, pace: Pace, in_ram: bool) -> Load {
    Load { name, other: None, pace, in_ram, floor: None }
}

impl Load {
    const fn floor(self, floor: Floor) -> Self {
        Self { floor: Some(floor), ..self }
    }

    const fn or(self, other: &'static str) -> Self {
        Self { other: Some(other), ..self }
    }
}

/// All loads, in the order in which they are run.
pub(super) const LOADS: &[Load] = &[
    load("native_seq_read_1m_s1", Pace::Usual, BOTH),
    load("native_seq_read_1m_s4", Pace::Floor, BOTH).floor(Floor::Ratio(0.6)),
    load("native_rand_read_4k_d1", Pace::Usual, BOTH),
    load("native_rand_read_4k_d64", Pace::Floor, BOTH)
        .or("native_rand_read_4k_d64_batch")
        .floor(Floor::Ratio(0.4)),
    load("native_rand_read_128k_d64", Pace::Usual, BOTH).or("native_rand_read_128k_d64_batch"),
    load("native_seq_write_1m_s1", Pace::Usual, BOTH),
    load("native_seq_write_1m_s4", Pace::Floor, BOTH).floor(Floor::Ratio(0.6)),
    load("native_overwrite_4k_d1", Pace::Usual, BOTH),
    load("native_overwrite_4k_d32", Pace::Floor, BOTH).floor(Floor::Ratio(0.3)),
    load("small_files_write_110k", Pace::Usual, BOTH),
    load("small_files_read_110k", Pace::Usual, BOTH),
    load("checkpoint_4x256m", Pace::Whole, BOTH).floor(Floor::Ratio(0.6)),
    load("restore_4x256m", Pace::Whole, BOTH).floor(Floor::Ratio(0.6)),
    load("create_c1", Pace::Usual, DISK),
    load("create_c32", Pace::Floor, BOTH).floor(Floor::Value(3000.0)),
    load("create_c32_apart", Pace::Usual, DISK),
    load("stat_c32", Pace::Floor, BOTH).floor(Floor::Value(20_000.0)),
    load("open_c32", Pace::Usual, DISK),
    load("list_100k", Pace::Whole, DISK),
    load("unlink_c32", Pace::Usual, DISK),
    load("rename_c32", Pace::Usual, DISK),
    load("rmtree_10k", Pace::Whole, DISK),
    load("fuse_seq_read_1m_s4", Pace::Floor, BOTH).floor(Floor::Ratio(0.7)),
    load("fuse_seq_write_1m_s4", Pace::Floor, BOTH).floor(Floor::Ratio(0.7)),
    load("fuse_rand_read_4k_t16", Pace::Usual, BOTH),
    load("fuse_cached_read", Pace::Usual, DISK),
    load("fuse_stat_c4", Pace::Usual, DISK),
    load("fuse_create_c4", Pace::Usual, DISK),
    load("fuse_overwrite_fsync_4k", Pace::Usual, BOTH),
    load("fuse_untar", Pace::Long, DISK),
    load("fuse_small_files_write_110k", Pace::Usual, BOTH),
    load("fuse_small_files_read_110k", Pace::Usual, BOTH),
];

/// What else is said: id, load, measure, floor.
const MORE: &[(&str, &str, Measure, Floor)] = &[
    ("cpu_read_gib", "native_seq_read_1m_s4", Measure::Cpu, Floor::RatioMost(2.0)),
    ("cpu_write_gib", "native_seq_write_1m_s4", Measure::Cpu, Floor::RatioMost(2.0)),
    ("mem_idle_server", "", Measure::Memory, Floor::ValueMost(150.0)),
    ("mem_busy_server", "", Measure::BusyMemory, Floor::ValueMost(1024.0)),
    ("start_1m_chunks", "", Measure::Start, Floor::ValueMost(10.0)),
];

/// All rows; each that is also measured in memory stands a second time with `_ram` behind its id.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    let rates = LOADS.iter().map(|load| {
        let Load { name: id, floor, .. } = *load;
        Row { id, load: Some(load), measure: Measure::Rate, floor }
    });
    let more = MORE.iter().map(|(id, of, measure, floor)| {
        let load = LOADS.iter().find(|load| load.name == *of);
        Row { id, load, measure: *measure, floor: Some(*floor) }
    });
    rates.chain(more)
}

/// What stands behind the id of a row whose disks are in memory.
pub(super) const RAM: &str = "_ram";

/// Whether there is a row of this id.
pub(super) fn is_row(id: &str) -> Result<String, String> {
    let media = [Medium::Disk, Medium::Ram];
    let of = |row: Row| {
        media.into_iter().filter(move |on| row.is_on(*on)).map(move |on| on.id_of(row.id))
    };
    let ids: Vec<String> = rows().flat_map(of).collect();
    match ids.iter().any(|known| known == id) {
        true => Ok(id.to_owned()),
        false => Err(format!("there are {}", ids.join(", "))),
    }
}

impl Row {
    /// Whether it says something of this load.
    pub(super) fn is_of(&self, load: &Load) -> bool {
        self.load.is_some_and(|of| of.name == load.name)
    }

    /// Whether it is measured there.
    pub(super) fn is_on(&self, medium: Medium) -> bool {
        match (self.measure, medium) {
            // Making so many chunks writes 4 GiB in blocks of 4 KiB.
            (Measure::Start, Medium::Disk) => false,
            (_, Medium::Disk) => true,
            (_, Medium::Ram) => self.load.is_none_or(|load| load.in_ram),
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
    fn each_row_has_an_id_of_its_own_and_floors_are_judged_in_memory() {
        let ids: BTreeSet<_> = rows().map(|row| row.id).collect();
        assert_eq!(ids.len(), rows().count());
        for row in rows() {
            let is_of_load = matches!(row.measure, Measure::Rate | Measure::Cpu);
            assert_eq!(row.load.is_some(), is_of_load, "{}", row.id);
            let id = |medium: Medium| is_row(&medium.id_of(row.id)).is_ok();
            assert_eq!(id(Medium::Disk), row.is_on(Medium::Disk), "{}", row.id);
            assert_eq!(id(Medium::Ram), row.is_on(Medium::Ram), "{}", row.id);
            assert!(id(Medium::Ram) || row.floor.is_none(), "{}", row.id);
        }
        assert!(is_row("native").expect_err("no row").contains("stat_c32"));
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
