//! One chain as a whole: how its members stand, whose turn it is, what it becomes.

use emberfs_layout::{ChainVersion, TargetId};
use emberfs_wire::cluster::PublicState::{LastServing, Offline, Serving, Syncing, Waiting};
use emberfs_wire::cluster::{Chain, ChainMember, Hindrance, LocalState, PublicState, TargetReport};

use super::leases::Life;
use super::table::{Outlook, Standing, becomes, row_of};

/// What the leader knows of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberFacts {
    /// Whether its server answers.
    pub life: Life,
    /// Whether its server started anew since the member got its present state, and its latest start was heard
    /// of by this leader: only then is the one before surely gone.
    pub restarted: bool,
    /// What its server reported last, under its latest start and to this leader; `None`: nothing yet. A
    /// server reports a target that it should have and lacks as [`LocalState::Offline`].
    pub report: Option<TargetReport>,
}

/// The chain as it is to become, its version one more; `None` if it stays as it is. `facts` are of its
/// members, in their order. While `tail_first`, only the tail of the last serving set may serve again.
///
/// # Panics
/// When there are not as many facts as members.
#[must_use]
pub fn next(chain: &Chain, facts: &[MemberFacts], tail_first: bool) -> Option<Chain> {
    assert_eq!(chain.members.len(), facts.len(), "facts of each member of {}", chain.id);
    let (stands, outlook) = look(chain, facts, tail_first);
    let step = |(member, stands): (&ChainMember, &Standing)| ChainMember {
        state: becomes(member.state, *stands, outlook),
        ..*member
    };
    let mut members: Vec<ChainMember> = chain.members.iter().zip(&stands).map(step).collect();
    members.sort_by_key(|member| rank(member.state)); // keeps the order of those in one state
    if members == chain.members {
        return None;
    }
    let next = Chain { version: chain.version.next(), members, ..chain.clone() };
    debug_assert!(well_formed(&next) || !well_formed(chain), "{chain:?} became {next:?}");
    Some(next)
}

/// The row of the table that [`next`] goes by, of each member.
pub(super) fn rows(chain: &Chain, facts: &[MemberFacts], tail_first: bool) -> Vec<usize> {
    let (stands, outlook) = look(chain, facts, tail_first);
    let pairs = chain.members.iter().zip(stands);
    pairs.filter_map(|(member, stands)| row_of(member.state, stands, outlook)).collect()
}

/// The members that served and do not any more: their servers get no lease until they hear of it.
pub fn served_before(old: &Chain, new: &Chain) -> impl Iterator<Item = TargetId> {
    let serving = |chain: &Chain| {
        let members = chain.members.iter().filter(|member| member.state == Serving);
        members.map(|member| member.target).collect::<Vec<_>>()
    };
    let still = serving(new);
    serving(old).into_iter().filter(move |target| !still.contains(target))
}

/// Whether the members' states fit together: serving ones first, then at most one that syncs, then all
/// others; where none serves, at least one was among the last to.
#[must_use]
pub fn well_formed(chain: &Chain) -> bool {
    let count = |state| chain.members.iter().filter(|member| member.state == state).count();
    let (served, last) = (count(Serving) > 0, count(LastServing) > 0);
    chain.members.is_sorted_by_key(|member| rank(member.state))
        && served != last
        && count(Syncing) <= usize::from(served)
}

/// How the members stand, and what becomes of the chain.
pub(super) fn look(
    chain: &Chain,
    facts: &[MemberFacts],
    tail_first: bool,
) -> (Vec<Standing>, Outlook) {
    let states: Vec<PublicState> = chain.members.iter().map(|member| member.state).collect();
    let pairs = states.iter().zip(facts);
    let mut stands: Vec<Standing> =
        pairs.map(|(state, facts)| standing(*state, facts, chain.version)).collect();

    // A serving member that lacks something goes if another does not; else it is the best there is.
    let here = |i: usize| states[i] == Serving && stands[i] == Standing::Here;
    let lacks = |i: usize| reports(&facts[i], LocalState::Online, chain.version);
    let (lacking, whole): (Vec<usize>, Vec<usize>) =
        (0..states.len()).filter(|i| here(*i)).partition(|i| lacks(*i));
    if !whole.is_empty() {
        lacking.iter().for_each(|i| stands[*i] = Standing::Behind);
    }

    let full: Vec<bool> = facts.iter().map(lacks_room).collect();
    if let Some(turn) = turn(&states, &stands, &full, tail_first) {
        stands[turn] = Standing::Turn;
        let gives_way = (0..states.len()).filter(|i| states[*i] == Syncing && *i != turn);
        gives_way.for_each(|i| stands[i] = Standing::Full);
    }
    let any = |state, stand| states.iter().zip(&stands).any(|pair| pair == (&state, &stand));
    let outlook = if any(Serving, Standing::Here) || any(LastServing, Standing::Turn) {
        Outlook::Served
    } else if any(Serving, Standing::Silent) {
        Outlook::Doubtful
    } else {
        Outlook::Lost
    };
    (stands, outlook)
}

fn standing(state: PublicState, facts: &MemberFacts, version: ChainVersion) -> Standing {
    let active = matches!(state, Serving | Syncing);
    match facts.report {
        _ if facts.life == Life::Lapsed => Standing::Away,
        Some(report) if report.state == LocalState::Offline => Standing::Away,
        Some(_) if facts.restarted && active => Standing::Behind,
        None if facts.restarted && active => Standing::Away,
        None => Standing::Silent,
        Some(_) if facts.life == Life::Silent => Standing::Silent,
        Some(_) if state == Syncing && reports(facts, LocalState::UpToDate, version) => {
            Standing::Complete
        }
        Some(_) => Standing::Here,
    }
}

/// Whether a member reported this state under the chain's present version: what it said under an earlier one
/// was of another role.
fn reports(facts: &MemberFacts, state: LocalState, version: ChainVersion) -> bool {
    facts.report.is_some_and(|report| report.state == state && report.chain == version)
}

/// Whether it says that it has no room for what it missed.
fn lacks_room(facts: &MemberFacts) -> bool {
    facts.report.is_some_and(|report| report.hindrance == Some(Hindrance::NoRoom))
}

/// Whose turn it is to serve again, or to sync: one that is not `full` before one that is, also if that syncs
/// already.
fn turn(
    states: &[PublicState],
    stands: &[Standing],
    full: &[bool],
    tail_first: bool,
) -> Option<usize> {
    let here = |i: &usize| stands[*i] == Standing::Here;
    let of = |wanted: &'static [PublicState]| {
        let places = states.iter().enumerate().filter(move |(_, state)| wanted.contains(state));
        places.map(|(i, _)| i)
    };
    if of(&[Serving]).next().is_none() {
        // From the tail on, and no further while it is waited for.
        let candidates = if tail_first { 1 } else { states.len() };
        return of(&[LastServing]).rev().take(candidates).find(here);
    }
    let led = of(&[Serving]).any(|i| here(&i));
    let mut others = of(&[Waiting, Offline]).filter(|i| led && here(i));
    let has_room = others.clone().find(|i| !full[*i]);
    match of(&[Syncing]).next() {
        None => has_room.or_else(|| others.next()),
        Some(syncing) => has_room.filter(|_| here(&syncing) && full[syncing]),
    }
}

fn rank(state: PublicState) -> u8 {
    match state {
        Serving => 0,
        Syncing => 1,
        Waiting => 2,
        LastServing => 3,
        Offline => 4,
    }
}
