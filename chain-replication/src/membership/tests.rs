//! The table row by row, the chain as a whole, leases and outages.

use std::collections::BTreeSet;

use emberfs_layout::{ChainId, ChainVersion, NodeId, TargetId};
use emberfs_wire::cluster::PublicState::{LastServing, Offline, Serving, Syncing, Waiting};
use emberfs_wire::cluster::{Chain, ChainMember, Hindrance, LocalState, PublicState, TargetReport};

use super::chain::look;
use super::table::{Outlook, ROWS, Standing, row_of};
use super::{
    LeaseTerm, Leases, Life, MemberFacts, Outages, TAIL_FIRST_MS, next, served_before, well_formed,
};
use crate::target::Millis;

const VERSION: ChainVersion = ChainVersion(7);

fn state_of(letter: char) -> PublicState {
    match letter {
        'S' => Serving,
        'Y' => Syncing,
        'W' => Waiting,
        'L' => LastServing,
        'O' => Offline,
        _ => panic!("no state {letter}"),
    }
}

fn letter_of(state: PublicState) -> char {
    match state {
        Serving => 'S',
        Syncing => 'Y',
        Waiting => 'W',
        LastServing => 'L',
        Offline => 'O',
    }
}

/// `+` there and complete, `-` there and lacking something, `~` there with a report of an earlier version,
/// `?` silent, `n` nothing reported yet, `x` lapsed, `d` its disk failed, `r` restarted and back, `b` restarted and
/// not back yet, `f` there, and without room for what it lacks.
fn facts_of(letter: char, target: TargetId) -> MemberFacts {
    let hindrance = (letter == 'f').then_some(Hindrance::NoRoom);
    let report = |state| Some(TargetReport { target, state, chain: VERSION, hindrance });
    let (state, chain) = (LocalState::UpToDate, ChainVersion(6));
    let stale = TargetReport { target, state, chain, hindrance };
    let (life, restarted, report) = match letter {
        '+' => (Life::Alive, false, report(LocalState::UpToDate)),
        '-' | 'f' => (Life::Alive, false, report(LocalState::Online)),
        '~' => (Life::Alive, false, Some(stale)),
        '?' => (Life::Silent, false, report(LocalState::UpToDate)),
        'n' => (Life::Alive, false, None),
        'x' => (Life::Lapsed, false, report(LocalState::UpToDate)),
        'd' => (Life::Alive, false, report(LocalState::Offline)),
        'r' => (Life::Alive, true, report(LocalState::UpToDate)),
        'b' => (Life::Silent, true, None),
        _ => panic!("no facts {letter}"),
    };
    MemberFacts { life, restarted, report }
}

/// Members such as `S+`, numbered from 0.
fn picture(text: &str) -> (Chain, Vec<MemberFacts>) {
    let (mut members, mut facts) = (Vec::new(), Vec::new());
    for (number, word) in (0..).zip(text.split_whitespace()) {
        let mut letters = word.chars();
        let target = TargetId(number);
        let state = state_of(letters.next().expect("a state"));
        members.push(ChainMember { target, state });
        facts.push(facts_of(letters.next().expect("facts"), target));
    }
    (Chain { id: ChainId(1), version: VERSION, members, min_serving: 1 }, facts)
}

/// What a chain becomes, such as `S0 Y2 O1`.
fn becomes(text: &str, tail_first: bool) -> String {
    let (chain, facts) = picture(text);
    let Some(next) = next(&chain, &facts, tail_first) else { return "stays".to_owned() };
    assert_eq!(next.version, VERSION.next());
    assert!(well_formed(&next), "{text} became {next:?}");
    let word = |member: &ChainMember| format!("{}{}", letter_of(member.state), member.target.get());
    next.members.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A chain, how its members stand, and what it becomes while the tail is waited for.
const CASES: &[(&str, &str)] = &[
    // Serving.
    ("S+ S+ S+", "stays"),
    ("S+ S? S~", "stays"),
    ("S+ Sn", "stays"),
    ("S+ Sx S+", "S0 S2 O1"),
    ("S+ Sd", "S0 O1"),
    ("S+ Sr", "S0 W1"),
    ("S+ Sb", "S0 O1"),
    ("Sr S+ S-", "S1 W0 W2"),
    ("S- S- Sx", "S0 S1 O2"),
    ("S? Sx Sr", "stays"),
    ("Sn Sx", "stays"),
    ("Sx Sx Sx", "L0 L1 L2"),
    ("Sx Sr Wx", "L0 L1 O2"),
    ("Sr Sr Sr", "L0 L1 L2"),
    ("Sb Sr W+", "W2 L0 L1"),
    // Last serving: the tail's turn.
    ("L+ L+ L+", "S2 W0 W1"),
    ("Lx L+ L-", "S2 W1 O0"),
    ("L? L+ L~", "S2 W1 O0"),
    ("L+ L+ Lx", "stays"),
    ("L+ Ld", "stays"),
    ("L+ Ln", "stays"),
    ("Lr", "S0"),
    ("Lb Ox", "stays"),
    ("W+ L+ Lx", "stays"),
    // Syncing.
    ("S+ Y-", "stays"),
    ("S+ Y~", "stays"),
    ("S+ Y+", "S0 S1"),
    ("S? Y+", "stays"),
    ("S+ S+ Y?", "stays"),
    ("S+ Yr", "S0 W1"),
    ("S+ Yx", "S0 O1"),
    ("Sx Y+", "W1 L0"),
    ("Sx Y-", "W1 L0"),
    ("Sx Yx", "L0 O1"),
    ("S? Yr", "S0 W1"),
    ("Sx Sx Y? W+", "W2 W3 L0 L1"),
    // Without room, it gives way to one that may have it, and only to such a one.
    ("S+ Yf", "stays"),
    ("S+ Yf W-", "S0 Y2 W1"),
    ("S+ Yf O-", "S0 Y2 W1"),
    ("S+ Yf Wf W?", "stays"),
    ("S? Yf W-", "stays"),
    ("S+ Wf W-", "S0 Y2 W1"),
    ("S+ Wf Wx", "S0 Y1 O2"),
    // All others, one at a time.
    ("S+ W+", "S0 Y1"),
    ("S+ Or", "S0 Y1"),
    ("S+ O~ O+", "S0 Y1 W2"),
    ("S+ Y- O+ Wx", "S0 Y1 W2 O3"),
    ("S+ Y+ W+", "S0 S1 W2"),
    ("S+ W? O?", "stays"),
    ("S? W+", "stays"),
    ("S? O+", "S0 W1"),
    ("S+ Wd On", "S0 O1 O2"),
];

#[test]
fn each_case_becomes_what_it_should() {
    for (chain, wanted) in CASES {
        assert_eq!(becomes(chain, true), *wanted, "{chain}");
    }
}

#[test]
fn each_row_is_shown_by_a_case() {
    let mut used = BTreeSet::new();
    for (text, _) in CASES {
        let (chain, facts) = picture(text);
        let (stands, outlook) = look(&chain, &facts, true);
        for (member, stands) in chain.members.iter().zip(stands) {
            used.extend(row_of(member.state, stands, outlook));
        }
    }
    let unused: Vec<usize> = (0..ROWS.len()).filter(|row| !used.contains(row)).collect();
    assert_eq!(unused, [0; 0], "rows that no case shows");
}

#[test]
fn exactly_one_row_fits_each_combination() {
    for was in [Serving, Syncing, Waiting, LastServing, Offline] {
        let stands: &[Standing] = match was {
            Serving => &[Standing::Here, Standing::Behind, Standing::Silent, Standing::Away],
            Syncing => &[
                Standing::Here,
                Standing::Complete,
                Standing::Behind,
                Standing::Silent,
                Standing::Away,
            ],
            _ => &[Standing::Here, Standing::Silent, Standing::Away],
        };
        for stands in stands {
            for outlook in [Outlook::Served, Outlook::Doubtful, Outlook::Lost] {
                let fits = ROWS.iter().filter(|row| {
                    let is = row.was.contains(&was) && row.stands.contains(stands);
                    is && row.outlook.contains(&outlook)
                });
                assert_eq!(fits.count(), 1, "{was:?} {stands:?} {outlook:?}");
            }
        }
    }
}

/// The promises of the module's head, of every chain of up to four members however they stand.
#[test]
fn no_chain_breaks_a_promise() {
    let words: Vec<(char, char)> = "SYWLO"
        .chars()
        .flat_map(|state| "+-~?nxdrbf".chars().map(move |facts| (state, facts)))
        .collect();
    for len in 1..=3 {
        for number in 0..words.len().pow(len) {
            let word = |i| words[number / words.len().pow(i) % words.len()];
            let text: Vec<String> =
                (0..len).map(|i| format!("{}{}", word(i).0, word(i).1)).collect();
            hold_promises(&text.join(" "));
        }
    }
}

fn hold_promises(text: &str) {
    let (chain, facts) = picture(text);
    if !well_formed(&chain) {
        return;
    }
    for tail_first in [true, false] {
        let Some(new) = next(&chain, &facts, tail_first) else { continue };
        assert!(well_formed(&new), "{text} became {new:?}");
        let was = |target: TargetId| (chain.members[target.get() as usize].state, target);
        for member in new.members.iter().filter(|member| member.state == Serving) {
            let (before, target) = was(member.target);
            let facts = facts[target.get() as usize];
            let complete = facts.report.is_some_and(|report| {
                report.state == LocalState::UpToDate && report.chain == chain.version
            });
            let may = match before {
                Serving | LastServing => true,
                Syncing => complete && !facts.restarted,
                Waiting | Offline => false,
            };
            assert!(may, "{text}: {target} must not serve");
        }
        let left: Vec<TargetId> = served_before(&chain, &new).collect();
        let stay = new.members.iter().any(|m| m.state == Serving && was(m.target).0 == Serving);
        let all_last = left.iter().all(|target| {
            new.members.iter().any(|m| m.target == *target && m.state == LastServing)
        });
        assert!(left.is_empty() || stay || all_last, "{text}: the last serving gave way");
    }
}

#[test]
fn when_the_tail_stays_away_the_nearest_to_it_serves() {
    assert_eq!(becomes("L+ L+ Lx", false), "S1 W0 O2");
    assert_eq!(becomes("L+ Lx Ld", false), "S0 O1 O2");
    assert_eq!(becomes("L+ L? L+", false), "S2 W0 O1", "the tail is first all the same");
    assert_eq!(becomes("W+ Lx L?", false), "stays", "a stale one never");
}

#[test]
fn the_tail_is_waited_for_from_when_nobody_serves() {
    let mut outages = Outages::default();
    let (serving, lost) = (picture("S+ Lx").0, picture("L+ Lx").0);
    assert!(outages.tail_first(&serving, Millis(5)));
    assert!(outages.tail_first(&lost, Millis(100)));
    assert!(outages.tail_first(&lost, Millis(99 + TAIL_FIRST_MS)));
    assert!(!outages.tail_first(&lost, Millis(100 + TAIL_FIRST_MS)));
    assert!(outages.tail_first(&serving, Millis(101 + TAIL_FIRST_MS)));
    assert!(outages.tail_first(&lost, Millis(102 + TAIL_FIRST_MS)), "another outage");
}

#[test]
fn a_server_lapses_a_term_after_it_was_last_answered() {
    let term = LeaseTerm::new(1_000).expect("long enough");
    let (node, silent) = (NodeId(1), NodeId(2));
    let mut leases = Leases::new(Millis(50), term);
    assert_eq!(leases.life(node, Millis(50)), Life::Silent, "a new leader has heard nobody");
    assert_eq!(leases.answer(node, true, Millis(700)), 500);
    let life = |node, now| leases.life(node, Millis(now));
    assert_eq!(life(node, 1_199), Life::Alive);
    assert_eq!(life(node, 1_200), Life::Silent);
    assert_eq!(life(node, 1_699), Life::Silent);
    assert_eq!(life(node, 1_700), Life::Lapsed);
    assert_eq!(life(silent, 1_049), Life::Silent);
    assert_eq!(life(silent, 1_050), Life::Lapsed, "counted from the election");
    assert_eq!(leases.answered_ms_ago(node, Millis(800)), Some(100));
    assert_eq!(leases.answered_ms_ago(silent, Millis(800)), None);
}

#[test]
fn no_lease_goes_with_a_change_that_the_server_has_not_heard_of() {
    let mut leases = Leases::new(Millis(0), LeaseTerm::DEFAULT);
    let node = NodeId(1);
    assert_eq!(leases.answer(node, false, Millis(1)), 0, "half of the routing");
    leases.hold(ChainId(1), [node, NodeId(2)]);
    leases.hold(ChainId(2), [node]);
    assert_eq!(leases.answer(node, true, Millis(2)), 0);
    assert_eq!(leases.answer(NodeId(3), true, Millis(2)), 1_500);
    leases.release(ChainId(1));
    assert_eq!(leases.answer(node, true, Millis(3)), 0);
    leases.release(ChainId(2));
    assert_eq!(leases.answer(node, true, Millis(4)), 1_500);
    assert_eq!(LeaseTerm::new(1), None);
}

#[test]
fn a_leader_with_another_lease_waits_for_what_leaders_before_granted() {
    let (long, short) =
        (LeaseTerm::new(6_000).expect("long"), LeaseTerm::new(2_000).expect("long"));
    let (one, two) = (NodeId(1), NodeId(2));
    let life = |leases: &Leases, node, ms: u64| leases.life(node, Millis(100 + ms));
    let mut leases = Leases::new(Millis(100), short).after(long);
    assert_eq!(leases.answer(one, true, Millis(200)), 1_000, "it grants by its own");
    assert_eq!(life(&leases, two, 5_999), Life::Silent);
    assert_eq!(life(&leases, one, 5_999), Life::Silent, "it may have a longer one from before");
    assert_eq!(life(&leases, two, 6_000), Life::Lapsed);
    assert_eq!(life(&leases, one, 6_000), Life::Lapsed);
    assert_eq!(leases.counted(Millis(6_099)), long);
    assert_eq!(leases.counted(Millis(6_100)), short);
    leases.answer(one, true, Millis(6_100));
    assert_eq!(life(&leases, one, 7_999), Life::Silent);
    assert_eq!(life(&leases, one, 8_000), Life::Lapsed);
    // One that grants by more waits for its own.
    let mut leases = Leases::new(Millis(100), long).after(short);
    assert_eq!(leases.answer(one, true, Millis(3_100)), 3_000);
    assert_eq!(life(&leases, two, 5_999), Life::Silent);
    assert_eq!(life(&leases, two, 6_000), Life::Lapsed);
    assert_eq!(life(&leases, one, 8_999), Life::Silent);
    assert_eq!(life(&leases, one, 9_000), Life::Lapsed);
    assert_eq!(leases.counted(Millis(100)), long);
}
