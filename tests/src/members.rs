//! The metadata members of a local cluster: how each stands, and which of them leads.

use std::time::Duration;

use emberfs_client::{ClusterAddress, Directory, GetMemberReply, members};

use crate::local::LocalCluster;
use crate::process::until;

/// How long one may take to say how it stands.
const WAIT: Duration = Duration::from_millis(500);

impl LocalCluster {
    /// Where its metadata members listen.
    pub fn address(&self) -> ClusterAddress {
        Directory::at(&self.config()).find(Some("local")).expect("`up` entered it")
    }

    /// What those say that answer.
    pub async fn members(&self) -> Vec<GetMemberReply> {
        let answers = members(&self.address(), WAIT).await.into_iter();
        answers.filter_map(|answer| answer.answer.ok()).collect()
    }

    /// The member that leads, as soon as one does.
    pub async fn leader(&self) -> String {
        self.leader_but("").await
    }

    /// The same, and it is not this one.
    pub async fn leader_but(&self, other: &str) -> String {
        let mut found = None;
        until("a metadata member leads", async || {
            let answers = self.members().await;
            let leading = answers.iter().filter(|answer| answer.leader == Some(answer.member));
            let latest = leading.max_by_key(|answer| answer.term).map(name);
            found = latest.filter(|name| name != other);
            found.is_some()
        })
        .await;
        found.expect("it was waited for")
    }

    /// The members that follow, when one leads.
    pub async fn followers(&self) -> Vec<String> {
        let leader = self.leader().await;
        let servers = self.servers().into_iter();
        servers.filter(|name| name.starts_with("meta-") && *name != leader).collect()
    }

    /// What one says of itself, as soon as it does.
    pub async fn member(&self, of: &str) -> GetMemberReply {
        let mut found = None;
        until("the member answers", async || {
            found = self.members().await.into_iter().find(|answer| name(answer) == of);
            found.is_some()
        })
        .await;
        found.expect("it was waited for")
    }
}

fn name(answer: &GetMemberReply) -> String {
    format!("meta-{}", answer.member)
}
