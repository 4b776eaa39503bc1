//! Chains of which not all replicas serve: how bad that is, and for whom they wait.

use emberfs_client::{Chain, ChainMember, LocalState, PublicState, TargetReport};
use emberfs_layout::TargetId;

use super::{Picture, Problem, Verdict};

/// A chain of which not all replicas serve.
pub(super) struct Broken<'a> {
    chain: &'a Chain,
    verdict: Verdict,
    /// Members that do not serve.
    lacking: Vec<&'a ChainMember>,
}

impl<'a> Picture<'a> {
    /// A member serves if the leader lets it, and its server, perhaps started a moment ago, says that it does.
    pub(super) fn broken(self, chain: &'a Chain) -> Option<Broken<'a>> {
        let serves = |member: &&ChainMember| {
            let report = self.report(member.target);
            let up_to_date = report.is_some_and(|report| report.state == LocalState::UpToDate);
            member.state == PublicState::Serving && up_to_date
        };
        let lacking: Vec<_> = chain.members.iter().filter(|member| !serves(member)).collect();
        let serving = chain.members.len() - lacking.len();
        let verdict = match serving < usize::from(chain.min_serving).max(1) {
            true => Verdict::Unavailable,
            false => Verdict::Degraded,
        };
        (!lacking.is_empty()).then_some(Broken { chain, verdict, lacking })
    }

    pub(super) fn of_chain(self, broken: &Broken<'_>) -> Problem {
        let Broken { chain, verdict, lacking } = broken;
        let (all, least) = (chain.members.len(), chain.min_serving);
        let serving = all - lacking.len();
        let serve = match (serving, all) {
            (0, 1) => "its only replica does not serve".to_owned(),
            (0, _) => format!("none of {all} replicas serves"),
            (1, _) => format!("1 of {all} replicas serves"),
            _ => format!("{serving} of {all} replicas serve"),
        };
        let effect = match (serving, verdict) {
            (0, _) => format!(", reads and writes wait for {}", self.awaited(chain)),
            (_, Verdict::Unavailable) => {
                format!(", writes wait for {least}: {}", self.ways(lacking))
            }
            _ => format!(", {}", self.ways(lacking)),
        };
        // Without room, or what to copy, time alone brings nobody back; whoever is copied from may say so.
        let hindered = |member: &ChainMember| {
            self.report(member.target).is_some_and(|report| report.hindrance.is_some())
        };
        let stuck = lacking.iter().all(|member| self.is_stuck(member.target));
        let passes = !stuck && !chain.members.iter().any(hindered);
        let text = format!("{}: {serve}{effect}", chain.id);
        Problem { verdict: *verdict, passes, text, remedy: None }
    }

    /// For whom a chain waits of which nobody serves: of those that served last the tail comes first.
    fn awaited(self, chain: &Chain) -> String {
        let names = |state| {
            let members = chain.members.iter().filter(move |member| member.state == state);
            members.map(|member| self.name(member.target)).collect::<Vec<_>>()
        };
        match names(PublicState::LastServing).as_slice() {
            [] => format!("{}, which starts or is gone", names(PublicState::Serving).join(" or ")),
            [only] => format!("{only}, which alone has all that was written"),
            [others @ .., tail] => {
                format!("{tail}, its tail, and after a minute for {}", others.join(" or "))
            }
        }
    }

    /// How each of these members stands.
    fn ways(self, lacking: &[&ChainMember]) -> String {
        let way = |member: &&ChainMember| {
            let way = match member.state {
                PublicState::Serving => "starts, or is gone",
                PublicState::Syncing => "is being brought up to date",
                PublicState::Waiting => "waits to be brought up to date",
                PublicState::LastServing | PublicState::Offline => "is away",
            };
            format!("{} {way}", self.name(member.target))
        };
        lacking.iter().map(way).collect::<Vec<_>>().join(", ")
    }

    /// Whether this member cannot serve again by itself: there is no disk for it that could be read.
    fn is_stuck(self, target: TargetId) -> bool {
        let unusable = |report: &TargetReport| report.state == LocalState::Offline;
        let lost = self.disk(target).is_some_and(|disk| self.is_lost(disk));
        lost || self.report(target).is_some_and(unusable)
    }
}

/// How bad it is that these members do not serve.
pub(super) fn worst(broken: &[Broken<'_>], is_its: impl Fn(TargetId) -> bool) -> Verdict {
    let its = |broken: &&Broken<'_>| broken.lacking.iter().any(|member| is_its(member.target));
    let worst = broken.iter().filter(its).map(|broken| broken.verdict).max();
    worst.unwrap_or(Verdict::Degraded)
}
