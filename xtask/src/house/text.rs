//! Rules over manifests, documents and everything else that is text.

use std::sync::LazyLock;

use super::Fault;
use crate::tree::{self, Source};

/// ARCHITECTURE.md is read in one sitting.
const MAP_LINES_MAX: usize = 300;

/// Fragments that tie the project to one machine or one registry; in two parts each, so that this
/// file has none. Cargo.lock names its registry by design.
const PLACES: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("index.crates", ".io"),
    concat!("deb.debian", ".org"),
];

/// The description in a manifest is the first sentence of the crate's head.
pub(super) fn head(source: &Source) -> Vec<Fault> {
    let description = source
        .text
        .lines()
        .find_map(|line| line.strip_prefix("description = \""))
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(description) = description else {
        return vec![(0, "no description".to_owned())];
    };
    let folder = tree::top().join(source.path.trim_end_matches("Cargo.toml"));
    let root = ["src/lib.rs", "src/main.rs"]
        .iter()
        .find_map(|file| std::fs::read_to_string(folder.join(file)).ok())
        .unwrap_or_default();
    let first = root.lines().next().unwrap_or_default();
    let same = first == format!("//! {description}");
    (!same).then(|| (0, format!("the crate's head begins `{first}`"))).into_iter().collect()
}

pub(super) fn places(source: &Source) -> Vec<Fault> {
    if source.path == "Cargo.lock" {
        return Vec::new();
    }
    let lines = source.text.lines().enumerate();
    let faults = lines.filter_map(|(i, line)| {
        let place = PLACES.iter().find(|place| line.contains(**place))?;
        Some((i + 1, format!("`{place}`")))
    });
    faults.collect()
}

/// The map is short, names every crate, and every folder that it names is there.
pub(super) fn map(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    let lines = source.text.lines().count();
    if lines > MAP_LINES_MAX {
        faults.push((0, format!("{lines} lines, {MAP_LINES_MAX} at most")));
    }
    for (i, line) in source.text.lines().enumerate() {
        let folders = line.split('`').skip(1).step_by(2).filter(|word| word.ends_with('/'));
        let gone = folders.filter(|folder| !tree::top().join(folder).is_dir());
        faults.extend(gone.map(|folder| (i + 1, format!("`{folder}` does not exist"))));
    }
    for folder in crate_folders() {
        if !source.text.contains(&format!("`{folder}/`")) {
            faults.push((0, format!("the crate `{folder}/` is not named")));
        }
    }
    faults
}

/// What a document refers to is there: the target of each link, by its path from the document, and each Rust
/// file that it names, by the end of its path.
pub(super) fn references(source: &Source) -> Vec<Fault> {
    let document = tree::top().join(&source.path);
    let folder = document.parent().expect("a file is in a folder");
    let mut faults = Vec::new();
    for (i, line) in source.text.lines().enumerate() {
        let links = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let local = links.filter(|link| !link.is_empty() && !link.contains("://"));
        let gone = local.filter(|link| !folder.join(link).exists());
        faults.extend(gone.map(|link| (i + 1, format!("a link to `{link}`"))));
        let words = line.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs"));
        let gone = words.filter(|word| !is_rust_file(word));
        faults.extend(gone.map(|word| (i + 1, format!("`{word}` does not exist"))));
    }
    faults
}

/// Whether some Rust file's path ends with this one.
fn is_rust_file(path: &str) -> bool {
    static FILES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let sources = tree::sources().unwrap_or_default();
        sources.into_iter().map(|source| format!("/{}", source.path)).collect()
    });
    FILES.iter().any(|file| file.ends_with(&format!("/{path}")))
}

/// The members of the workspace, from the manifest at the top.
fn crate_folders() -> Vec<String> {
    let manifest = std::fs::read_to_string(tree::top().join("Cargo.toml")).unwrap_or_default();
    let members = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next());
    members.unwrap_or_default().split('"').skip(1).step_by(2).map(str::to_owned).collect()
}
