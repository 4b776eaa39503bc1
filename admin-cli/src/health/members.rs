//! The members of the metadata group, each asked for itself: who answers, who leads, and how bad it is.

use std::collections::BTreeMap;

use emberfs_client::{Abstention, GetMemberReply, Index, MemberAnswer, MemberId};
use emberfs_client_fuse_mounts::counted;

use super::{Problem, Verdict};

/// What to do about a member that is away.
const START: &str = "start it on its machine; of a cluster on this machine `emberfs up` does";
/// What to do about one that the leader does not hear.
const REACH: &str = "see whether they reach each other";

/// All members, as far as any of them was heard.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) members: Vec<Member>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Member {
    /// Unknown where no member answers.
    pub(crate) id: Option<MemberId>,
    pub(crate) address: String,
    /// Its answer, or why there is none.
    pub(crate) answer: Result<GetMemberReply, String>,
}

impl Group {
    /// From the answers of all that could be asked.
    pub(crate) fn of(answers: Vec<MemberAnswer>) -> Self {
        let mut listed = BTreeMap::new();
        for MemberAnswer { address, answer } in &answers {
            let Ok(answer) = answer else { continue };
            // One that is alone is told no address of its own.
            listed.entry(answer.member).or_insert_with(|| address.to_string());
            for member in answer.members.iter().filter(|member| !member.address.is_empty()) {
                listed.insert(member.member, member.address.clone());
            }
        }
        let why = |at: &str| {
            let here = answers.iter().find(|answer| answer.address.to_string() == at);
            let why = here.and_then(|answer| answer.answer.as_ref().err());
            why.cloned().unwrap_or_else(|| "no way to it is known".to_owned())
        };
        if listed.is_empty() {
            let member = |MemberAnswer { address, answer }| Member {
                id: None,
                address: address.to_string(),
                answer,
            };
            return Self { members: answers.into_iter().map(member).collect() };
        }
        let member = |(id, address): (MemberId, String)| {
            let mut said = answers.iter().filter_map(|answer| answer.answer.as_ref().ok());
            let answer = said.find(|said| said.member == id).cloned().ok_or_else(|| why(&address));
            Member { id: Some(id), address, answer }
        };
        Self { members: listed.into_iter().map(member).collect() }
    }

    /// The one that says that it leads, the latest of several.
    pub(crate) fn leader(&self) -> Option<&GetMemberReply> {
        let answers = self.members.iter().filter_map(|member| member.answer.as_ref().ok());
        let leading = answers.filter(|answer| answer.leader == Some(answer.member));
        leading.max_by_key(|answer| answer.term)
    }

    /// How many answer.
    pub(crate) fn heard(&self) -> usize {
        self.members.iter().filter(|member| member.answer.is_ok()).count()
    }

    /// How many it takes that one can lead.
    fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// Whether some answer, and too few for one to lead.
    pub(crate) fn lacks_majority(&self) -> bool {
        (1..self.majority()).contains(&self.heard())
    }

    /// What is wrong with it. It `serves` if what its leader must be asked was answered. Of members that are `lost` it
    /// is known why, and time alone does not bring them back.
    pub(crate) fn problems(&self, serves: bool, lost: &BTreeMap<u64, String>) -> Vec<Problem> {
        let verdict = if serves { Verdict::Degraded } else { Verdict::Unavailable };
        let silent = self.members.iter().filter_map(|member| {
            let why = member.answer.as_ref().err()?;
            let lost = member.id.and_then(|id| lost.get(&id.get()));
            let text = format!("{} does not answer: {}", member.name(), lost.unwrap_or(why));
            let remedy = lost.is_none().then_some(START);
            Some(Problem { verdict, passes: lost.is_none(), text, remedy })
        });
        let mut found: Vec<_> = silent.collect();
        found.extend(self.unheard(verdict));
        if !serves && self.heard() > 0 {
            found.insert(0, self.leaderless());
        }
        found
    }

    /// Members that answer here, and not to the leader.
    fn unheard(&self, verdict: Verdict) -> Vec<Problem> {
        let Some(leader) = self.leader() else { return Vec::new() };
        let of = |member: &&Member| {
            let seen = leader.members.iter().find(|seen| Some(seen.member) == member.id);
            member.answer.is_ok()
                && member.id != Some(leader.member)
                && seen.is_some_and(|seen| seen.heard == Some(false))
        };
        let problem = |member: &Member| {
            let text =
                format!("{} is not heard by {}, which leads", member.name(), name(leader.member));
            Problem { verdict, passes: true, text, remedy: Some(REACH) }
        };
        self.members.iter().filter(of).map(problem).collect()
    }

    /// Too few of those that answer may vote, as long as they are alone: why the others may not.
    fn abstainers(&self) -> Option<Problem> {
        let answers = || self.members.iter().filter_map(|member| member.answer.as_ref().ok());
        let voters = answers().filter(|answer| answer.abstains.is_none()).count();
        if voters >= self.majority() {
            return None;
        }
        if self.holds_nothing() {
            return self.unfounded();
        }
        let each = answers().filter_map(|answer| {
            let member = name(answer.member);
            Some(match answer.abstains? {
                Abstention::New => {
                    format!(
                        "no leader has brought {member} up to date since its directory was made"
                    )
                }
                Abstention::Lost { to } if answer.last == Index::NONE => {
                    format!("{member} has lost all that it had, up to entry {to}")
                }
                Abstention::Lost { to } => {
                    format!("the log of {member} has lost entries up to {to}")
                }
            })
        });
        let last_way = answers().find_map(|answer| match answer.abstains? {
            Abstention::Lost { to } if answer.last > Index::NONE => Some(format!(
                "; where there is none, `emberfs-meta accept-loss --to {to}` lets {} vote by what it has left, and may lose \
                 changes that were acknowledged",
                name(answer.member)
            )),
            Abstention::Lost { .. } | Abstention::New => None,
        });
        let last_way = last_way.unwrap_or_default();
        let text = format!(
            "the metadata group can elect no leader: {voters} of {} may vote, and it takes {}: {}; bring back one that is \
             away, or a directory as it was{last_way}",
            counted(self.members.len(), "member"),
            self.majority(),
            each.collect::<Vec<_>>().join(", ")
        );
        let passes = self.heard() < self.members.len();
        Some(Problem { verdict: Verdict::Unavailable, passes, text, remedy: None })
    }

    /// All that answer are new, and hold nothing.
    fn holds_nothing(&self) -> bool {
        let mut answers = self.members.iter().filter_map(|member| member.answer.as_ref().ok());
        answers.all(|answer| answer.abstains == Some(Abstention::New) && answer.last == Index::NONE)
    }

    /// A group that never had a leader elects one when all members are there: which are not.
    fn unfounded(&self) -> Option<Problem> {
        let away = self.members.iter().filter(|member| member.answer.is_err());
        let away: Vec<_> = away.map(Member::name).collect();
        let text = format!(
            "the metadata group never had a leader as far as those know that answer, and all {} elect the first one \
             together: {} does not answer",
            counted(self.members.len(), "member"),
            away.join(", "),
        );
        let verdict = Verdict::Unavailable;
        (!away.is_empty()).then_some(Problem { verdict, passes: true, text, remedy: Some(START) })
    }

    /// Why nobody leads.
    fn leaderless(&self) -> Problem {
        let (heard, all) = (self.heard(), self.members.len());
        let founds = heard > 0 && self.holds_nothing();
        if let (true, None, Some(problem)) =
            (founds || !self.lacks_majority(), self.leader(), self.abstainers())
        {
            return problem;
        }
        let text = match (self.lacks_majority(), self.leader()) {
            (true, _) => format!(
                "the metadata group has no leader: {heard} of {} answers, and it takes {}; all that asks for \
                 names waits",
                counted(all, "member"),
                self.majority()
            ),
            (false, None) => {
                "the metadata group has no leader: an election takes about a second; where it \
                              does not end, the members' logs say more"
                    .to_owned()
            }
            (false, Some(leader)) => format!(
                "{}, which leads the metadata group, does not answer what only a leader can; its log says more",
                name(leader.member)
            ),
        };
        Problem { verdict: Verdict::Unavailable, passes: true, text, remedy: None }
    }
}

impl Member {
    /// How it stands, in a word.
    pub(crate) fn state(&self) -> &'static str {
        match &self.answer {
            Err(_) => "silent",
            Ok(answer) if answer.leader == Some(answer.member) => "leads",
            Ok(answer) if answer.leader.is_some() => "follows",
            Ok(_) => "no leader",
        }
    }

    fn name(&self) -> String {
        match self.id {
            Some(id) => format!("{} ({})", name(id), self.address),
            None => format!("the metadata server at {}", self.address),
        }
    }
}

/// What a member is called.
pub(crate) fn name(id: MemberId) -> String {
    format!("meta-{id}")
}

#[cfg(test)]
mod tests {
    use emberfs_client::MemberStatus;
    use emberfs_layout::ClusterId;

    use super::*;

    fn at(member: u64) -> String {
        format!("127.0.0.1:700{member}")
    }

    fn reply(member: u64, leader: Option<u64>, heard: Option<bool>) -> GetMemberReply {
        let status = |member| MemberStatus {
            member: MemberId(member),
            address: at(member),
            matched: None,
            heard: heard.filter(|_| leader == Some(1) && member == 3),
        };
        GetMemberReply {
            cluster: ClusterId(1),
            member: MemberId(member),
            leader: leader.map(MemberId),
            term: Default::default(),
            cut: Default::default(),
            last: Default::default(),
            committed: Default::default(),
            applied: Default::default(),
            members: (1..=3).map(status).collect(),
            abstains: None,
        }
    }

    /// Of three, these answer so.
    fn group(replies: &[GetMemberReply]) -> Group {
        let answer = |member| {
            let mut said = replies.iter().filter(|reply| reply.member == MemberId(member));
            let answer = said.next().cloned().ok_or_else(|| "connection refused".to_owned());
            MemberAnswer { address: at(member).parse().expect("an address"), answer }
        };
        Group::of((1..=3).map(answer).collect())
    }

    fn said(group: &Group, serves: bool) -> Vec<(Verdict, String)> {
        let problems = group.problems(serves, &BTreeMap::new());
        problems.into_iter().map(|problem| (problem.verdict, problem.words())).collect()
    }

    #[test]
    fn a_member_that_is_away_is_named_with_the_next_step() {
        let all = group(&[1, 2, 3].map(|member| reply(member, Some(2), None)));
        assert_eq!(said(&all, true), []);
        assert_eq!(all.leader().map(|leader| leader.member), Some(MemberId(2)));
        assert_eq!(
            [0, 1, 2].map(|place| all.members[place].state()),
            ["follows", "leads", "follows"]
        );
        let two = group(&[reply(1, Some(1), None), reply(3, Some(1), None)]);
        let [(Verdict::Degraded, text)] = &said(&two, true)[..] else { panic!("{two:?}") };
        assert!(
            text.starts_with("meta-2 (127.0.0.1:7002) does not answer: connection refused; start"),
            "{text}"
        );
        let lost = BTreeMap::from([(2, "its directory is gone".to_owned())]);
        let problems = two.problems(true, &lost);
        assert!(!problems[0].passes && problems[0].text.ends_with("answer: its directory is gone"));
        let cut = group(&[1, 2, 3].map(|member| reply(member, Some(1), Some(false))));
        let [(Verdict::Degraded, text)] = &said(&cut, true)[..] else { panic!("{cut:?}") };
        assert!(
            text.starts_with("meta-3 (127.0.0.1:7003) is not heard by meta-1, which leads"),
            "{text}"
        );
    }

    #[test]
    fn without_a_leader_it_is_unavailable_and_said_why() {
        let one = group(&[reply(3, Some(1), None)]);
        assert!(one.lacks_majority());
        let problems = said(&one, false);
        assert!(problems.iter().all(|(verdict, _)| *verdict == Verdict::Unavailable));
        assert!(problems[0].1.contains("1 of 3 members answers, and it takes 2"), "{problems:?}");
        assert_eq!(problems.len(), 3);
        let torn = group(&[reply(1, None, None), reply(3, None, None)]);
        assert!(!torn.lacks_majority() && torn.members[0].state() == "no leader");
        assert!(said(&torn, false)[0].1.contains("an election takes"));
        let (new, lost) = (Some(Abstention::New), Some(Abstention::Lost { to: Index(9) }));
        let abstain = |member, abstains, last| {
            let last = Index(last);
            GetMemberReply { abstains, last, ..reply(member, None, None) }
        };
        let few = group(&[reply(1, None, None), abstain(2, new, 0), abstain(3, lost, 5)]);
        let [(_, text), ..] = &said(&few, false)[..] else { panic!("{few:?}") };
        assert!(
            text.contains("1 of 3 members may vote, and it takes 2: no leader has brought meta-2 up to date since"),
            "{text}"
        );
        assert!(text.contains("the log of meta-3 has lost entries up to 9;"), "{text}");
        assert!(text.contains("`emberfs-meta accept-loss --to 9` lets meta-3 vote"), "{text}");
        // Who has nothing left cannot vote by that.
        let none = group(&[reply(1, None, None), abstain(2, lost, 0), abstain(3, lost, 5)]);
        let text = &said(&none, false)[0].1;
        assert!(text.contains("meta-2 has lost all that it had, up to entry 9"), "{text}");
        assert!(text.contains("lets meta-3 vote"), "{text}");
        let none = group(&[reply(1, None, None), abstain(2, lost, 0), abstain(3, new, 5)]);
        assert!(!said(&none, false)[0].1.contains("accept-loss"), "{none:?}");
        let founded = group(&[1, 2, 3].map(|member| abstain(member, new, 0)));
        assert!(said(&founded, false)[0].1.contains("an election takes"), "they elect one of them");
        let lacks = group(&[1, 3].map(|member| abstain(member, new, 0)));
        let text = &said(&lacks, false)[0].1;
        assert!(text.contains("all 3 members elect the first one together: meta-2 (127"), "{text}");
        let stuck = group(&[1, 2, 3].map(|member| reply(member, Some(2), None)));
        assert!(said(&stuck, false)[0].1.starts_with("meta-2, which leads the metadata group"));
        let mut alone = reply(1, Some(1), None);
        alone.members.truncate(1);
        alone.members[0].address.clear();
        let alone = MemberAnswer { address: at(1).parse().expect("an address"), answer: Ok(alone) };
        let alone = Group::of(vec![alone]);
        assert_eq!((alone.members.len(), &*alone.members[0].address), (1, &*at(1)));
        // Nobody answers: that may be this machine's fault.
        let none = group(&[]);
        assert_eq!((none.heard(), none.lacks_majority()), (0, false));
        let [(_, first), ..] = &said(&none, false)[..] else { panic!("{none:?}") };
        assert!(
            first.starts_with("the metadata server at 127.0.0.1:7001 does not answer"),
            "{first}"
        );
    }
}
