//! Tables for named clusters and for any.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU8;

use emberfs_layout::{DiskId, NodeId};
use emberfs_wire::cluster::DomainId;
use proptest::prelude::*;

use super::evenness::Span;
use super::{Disk, Evenness, PlacementError, Plan, Replicas, place};

fn replicas(count: u8) -> Replicas {
    Replicas(NonZeroU8::new(count).expect("at least one"))
}

/// Disks by node: each node is its own domain.
fn cluster(nodes: &[usize], slots: u16) -> Vec<Disk> {
    let domains: Vec<u32> = (0..).take(nodes.len()).collect();
    racks(&nodes.iter().copied().zip(domains).collect::<Vec<_>>(), slots)
}

/// Disks by node: (number of disks, domain).
fn racks(nodes: &[(usize, u32)], slots: u16) -> Vec<Disk> {
    let mut disks = Vec::new();
    for (node, (count, domain)) in (0..).zip(nodes) {
        for _ in 0..*count {
            let id = DiskId(disks.len() as u128);
            disks.push(Disk { id, node: NodeId(node), domain: DomainId(*domain), slots });
        }
    }
    disks
}

fn planned(disks: &[Disk], count: u8) -> (Plan, Evenness) {
    let plan = place(disks, replicas(count)).expect("there is a table");
    let evenness = Evenness::of(&plan, disks);
    (plan, evenness)
}

fn exactly(count: u32) -> Span {
    Span { min: count, max: count }
}

#[test]
fn seven_disks_with_three_slots_make_a_fano_plane() {
    let (plan, evenness) = planned(&cluster(&[1; 7], 3), 3);
    assert_eq!(plan.chains.len(), 7);
    assert_eq!(evenness.shared, exactly(1), "a perfect design exists: {evenness}");
    assert_eq!((evenness.heads, evenness.tails), (exactly(1), exactly(1)));
    assert!((evenness.recovery - 1.0).abs() < 1e-9);
}

#[test]
fn three_nodes_with_two_disks() {
    let (plan, evenness) = planned(&cluster(&[2; 3], 4), 3);
    assert_eq!((plan.chains.len(), plan.unused), (8, 0));
    assert_eq!((evenness.chains, evenness.shared), (exactly(4), exactly(2)));
}

#[test]
fn six_nodes_are_as_even_as_numbers_allow() {
    let (plan, evenness) = planned(&cluster(&[1; 6], 4), 3);
    assert_eq!((plan.chains.len(), plan.unused), (8, 0));
    assert_eq!(evenness.shared, Span { min: 1, max: 2 }, "24 meetings of 15 pairs");
}

#[test]
fn a_laptop_is_one_disk_with_one_replica() {
    let (plan, evenness) = planned(&cluster(&[1], 4), 1);
    assert_eq!((plan.chains.len(), plan.unused), (4, 0));
    assert_eq!(evenness.heads, exactly(4));
}

#[test]
fn a_rack_larger_than_all_others_leaves_slots_unused() {
    let disks = racks(&[(8, 0), (8, 0), (2, 1), (2, 2)], 4);
    let (plan, evenness) = planned(&disks, 3);
    assert_eq!((plan.chains.len(), plan.unused), (8, 56));
    assert!(evenness.chains.max <= 4);
}

#[test]
fn a_hundred_nodes_spread_the_load_of_a_dead_disk() {
    let (plan, evenness) = planned(&cluster(&[8; 100], 4), 3);
    assert_eq!((plan.chains.len(), plan.unused), (1066, 2));
    // Eight others each take an eighth of a dead disk's chains: nobody meets it twice.
    assert_eq!(evenness.shared, Span { min: 0, max: 1 });
    assert!((evenness.recovery - 1.0).abs() < 1e-9, "{evenness}");
    assert!(evenness.heads.max - evenness.heads.min <= 1, "{evenness}");
    assert!(evenness.tails.max <= 2, "{evenness}");
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let two = cluster(&[4, 4], 4);
    let error = place(&two, replicas(3)).expect_err("two domains");
    assert_eq!(error, PlacementError::TooFewDomains { replicas: 3, domains: 2 });
    let mut twice = two.clone();
    twice.push(two[0]);
    let error = place(&twice, replicas(2)).expect_err("twice");
    assert_eq!(error, PlacementError::ListedTwice { disk: DiskId(0) });
    let mut split = two;
    split[1].domain = DomainId(9);
    let error = place(&split, replicas(2)).expect_err("split");
    assert_eq!(error, PlacementError::SplitNode { node: NodeId(0) });
    assert!(place(&[], replicas(1)).is_err());
}

#[test]
fn a_report_reads_as_words() {
    let (_, evenness) = planned(&cluster(&[2; 3], 4), 3);
    let text = "a disk is in 4 chains, head of 1 to 2, tail of 1 to 2\n\
                two disks of different domains share 2 chains\n\
                when a disk dies, the busiest other takes over 1.00 times an even share";
    assert_eq!(evenness.to_string(), text);
}

/// Whether a plan keeps the rules: members in different domains, each slot once, no more slots than a disk has, and
/// none left over that would make one more chain.
fn check(disks: &[Disk], count: u8, plan: &Plan) -> Result<(), TestCaseError> {
    let mut taken = BTreeSet::new();
    let of = |id| disks.iter().find(|disk| disk.id == id).expect("one of them");
    for chain in &plan.chains {
        let domains: BTreeSet<_> = chain.iter().map(|m| of(m.disk).domain).collect();
        prop_assert_eq!(domains.len(), usize::from(count));
        prop_assert_eq!(chain.len(), usize::from(count));
        prop_assert!(chain.iter().all(|member| taken.insert(*member)), "a slot taken twice");
    }
    prop_assert!(taken.iter().all(|member| member.slot < of(member.disk).slots));
    let offered: usize = disks.iter().map(|d| usize::from(d.slots)).sum();
    prop_assert_eq!(offered - taken.len(), plan.unused as usize);
    let mut left: BTreeMap<DomainId, usize> = BTreeMap::new();
    for disk in disks {
        let used = taken.iter().filter(|member| member.disk == disk.id).count();
        *left.entry(disk.domain).or_default() += usize::from(disk.slots) - used;
    }
    let open = left.values().filter(|left| **left > 0).count();
    prop_assert!(open < usize::from(count), "room for another chain: {left:?}");
    Ok(())
}

/// Clusters as they grow: 1 to 12 nodes, each with 1 to 5 disks of 1 to 6 free targets, alone or in few domains.
fn odd_cluster() -> impl Strategy<Value = Vec<Disk>> {
    let node = (prop::collection::vec(1_u16..=6, 1..=5), 0_u32..4);
    (prop::collection::vec(node, 1..=12), any::<bool>()).prop_map(|(nodes, alone)| {
        let mut disks = Vec::new();
        for (node, (slots, rack)) in (0..).zip(nodes) {
            let domain = DomainId(if alone { node } else { rack });
            for slots in slots {
                let id = DiskId(disks.len() as u128);
                disks.push(Disk { id, node: NodeId(node), domain, slots });
            }
        }
        disks
    })
}

/// Any cluster: nodes with 0 to 6 disks in 1 to 8 domains.
fn any_cluster() -> impl Strategy<Value = Vec<Disk>> {
    let nodes = prop::collection::vec((0_usize..6, 0_u32..8), 1..14);
    (nodes, 0_u16..5).prop_map(|(nodes, slots)| racks(&nodes, slots))
}

proptest! {
    #[test]
    fn every_table_keeps_the_rules(disks in any_cluster(), count in 1_u8..5) {
        let Ok(plan) = place(&disks, replicas(count)) else { return Ok(()) };
        check(&disks, count, &plan)?;
        prop_assert_eq!(place(&disks, replicas(count)), Ok(plan));
    }

    /// Whatever the numbers are, there is a table, or it is said what is missing.
    #[test]
    fn odd_numbers_make_a_table_or_are_told_what_is_missing(
        disks in odd_cluster(),
        count in 1_u8..=5,
    ) {
        let domains: BTreeSet<DomainId> = disks.iter().map(|disk| disk.domain).collect();
        let domains = domains.len();
        match place(&disks, replicas(count)) {
            Ok(plan) => {
                prop_assert!(domains >= usize::from(count) && !plan.chains.is_empty());
                check(&disks, count, &plan)?;
            }
            Err(error) => {
                let wanted = PlacementError::TooFewDomains { replicas: count, domains };
                prop_assert_eq!(error, wanted);
                prop_assert!(domains < usize::from(count));
                let words = format!("{count} replicas need as many failure domains with disks, there are {domains}");
                prop_assert!(error.to_string().contains(&words), "{}", error);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Where all nodes are alike, fewer slots are left over than one chain takes, no disk has two
    /// chains more than another, and no pair meets more than once too often.
    #[test]
    fn alike_nodes_are_loaded_alike(nodes in 3_usize..12, disks in 1_usize..5, count in 1_u8..4) {
        let disks = cluster(&vec![disks; nodes], 4);
        let (plan, evenness) = planned(&disks, count);
        prop_assert!(plan.unused < u32::from(count));
        prop_assert!(evenness.chains.max - evenness.chains.min <= 1, "{}", evenness);
        prop_assert!(evenness.heads.max - evenness.heads.min <= 1, "{}", evenness);
        prop_assert!(evenness.shared.max - evenness.shared.min <= 2, "{}", evenness);
    }
}
