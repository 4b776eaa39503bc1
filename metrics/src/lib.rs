//! What a process counts of itself: one table of metrics, their handles, and their text for Prometheus.
//!
//! It knows no message, no disk and no kernel: those who work count, by handles that they take once, and whoever
//! listens sends [`text()`]. Counting by a handle is some additions to memory: no
//! lock, no allocation.
//!
//! ```text
//!   table ── with(labels) ──► Counter, Gauge, Histogram ◄── add, set, observe: transport, engine, group, mount
//!     │                              │
//!     ├─ page: docs/metrics.md       ├─ text()     for Prometheus
//!     └─ the sample dashboard        └─ reading    for the process itself: what `emberfs status` shows
//! ```
//!
//! Metrics are the process's, as its log is: several servers in one process, which only tests have, count together.
//!
//! * [`table`]: every metric with its name, its help and its labels. [`metric`]: how one of them is counted.
//! * [`process`]: memory, time and files of the process. [`clients`]: a counter for each client, up to a bound.
//! * [`reading`]: sums, and what part of a time range took how long. [`window`]: its
//!   last seconds. [`page`]: the table as a document.
//!
//! Histograms and text are the `prometheus` crate's: its histograms are two sets of atomic numbers, of which one is
//! read while the other is written. Those of `prometheus-client` take a lock for each observation.
#![forbid(unsafe_code)]

pub mod clients;
pub mod metric;
pub mod page;
pub mod process;
pub mod reading;
pub mod table;
pub mod window;

pub use clients::{ClientCounter, client};
pub use metric::{Counter, Gauge, Histogram, Metric, level, text};
pub use reading::{Distribution, total};
pub use table::TABLE;
