//! What servers do with bytes: bring each other up to date, and write.

use emberfs_wire::cluster::PublicState::{Serving, Syncing};

use super::{SERVERS, WRITE_ONE_IN, World};

impl World {
    /// The last that serves brings up to date whoever syncs behind it, in a moment.
    pub(super) fn sync(&mut self) {
        for server in 0..SERVERS {
            let process = &self.servers[server];
            if process.duty(server) != Some(Syncing) || process.complete || !self.random.chance(20)
            {
                continue;
            }
            let version = process.chain.as_ref().map(|chain| chain.version);
            let source = (0..SERVERS).rev().find(|i| {
                let other = &self.servers[*i];
                let same = other.chain.as_ref().map(|chain| chain.version) == version;
                same && other.duty(*i) == Some(Serving)
            });
            if let Some(source) = source {
                self.servers[server].held = self.servers[source].held.clone();
                self.servers[server].complete = true;
            }
        }
    }

    /// A write, by each head that thinks it is one.
    pub(super) fn write(&mut self) {
        for head in 0..SERVERS {
            let Some(chain) = self.servers[head].chain.clone() else { continue };
            let path: Vec<usize> = chain
                .members
                .iter()
                .filter(|member| matches!(member.state, Serving | Syncing))
                .map(|member| member.target.get() as usize)
                .collect();
            let serving = chain.members.iter().filter(|member| member.state == Serving).count();
            let leads = path.first() == Some(&head) && serving >= usize::from(chain.min_serving);
            if !leads || !self.random.chance(WRITE_ONE_IN) {
                continue;
            }
            self.writes += 1;
            let takes = |server: &usize| {
                let process = &self.servers[*server];
                let same = process.chain.as_ref().is_some_and(|c| c.version == chain.version);
                let state = process.duty(*server);
                let leased = self.now < process.lease_until;
                same && (state == Some(Syncing) || (state == Some(Serving) && leased))
            };
            // As far as it gets, and sometimes no further than a death lets it.
            let mut reached: Vec<usize> = path.iter().copied().take_while(takes).collect();
            if !self.healed && self.random.chance(30) {
                reached.pop();
            }
            for server in &reached {
                self.servers[*server].held.insert(self.writes);
            }
            if reached.len() == path.len() {
                self.acknowledged.insert(self.writes);
            }
        }
    }
}
