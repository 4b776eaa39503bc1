//! `cluster init|list`.

use std::path::Path;

use anyhow::Result;
use emberfs_client::Directory;
use serde_json::json;

use crate::listing::Listing;
use crate::local::process;

/// Formats the first metadata member, by its own command; it prints the cluster's id.
pub(super) fn init(config: &Path) -> Result<()> {
    println!("{}", process::format_meta(config)?);
    Ok(())
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
