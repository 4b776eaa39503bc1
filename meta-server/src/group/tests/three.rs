//! Three groups' handles on real stores in one process, whose parcels go from hand to hand.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use emberfs_meta_server_consensus::{Leadership, MemberId, PeerMessage};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ledger::Ledger;
use crate::group::undelivered::Undelivered;
use crate::group::{Group, GroupOptions, Post};
use crate::store::{StoreOptions, Syncs, open};

/// What becomes of states that members send: none gets anywhere.
#[derive(Debug, Default)]
pub(super) struct States {
    /// Why their receivers refuse them; else they are lost.
    pub(super) cause: Option<String>,
    /// How many were refused.
    pub(super) refused: usize,
}

impl States {
    /// One was sent.
    fn undelivered(&mut self) -> Undelivered {
        let Some(cause) = &self.cause else {
            return Undelivered::NotSent("no state is carried".to_owned());
        };
        self.refused += 1;
        Undelivered::Refused(cause.clone())
    }
}

/// Three members, by their places from 0.
pub(super) struct Three {
    pub(super) groups: Vec<Group<Ledger>>,
    pub(super) syncs: Vec<Syncs>,
    /// Whether what each says arrives, and what is said to it.
    reached: Vec<Arc<AtomicBool>>,
    pub(super) states: Arc<watch::Sender<States>>,
    leaderships: RefCell<Vec<watch::Receiver<Leadership>>>,
    carrying: JoinSet<()>,
    _dirs: Vec<TempDir>,
}

impl Three {
    /// Each with options of its own.
    pub(super) fn new(options: [GroupOptions; 3]) -> Self {
        let (mut groups, mut ends, mut dirs) = (Vec::new(), Vec::new(), Vec::new());
        let syncs: Vec<_> = (0..3).map(|_| Syncs::all()).collect();
        for (member, options) in (1..).map(MemberId).zip(options) {
            let dir = TempDir::new().unwrap();
            let syncs = syncs[groups.len()].clone();
            let store = StoreOptions { dir: dir.path().to_owned(), member, members: 3, syncs };
            let others = (1..=3).map(MemberId).filter(|other| *other != member);
            let (post, parcels) = Post::new(others);
            groups.push(Group::start(open(&store).unwrap(), Ledger, options, post).unwrap());
            ends.extend(parcels.into_iter().map(|(to, parcels)| (member, to, parcels)));
            dirs.push(dir);
        }
        let reached: Vec<_> = (0..3).map(|_| Arc::new(AtomicBool::new(true))).collect();
        let states = Arc::new(watch::Sender::new(States::default()));
        let mut carrying = JoinSet::new();
        for (from, to, mut parcels) in ends {
            let place = |member: MemberId| usize::try_from(member.get()).unwrap() - 1;
            let (sender, receiver) = (groups[place(from)].clone(), groups[place(to)].clone());
            let ends = [reached[place(from)].clone(), reached[place(to)].clone()];
            let states = Arc::clone(&states);
            carrying.spawn(async move {
                while let Some(parcel) = parcels.recv().await {
                    let arrives = ends.iter().all(|end| end.load(Ordering::SeqCst));
                    if parcel.snapshot.is_some() {
                        let mut why = None;
                        states.send_modify(|states| why = Some(states.undelivered()));
                        sender.snapshot_sent(to, Err(why.expect("just said")));
                    } else if arrives {
                        let message = PeerMessage::from_parts(parcel.message, parcel.data);
                        receiver.hear(message.unwrap(), 0, None).await;
                    } else {
                        sender.unreachable(to);
                    }
                }
            });
        }
        let leaderships = RefCell::new(groups.iter().map(Group::leadership).collect());
        Self { groups, syncs, reached, states, leaderships, carrying, _dirs: dirs }
    }

    /// To be called last: nothing runs any more then.
    pub(super) async fn end(mut self) {
        self.carrying.shutdown().await;
        for group in &self.groups {
            group.stop().await.unwrap();
        }
    }

    /// Whether one is reached by the others, and they by it.
    pub(super) fn reach(&self, at: usize, reached: bool) {
        self.reached[at].store(reached, Ordering::SeqCst);
    }

    /// Has this one lead, if it does not.
    pub(super) async fn make_lead(&self, wanted: usize) {
        loop {
            let leader = self.leader(&[0, 1, 2]).await;
            if leader == wanted {
                return;
            }
            let third = 3 - leader - wanted;
            self.reach(third, false);
            self.groups[leader].hand_over().await;
            self.reach(third, true);
        }
    }

    /// Waits until one of `who` leads.
    pub(super) async fn leader(&self, who: &[usize]) -> usize {
        let mut leaderships = self.leaderships.take();
        let leads = |leadership: &Leadership| matches!(leadership, Leadership::Leader { .. });
        let [one, two, three] = &mut leaderships[..] else { unreachable!("three of them") };
        let leader = tokio::select! {
            led = one.wait_for(leads), if who.contains(&0) => led.map(|_| 0),
            led = two.wait_for(leads), if who.contains(&1) => led.map(|_| 1),
            led = three.wait_for(leads), if who.contains(&2) => led.map(|_| 2),
        };
        let leader = leader.unwrap();
        self.leaderships.replace(leaderships);
        leader
    }
}
