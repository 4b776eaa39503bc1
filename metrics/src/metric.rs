//! One metric: its row of the table, and its counts in this process.
//!
//! A metric enters the text with its first handle. A handle is taken once, where what it counts begins: taking one
//! locks and allocates, using it does not.

use std::sync::{LazyLock, OnceLock};

use prometheus::core::Collector;
use prometheus::{HistogramOpts, Opts, Registry, TextEncoder};

use crate::process;

/// A number that grows.
pub type Counter = prometheus::IntCounter;
/// A number that goes up and down.
pub type Gauge = prometheus::IntGauge;
/// A number with a fraction that grows: seconds of something.
pub type FloatCounter = prometheus::Counter;
/// How often values of which size were seen.
pub type Histogram = prometheus::Histogram;

/// All metrics that have a handle.
static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

/// What a metric is: which handles it gives, and how Prometheus calls it.
pub trait Kind: Clone + Sized + 'static {
    /// The kind, in Prometheus' words.
    const WORD: &'static str;
    /// The handles of one metric, by their labels.
    type Family: Collector + Clone + Send + Sync;

    /// A metric of this kind.
    ///
    /// # Errors
    /// A name or a label that Prometheus does not take.
    fn family(row: &Row) -> prometheus::Result<Self::Family>;

    /// The handle with these labels.
    fn one(family: &Self::Family, values: &[&str]) -> Self;

    /// Forgets the handle with these labels, if there is one.
    fn forget(family: &Self::Family, values: &[&str]);
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Its name, the unit last; counters end with `_total`.
    pub name: &'static str,
    /// What it is, in Prometheus' words.
    pub kind: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// What its values are told apart by.
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram's buckets; empty for others.
    pub buckets: &'static [f64],
}

/// A metric with `N` labels.
pub struct Metric<K: Kind, const N: usize> {
    row: Row,
    family: OnceLock<K::Family>,
}

impl<K: Kind, const N: usize> Metric<K, N> {
    /// For the table.
    pub(crate) const fn new(row: Row) -> Self {
        Self { row, family: OnceLock::new() }
    }

    /// Its row of the table.
    #[must_use]
    pub const fn row(&self) -> &Row {
        &self.row
    }

    /// The handle with these labels, in the order of the row. What they may be is bounded: each set is a line of the
    /// text for as long as the process runs.
    #[must_use]
    pub fn with(&self, values: [&str; N]) -> K {
        K::one(self.family(), &values)
    }

    /// Forgets what was counted with these labels.
    pub(crate) fn forget(&self, values: [&str; N]) {
        K::forget(self.family(), &values);
    }

    pub(crate) fn family(&self) -> &K::Family {
        self.family.get_or_init(|| {
            let family = K::family(&self.row).expect("a test makes every metric");
            let entered = REGISTRY.register(Box::new(family.clone()));
            entered.expect("no two rows of the table have one name");
            family
        })
    }
}

/// A count as a gauge has it: one that is beyond its range is its greatest.
pub fn level(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// What this process has counted, as Prometheus reads it (text format 0.0.4).
#[must_use]
pub fn text() -> String {
    process::look();
    let encoded = TextEncoder::new().encode_to_string(&REGISTRY.gather());
    encoded.expect("a family that is entered has a value")
}

macro_rules! kind {
    ($kind:ty, $word:literal, $family:ty) => {
        impl Kind for $kind {
            const WORD: &'static str = $word;
            type Family = $family;

            fn family(row: &Row) -> prometheus::Result<Self::Family> {
                <$family>::new(Opts::new(row.name, row.help), row.labels)
            }

            fn one(family: &Self::Family, values: &[&str]) -> Self {
                family.with_label_values(values)
            }

            fn forget(family: &Self::Family, values: &[&str]) {
                // It may never have been counted.
                let _absent = family.remove_label_values(values);
            }
        }
    };
}

kind!(Counter, "counter", prometheus::IntCounterVec);
kind!(FloatCounter, "counter", prometheus::CounterVec);
kind!(Gauge, "gauge", prometheus::IntGaugeVec);

impl Kind for Histogram {
    const WORD: &'static str = "histogram";
    type Family = prometheus::HistogramVec;

    fn family(row: &Row) -> prometheus::Result<Self::Family> {
        let options = HistogramOpts::new(row.name, row.help).buckets(row.buckets.to_vec());
        prometheus::HistogramVec::new(options, row.labels)
    }

    fn one(family: &Self::Family, values: &[&str]) -> Self {
        family.with_label_values(values)
    }

    fn forget(family: &Self::Family, values: &[&str]) {
        let _absent = family.remove_label_values(values);
    }
}

impl<K: Kind, const N: usize> std::fmt::Debug for Metric<K, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Metric").field(&self.row.name).finish()
    }
}
