//! `cluster init|list`.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use emberfs_client::Directory;
use emberfs_layout::ClusterId;
use serde::Deserialize;
use serde_json::json;

use crate::exit::{print, say};
use crate::listing::Listing;
use crate::local::process;

/// What is read of the member's file.
#[derive(Default, Deserialize)]
struct Member {
    listen: Vec<SocketAddr>,
    /// Where all members listen; none where it is alone.
    #[serde(default)]
    members: Vec<String>,
}

/// Formats the first metadata member, by its own command; it prints the cluster's id, and says what comes next.
pub(super) fn init(config: &Path) -> Result<()> {
    let id = process::format_meta(config, None)?;
    print(&id.to_string())?;
    // The member's own command has read it.
    let member = std::fs::read_to_string(config).ok().and_then(|text| toml::from_str(&text).ok());
    say(&next_steps(id, config, &member.unwrap_or_default()));
    Ok(())
}

/// From a member that is formatted to files.
fn next_steps(id: ClusterId, config: &Path, member: &Member) -> String {
    // Where it listens everywhere, nobody here knows how others call its machine.
    let named = member.listen.iter().find(|at| !at.ip().is_unspecified());
    let port = member.listen.first().map_or_else(|| "PORT".to_owned(), |at| at.port().to_string());
    let at = named.map_or_else(|| format!("HOST:{port}"), ToString::to_string);
    let at = if member.members.is_empty() { at } else { member.members.join(",") };
    let meta = format!("[\"{}\"]", at.replace(',', "\", \""));
    let config = config.display();
    let start = match member.members.len() {
        0 | 1 => format!("`emberfs-meta --config {config}` starts it."),
        _ => format!(
            "for each other member, on its machine:\n  \
             emberfs-meta format --cluster {id} --config FILE     with the same members in it\n\
             and `emberfs-meta --config FILE` starts each; this one by `emberfs-meta --config {config}`."
        ),
    };
    format!(
        "next: {start} Then, for each storage server, on its machine:\n  \
         emberfs --cluster {at} disk format DIR     each disk; it prints the disk's id\n  \
         emberfs-storage --config FILE     with cluster = \"{id}\" and meta = {meta} in it\n\
         and once they run:\n  \
         emberfs --cluster {at} disk add IDS\n  \
         emberfs --cluster {at} chain-table create"
    )
}

pub(super) fn list(json: bool) -> Result<()> {
    let directory = Directory::of_user()?;
    let mut listing = Listing::new("clusters", &["name", "id", "metadata servers"]);
    for (name, address) in directory.list()? {
        let meta: Vec<String> = address.meta.iter().map(ToString::to_string).collect();
        listing.push(vec![
            json!(name),
            json!(address.cluster.map(|id| id.to_string())),
            json!(meta),
        ]);
    }
    Ok(listing.print(json)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_cluster_is_told_what_comes_next() {
        let of = |listen: &[&str]| {
            let listen = listen.iter().map(|at| at.parse().expect("an address")).collect();
            let members = Vec::new();
            next_steps(ClusterId(7), Path::new("/etc/m.toml"), &Member { listen, members })
        };
        let said = of(&["127.0.0.1:7000"]);
        assert!(said.starts_with("next: `emberfs-meta --config /etc/m.toml` starts it"), "{said}");
        assert!(said.contains("emberfs --cluster 127.0.0.1:7000 disk format DIR"), "{said}");
        let id = format!("cluster = \"{}\"", ClusterId(7));
        assert!(said.contains(&id) && said.contains("chain-table create"), "{said}");
        let listen = vec!["127.0.0.1:7000".parse().expect("an address")];
        let members = ["a:7000", "b:7000", "c:7000"].map(str::to_owned).to_vec();
        let said = next_steps(ClusterId(7), Path::new("m.toml"), &Member { listen, members });
        for words in [
            &*format!("emberfs-meta format --cluster {} --config FILE", ClusterId(7)),
            "this one by `emberfs-meta --config m.toml`",
            "emberfs --cluster a:7000,b:7000,c:7000 disk format DIR",
            "meta = [\"a:7000\", \"b:7000\", \"c:7000\"]",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        // A wildcard is where it listens, and no address for others.
        assert!(of(&["[::]:7000"]).contains("--cluster HOST:7000 disk add"));
        assert!(
            of(&["0.0.0.0:7000", "10.0.0.1:7001"]).contains("--cluster 10.0.0.1:7001 disk add")
        );
    }
}
