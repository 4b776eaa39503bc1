//! A member of several whose last entries a new leader replaces by fewer: the guard is lowered first.

use bytes::Bytes;
use emberfs_meta_server_consensus::{
    Config, Effect, Index, Input, Leadership, Limits, Member, MemberId, Millis, PeerMessage,
    ProposalId, Restored, TICK,
};
use tempfile::TempDir;

use super::{LogStore, crashed, open, options};

/// Three members; the first one writes to a real log.
struct Three {
    members: Vec<Member>,
    log: LogStore,
    now: Millis,
    leader: Option<MemberId>,
}

impl Three {
    fn start(log: LogStore) -> Self {
        let voters: Vec<_> = (1..=3).map(MemberId).collect();
        let member = |&member| {
            let (must_reach, limits) = (Index::NONE, Limits::default());
            let voters = voters.clone();
            let config = Config { member, voters, seed: 0, is_new: true, must_reach, limits };
            Member::new(&config, Restored::default(), Millis(0)).unwrap()
        };
        Self { members: voters.iter().map(member).collect(), log, now: Millis(0), leader: None }
    }

    /// Steps one member and all that follow from it, as far as `hears` lets messages through.
    fn step(&mut self, member: MemberId, input: Input, hears: &[u64]) {
        let mut inputs = vec![(member, input)];
        while let Some((member, input)) = inputs.pop() {
            let mut effects = Vec::new();
            let at = usize::try_from(member.get()).unwrap() - 1;
            self.members[at].step(self.now, input, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Append(append) if at == 0 => {
                        let durable = self.log.append(vec![append], None).unwrap();
                        inputs.push((member, Input::Durable(durable.unwrap())));
                    }
                    Effect::Append(append) => {
                        inputs.push((member, Input::Durable(append.synced())));
                    }
                    Effect::Send(message) if passes(&message, hears) => {
                        inputs.push((message.to(), Input::Message(message)));
                    }
                    Effect::Apply(batch) => {
                        let index = batch.last().unwrap().entry.position.index;
                        inputs.push((member, Input::Applied(index)));
                    }
                    Effect::Leadership(Leadership::Leader { .. }) => self.leader = Some(member),
                    _ => {}
                }
            }
        }
    }

    /// So many ticks pass for `who`.
    fn pass(&mut self, ticks: usize, who: &[u64], hears: &[u64]) {
        for _ in 0..ticks {
            self.now = self.now.after(TICK);
            for &member in who {
                self.step(MemberId(member), Input::Tick, hears);
            }
        }
    }

    fn propose(&mut self, id: u64, hears: &[u64]) {
        let data = Bytes::from(format!("order {id}"));
        self.step(MemberId(1), Input::Propose { id: ProposalId(id), data }, hears);
    }
}

fn passes(message: &PeerMessage, hears: &[u64]) -> bool {
    hears.contains(&message.to().get()) && hears.contains(&message.from().get())
}

#[test]
fn a_log_that_was_overwritten_by_a_shorter_one_opens() {
    let dir = TempDir::new().unwrap();
    let mut three = Three::start(open(&options(dir.path())).unwrap().log);
    let all = [1, 2, 3];
    three.pass(30, &[1], &all);
    assert_eq!(three.leader, Some(MemberId(1)));
    // What it proposes now reaches nobody.
    (1..=5).for_each(|id| three.propose(id, &[1]));
    three.log.refresh_guard().unwrap();
    let before = open(&options(crashed(dir.path()).path())).unwrap().restored;
    assert_eq!(before.entries.last().unwrap().position.index, Index(6));
    three.pass(60, &[2, 3], &[2, 3]);
    let leader = three.leader.filter(|&leader| leader != MemberId(1));
    three.pass(30, &[leader.expect("one of the two leads").get()], &all);
    let after = open(&options(crashed(dir.path()).path())).unwrap().restored;
    let last = after.entries.last().unwrap().position;
    assert_eq!(last.index, Index(2), "{after:?}");
    assert!(last.term > before.vote.term, "{after:?}");
}
