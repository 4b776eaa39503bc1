//! What the leader of the metadata group does, step by step: it looks at the chains, answers heartbeats, and
//! shortens the list of ended sessions. The steps are those of the real one, with time between them.

use emberfs_chain_replication::membership::{Change, Edition};
use emberfs_layout::Sequence;
use emberfs_meta_server_state::Body;
use emberfs_meta_server_state::cluster::{self, News};
use emberfs_wire::cluster::HeartbeatReply;
use rand::RngExt;

use crate::log::Then;
use crate::metadata::{Beat, Errand, FORGET_MS, LOOKS_MS, Metadata, Step, to_server};
use crate::network::Message;

impl Metadata {
    /// Looks at the chains after a while, and not at another time.
    pub(crate) fn look_in(&mut self, ms: u64, out: &mut Vec<Errand>) {
        let term = self.leaders.len() - 1;
        let leader = &mut self.leaders[term];
        leader.look += 1;
        out.push(Errand::Later(ms, Step::Read { term, look: leader.look }));
    }

    pub(crate) fn decide(&mut self, now: u64, term: usize, look: u64, out: &mut Vec<Errand>) {
        let leader = &mut self.leaders[term];
        if leader.look != look || leader.under_way > 0 {
            return;
        }
        let changes = leader.decide(now, &mut self.rows);
        leader.under_way = changes.len();
        if changes.is_empty() {
            let pause = self.rng.random_range(LOOKS_MS.0..=LOOKS_MS.1);
            self.look_in(pause, out);
        }
        for Change { from, chain, boots } in changes {
            let then = Then::Changed(chain.id);
            self.propose(now, Body::SetChain { from, chain, boots }, then, out);
        }
    }

    pub(crate) fn read_news(&mut self, term: usize, beat: Box<Beat>, out: &mut Vec<Errand>) {
        let edition = self.leaders[term].edition();
        let low_waters = self.leaders[term].low_waters(&beat.said.marks_wanted);
        let news = cluster::news(&self.state, &beat.said, &low_waters).expect("memory");
        let Some(news) = news else {
            let Beat { server, process, call, .. } = *beat;
            return out.push(to_server(server, process, Message::Stale { call }));
        };
        let pause = if self.rng.random_bool(0.8) { 0 } else { self.moment() };
        let news = Box::new(news);
        out.push(Errand::Later(pause, Step::Answer { term, beat, edition, news }));
    }

    pub(crate) fn answer(
        &mut self,
        now: u64,
        term: usize,
        beat: Box<Beat>,
        edition: Edition,
        news: News,
        out: &mut Vec<Errand>,
    ) {
        let leads = self.leads && term + 1 == self.leaders.len();
        let leader = &mut self.leaders[term];
        let Some(answered) = leader.answer(now, &beat.said, news.informed, edition) else {
            if leads {
                self.read_news(term, beat, out);
            }
            return;
        };
        if answered.news && leads && leader.under_way == 0 {
            let pause = self.rng.random_range(1..=LOOKS_MS.0);
            self.look_in(pause, out);
        }
        let News { routing, ended, ended_to, marks, .. } = news;
        let lease_ms = answered.lease_ms;
        let reply = HeartbeatReply { lease_ms, routing, ended, ended_to, marks };
        let Beat { server, process, call, .. } = *beat;
        out.push(to_server(server, process, Message::BeatReply { call, reply }));
    }

    pub(crate) fn forget(&mut self, now: u64, term: usize, out: &mut Vec<Errand>) {
        out.push(Errand::Later(FORGET_MS, Step::Forget { term }));
        let nodes = cluster::nodes(&self.state).expect("memory");
        let confirmed = nodes.iter().map(|node| self.leaders[term].confirmed(node.id)).min();
        if let Some(to) = confirmed.filter(|to| *to > Sequence::NONE) {
            self.propose(now, Body::ForgetEnded(to), Then::Nobody, out);
        }
    }
}
