//! Every metric of every process, once: the text, `docs/metrics.md` and the sample dashboard are held against it.
//!
//! Names are `emberfs_`, what it is about, what is counted, the unit. Labels have few values: methods, kinds, disks,
//! never files or users. `process_…` are those that Prometheus' own libraries have.

use crate::metric::{Counter, FloatCounter, Gauge, Histogram, Kind, Metric, Row};

/// Of a latency, in seconds: from a warm read on loopback to what somebody waits for in vain.
const LATENCY: &[f64] = &[
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
    2.0, 5.0, 10.0,
];
/// Of how many go together.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

macro_rules! metrics {
    ($(
        $(#[doc = $help:literal])+
        $id:ident: $kind:ident = $name:literal [$($label:literal),*] $(in $buckets:ident)?;
    )*) => {
        $(
            $(#[doc = $help])+
            pub static $id: Metric<$kind, { <[&str]>::len(&[$($label),*]) }> = Metric::new(Row {
                name: $name,
                kind: <$kind as Kind>::WORD,
                help: concat!($($help),+).trim_ascii(),
                labels: &[$($label),*],
                buckets: metrics!(@buckets $($buckets)?),
            });
        )*

        /// All of them.
        pub static TABLE: &[&Row] = &[$($id.row()),*];

        /// Counts each of them once: what has no name for Prometheus panics here.
        #[cfg(test)]
        pub(crate) fn touch() {
            $(let _one = $id.with([$(metrics!(@any $label)),*]);)*
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
    (@any $label:literal) => { "any" };
}

metrics! {
    /// 1; the labels say what was built.
    BUILD: Gauge = "emberfs_build_info" ["version"];

    /// Requests that came, by method and by what asked: client, storage or meta.
    RPC_REQUESTS: Counter = "emberfs_rpc_requests_total" ["method", "peer"];
    /// Requests that were answered with a failure, by the reaction that it asks for.
    RPC_ERRORS: Counter = "emberfs_rpc_errors_total" ["method", "kind"];
    /// From when a request was read to when its answer was ready to be sent.
    RPC_SECONDS: Histogram = "emberfs_rpc_seconds" ["method"] in LATENCY;
    /// Bytes of requests that were read: messages and payloads.
    RPC_RECEIVED_BYTES: Counter = "emberfs_rpc_received_bytes_total" ["method", "peer"];
    /// Bytes of answers: messages and payloads.
    RPC_SENT_BYTES: Counter = "emberfs_rpc_sent_bytes_total" ["method", "peer"];
    /// Requests that are being answered.
    RPC_OPEN: Gauge = "emberfs_rpc_open_requests" [];
    /// Connections that stand, by what is at the other end: client, storage or meta.
    RPC_CONNECTIONS: Gauge = "emberfs_rpc_connections" ["peer"];
    /// Requests of each client, by the number of its session (as in `emberfs client list`); what comes from more
    /// clients than are told apart is counted as `other`.
    RPC_CLIENT_REQUESTS: Counter = "emberfs_rpc_client_requests_total" ["client"];

    /// Requests that this process made of others, by method.
    CALLS: Counter = "emberfs_call_requests_total" ["method"];
    /// Requests of this process that failed: by the reaction that the failure asks for, or as `deadline`, `closed`,
    /// `too_large`, `unreadable`.
    CALL_ERRORS: Counter = "emberfs_call_errors_total" ["method", "kind"];
    /// From when a request was asked for, waiting for a free place included, to its answer.
    CALL_SECONDS: Histogram = "emberfs_call_seconds" ["method"] in LATENCY;
    /// Bytes of requests that were sent: messages and payloads.
    CALL_SENT_BYTES: Counter = "emberfs_call_sent_bytes_total" ["method"];
    /// Bytes of their answers: messages and payloads.
    CALL_RECEIVED_BYTES: Counter = "emberfs_call_received_bytes_total" ["method"];
    /// Requests of this process that wait for their answers.
    CALLS_OPEN: Gauge = "emberfs_call_open_requests" [];

    /// Reads of the data file, each of one chunk's blocks.
    DISK_READ_SECONDS: Histogram = "emberfs_disk_read_seconds" ["disk"] in LATENCY;
    /// Bytes read from the data file.
    DISK_READ_BYTES: Counter = "emberfs_disk_read_bytes_total" ["disk"];
    /// Writes of the data file, before their sync.
    DISK_WRITE_SECONDS: Histogram = "emberfs_disk_write_seconds" ["disk"] in LATENCY;
    /// Bytes written to the data file.
    DISK_WRITTEN_BYTES: Counter = "emberfs_disk_written_bytes_total" ["disk"];
    /// How long a group of changes took to be durable: the data's sync and the records' batch.
    DISK_SYNC_SECONDS: Histogram = "emberfs_disk_sync_seconds" ["disk"] in LATENCY;
    /// Changes that somebody waited for in one such group.
    DISK_SYNC_GROUP: Histogram = "emberfs_disk_sync_group_size" ["disk"] in COUNTS;
    /// Changes that wait for the next group.
    DISK_QUEUE: Gauge = "emberfs_disk_queue_depth" ["disk"];
    /// Blocks that did not have their checksums when they were read, as chunks, since the start.
    DISK_DAMAGED: Gauge = "emberfs_disk_damaged_chunks" ["disk"];
    /// Chunks in the index.
    DISK_CHUNKS: Gauge = "emberfs_disk_chunks" ["disk"];
    /// Memory of the index: 64 bytes for each chunk.
    DISK_INDEX_BYTES: Gauge = "emberfs_disk_index_bytes" ["disk"];
    /// Pieces of chunks' maps in the cache.
    DISK_PIECES: Gauge = "emberfs_disk_cached_pieces" ["disk"];
    /// Bytes that chunks may take.
    DISK_CAPACITY_BYTES: Gauge = "emberfs_disk_capacity_bytes" ["disk"];
    /// Bytes that chunks take.
    DISK_USED_BYTES: Gauge = "emberfs_disk_used_bytes" ["disk"];
    /// Bytes that its file system has left.
    DISK_ROOM_BYTES: Gauge = "emberfs_disk_file_system_free_bytes" ["disk"];

    /// Memory of buffers, by shard and by what it is for (clients, replicas, disks) and whether it is in_use or kept.
    POOL_BYTES: Gauge = "emberfs_pool_bytes" ["shard", "pool", "state"];

    /// The term that this member is in.
    META_TERM: Gauge = "emberfs_meta_term" [];
    /// 1 while this member leads.
    META_LEADS: Gauge = "emberfs_meta_leader" [];
    /// Up to where the log is committed, as far as this member knows.
    META_COMMITTED: Gauge = "emberfs_meta_committed_index" [];
    /// Up to where it is applied.
    META_APPLIED: Gauge = "emberfs_meta_applied_index" [];
    /// Bytes of entries in the log.
    META_LOG_BYTES: Gauge = "emberfs_meta_log_bytes" [];
    /// Orders that wait to be put into an entry.
    META_QUEUE: Gauge = "emberfs_meta_queue_depth" [];
    /// Orders in one entry, which share its sync.
    META_GROUP: Histogram = "emberfs_meta_sync_group_size" [] in COUNTS;
    /// How long the log took to take in and sync what waited.
    META_SYNC_SECONDS: Histogram = "emberfs_meta_sync_seconds" [] in LATENCY;
    /// How long entries that were committed together took to be applied.
    META_APPLY_SECONDS: Histogram = "emberfs_meta_apply_seconds" [] in LATENCY;
    /// Clients' sessions that live; of the leader.
    META_SESSIONS: Gauge = "emberfs_meta_sessions" [];
    /// Storage servers that may serve, as far as the leader knows.
    META_LEASES: Gauge = "emberfs_meta_storage_leases" [];

    /// The kernel's requests, from when they were read to when they were answered, by the name of the call.
    FUSE_SECONDS: Histogram = "emberfs_fuse_seconds" ["call"] in LATENCY;
    /// The kernel's requests that were answered with an errno.
    FUSE_ERRORS: Counter = "emberfs_fuse_errors_total" ["call", "errno"];
    /// The kernel's requests that are being answered.
    FUSE_OPEN: Gauge = "emberfs_fuse_open_requests" [];
    /// Files that are open on the mount.
    FUSE_FILES: Gauge = "emberfs_fuse_open_files" [];
    /// Bytes that the mount has gathered and no server has yet.
    FUSE_GATHERED_BYTES: Gauge = "emberfs_fuse_gathered_bytes" [];

    /// Time on processors, user and system.
    PROCESS_CPU: FloatCounter = "process_cpu_seconds_total" [];
    /// Memory that is resident.
    PROCESS_RESIDENT: Gauge = "process_resident_memory_bytes" [];
    /// Memory that is mapped.
    PROCESS_VIRTUAL: Gauge = "process_virtual_memory_bytes" [];
    /// File descriptors that are open.
    PROCESS_FILES: Gauge = "process_open_fds" [];
    /// How many may be.
    PROCESS_FILES_MAX: Gauge = "process_max_fds" [];
    /// Threads.
    PROCESS_THREADS: Gauge = "process_threads" [];
    /// When the process first looked at itself, in seconds since 1970.
    PROCESS_START: Gauge = "process_start_time_seconds" [];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metric::text;

    #[test]
    fn names_are_those_of_prometheus_and_each_has_help() {
        let mut names = BTreeSet::new();
        for row in TABLE {
            let Row { name, kind, help, .. } = row;
            assert!(names.insert(*name), "{name} stands there twice");
            assert!(help.len() > 5 || *name == BUILD.row().name, "{name}: {help}");
            assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
            assert_eq!(*kind == "histogram", !row.buckets.is_empty(), "{name}");
            assert!(name.starts_with("emberfs_") || name.starts_with("process_"), "{name}");
            assert!(row.buckets.is_sorted(), "{name}");
        }
    }

    #[test]
    fn every_metric_can_be_counted_and_shown() {
        touch();
        let text = text();
        for row in TABLE {
            let line = format!("# TYPE {} {}\n", row.name, row.kind);
            assert!(text.contains(&line), "{line}");
            assert!(text.contains(&format!("# HELP {} ", row.name)), "{}", row.name);
        }
    }
}
