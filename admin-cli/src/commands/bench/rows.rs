//! Which benchmarks there are: one table.

use super::mounted::Through;
use super::names::What;
use super::row::{KIB, Load, Row, Unit};
use super::small;

const fn bytes(id: &'static str, what: &'static str, load: Load) -> Row {
    Row { id, what, unit: Unit::Bytes, load }
}

const fn calls(id: &'static str, what: &'static str, load: Load) -> Row {
    Row { id, what, unit: Unit::Calls, load }
}

const fn names(id: &'static str, what: &'static str, name: What, callers: usize) -> Row {
    calls(id, what, Load::Names { what: name, callers })
}

const fn through(id: &'static str, what: &'static str, load: Through) -> Row {
    calls(id, what, Load::Through(load))
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
        "native_rand_read_4k_d16",
        "4 KiB random reads, 16 calls at once",
        Load::RandomRead { size: 4 * KIB, depth: 16 },
    ),
    calls(
        "small_files_write_110k",
        "up to 2,000 new files of 110 KiB, durable, 16 at once, in random order",
        Load::SmallWrite { size: small::BYTES, callers: 16 },
    ),
    calls(
        "small_files_read_110k",
        "2,000 files of 110 KiB opened and read whole, 16 at once, in random order",
        Load::SmallRead { callers: 16 },
    ),
    calls(
        "small_files_write_4k",
        "new files of 4 KiB, durable, one at a time",
        Load::SmallWrite { size: 4 * KIB, callers: 1 },
    ),
    bytes(
        "checkpoint_4x256m",
        "4 new files of 256 MiB at once, synced and renamed",
        Load::Checkpoint,
    ),
    bytes("restore_4x256m", "the 4 files of a checkpoint read at once", Load::Restore),
    names("create_c1", "empty files created and closed, one at a time", What::Create, 1),
    names("create_c4", "empty files created and closed, 4 at once", What::Create, 4),
    names("create_c32", "empty files created and closed, 32 at once", What::Create, 32),
    names("create_c32_apart", "the same, each in one of 32 directories", What::CreateApart, 32),
    names("stat_c4", "attributes by path, 4 at once", What::Stat, 4),
    names("stat_c32", "attributes by path, 32 at once", What::Stat, 32),
    names("open_c32", "files opened for reading and closed, 32 at once", What::Open, 32),
    names("list_100k", "entries of a directory of 100,000 files, with attributes", What::List, 1),
    names("unlink_c32", "files removed, 32 at once", What::Unlink, 32),
    names("rename_c32", "files renamed in their directory, 32 at once", What::Rename, 32),
    names(
        "rmtree_10k",
        "entries of a tree of 10,000 files that one call takes away; their space is free later",
        What::RemoveTree,
        1,
    ),
    bytes(
        "fuse_seq_read_1m_s4",
        "through a mount: 1 MiB reads in order, cold, 4 files at once",
        Load::Through(Through::SequentialRead { threads: 4 }),
    ),
    bytes(
        "fuse_seq_write_1m_s4",
        "through a mount: 1 MiB writes in order, fsync behind each 16 MiB, 4 files at once",
        Load::Through(Through::SequentialWrite { threads: 4 }),
    ),
    through(
        "fuse_rand_read_4k_t16",
        "through a mount: 4 KiB random reads by 16 threads, cold when a slice begins",
        Through::RandomRead { threads: 16 },
    ),
    bytes(
        "fuse_cached_read",
        "through a mount: 1 MiB reads of a file that is in the page cache",
        Load::Through(Through::CachedRead),
    ),
    through(
        "fuse_overwrite_fsync_4k",
        "through a mount: 4 KiB random overwrites, fsync behind each",
        Through::Overwrite,
    ),
    through("fuse_stat_c4", "through a mount: stat by 4 threads", Through::Stat { threads: 4 }),
    through(
        "fuse_create_c4",
        "through a mount: empty files created and closed by 4 threads",
        Through::Create { threads: 4 },
    ),
    through(
        "fuse_untar",
        "through a mount: files of `tar x` of 2,400 files of 4 KiB",
        Through::Untar,
    ),
    through(
        "fuse_small_files_write_110k",
        "through a mount: up to 2,000 new files of 110 KiB, synced, by 16 threads",
        Through::SmallWrite { threads: 16 },
    ),
    through(
        "fuse_small_files_read_110k",
        "through a mount: 2,000 files of 110 KiB opened and read whole by 16 threads",
        Through::SmallRead { threads: 16 },
    ),
];

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
        "Benchmarks:\n{}\nThere are 512 MiB to read and 512 MiB to write over, in files of a new directory \
         /.emberfs-bench-NUMBER that is removed at the end. In slices of a second or less, checkpoints and listings \
         are smaller, which is noted. Those through a mount need --mount.\n\nCACHE: `cold` is read from disks, `warm` \
         from the memory of servers, `none` is durable before it counts.\n\nValues of other machines say nothing about \
         this one, whose disks may swing by factors within a minute. With --limits each row is measured beside what \
         this machine could do at best in the same seconds: limit, value, value, limit. Where both limits differ by \
         more than 15 % that is done again, up to three times, and then noted as noisy. A cluster on other machines \
         has a network between, which this limit has not; but their disks and CPUs as well.",
        lines.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
}
