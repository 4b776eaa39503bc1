//! How even a table is.

use std::collections::BTreeMap;
use std::fmt;

use emberfs_layout::DiskId;
use emberfs_wire::cluster::DomainId;

use super::{Disk, Plan};

/// The least and the most of something over all disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The least.
    pub min: u32,
    /// The most.
    pub max: u32,
}

/// What a table asks of its disks.
#[derive(Clone, Debug, PartialEq)]
pub struct Evenness {
    /// Chains a disk is in.
    pub chains: Span,
    /// Chains a disk is head of.
    pub heads: Span,
    /// Chains a disk is tail of.
    pub tails: Span,
    /// Chains that two disks of different domains share.
    pub shared: Span,
    /// When the worst disk dies: the chains whose load the busiest other one takes over, against the
    /// same number spread evenly over all disks of other domains, in whole chains. 1 is ideal.
    pub recovery: f64,
}

impl Evenness {
    /// Measures `plan` over the disks it was made for.
    ///
    /// # Panics
    /// When the plan names a disk that is not among `disks`.
    #[must_use]
    pub fn of(plan: &Plan, disks: &[Disk]) -> Self {
        let places: BTreeMap<DiskId, usize> =
            disks.iter().enumerate().map(|(place, disk)| (disk.id, place)).collect();
        let place = |disk: DiskId| *places.get(&disk).expect("the plan is over these disks");
        let chains: Vec<Vec<usize>> =
            plan.chains.iter().map(|c| c.iter().map(|m| place(m.disk)).collect()).collect();
        let domains: Vec<DomainId> = disks.iter().map(|disk| disk.domain).collect();
        let count = |of: &dyn Fn(&[usize]) -> Vec<usize>| {
            let mut counts = vec![0; disks.len()];
            chains.iter().flat_map(|c| of(c)).for_each(|disk| counts[disk] += 1);
            span(counts)
        };
        let (shared, recovery) = meetings(&chains, &domains);
        Self {
            chains: count(&|chain| chain.to_vec()),
            heads: count(&|chain| chain[..1].to_vec()),
            tails: count(&|chain| chain[chain.len() - 1..].to_vec()),
            shared,
            recovery,
        }
    }
}

/// The span of how often two disks meet, and the worst recovery.
fn meetings(chains: &[Vec<usize>], domains: &[DomainId]) -> (Span, f64) {
    let mut lowest_highest: Option<Span> = None;
    let mut worst: f64 = 1.0;
    let mut of_disk: Vec<Vec<&[usize]>> = vec![Vec::new(); domains.len()];
    for chain in chains {
        chain.iter().for_each(|disk| of_disk[*disk].push(chain));
    }
    for (disk, domain) in domains.iter().enumerate() {
        let mut met = vec![0_u32; domains.len()];
        let others = of_disk[disk].iter().flat_map(|chain| chain.iter());
        others.for_each(|other| met[*other] += 1);
        let apart: Vec<u32> =
            (0..domains.len()).filter(|o| domains[*o] != *domain).map(|o| met[o]).collect();
        let total: u32 = apart.iter().sum();
        if total > 0 {
            let own = span(apart.iter().copied());
            let all = lowest_highest.get_or_insert(own);
            *all = Span { min: all.min.min(own.min), max: all.max.max(own.max) };
            let disks = u32::try_from(apart.len()).unwrap_or(u32::MAX);
            let ideal = f64::from(total.div_ceil(disks));
            worst = worst.max(f64::from(own.max) / ideal);
        }
    }
    (lowest_highest.unwrap_or(Span { min: 0, max: 0 }), worst)
}

fn span(counts: impl IntoIterator<Item = u32>) -> Span {
    let start = Span { min: u32::MAX, max: 0 };
    let wide = |s: Span, c: u32| Span { min: s.min.min(c), max: s.max.max(c) };
    let span = counts.into_iter().fold(start, wide);
    Span { min: span.min.min(span.max), max: span.max }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{} to {}", self.min, self.max)
        }
    }
}

impl fmt::Display for Evenness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chains, heads, tails, shared, recovery } = self;
        writeln!(f, "a disk is in {chains} chains, head of {heads}, tail of {tails}")?;
        writeln!(f, "two disks of different domains share {shared} chains")?;
        write!(
            f,
            "when a disk dies, the busiest other takes over {recovery:.2} times an even share"
        )
    }
}
