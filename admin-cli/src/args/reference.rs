//! The reference page, `docs/cli.md`: what `--help` says of every command, word for word.

use std::fmt::Write;
use std::path::Path;

use clap::CommandFactory;

use super::{Args, EVERY};

const HEAD: &str = "\
# The command `emberfs`

What `--help` says of each command, made from it: `UPDATE_GOLDEN=1 cargo test -p emberfs-admin-cli reference`.
";

/// A command and all below it, each with its page of help; what every command has stands with the first alone.
fn add(page: &mut String, command: &mut clap::Command) {
    let is_first = page == HEAD;
    let name = command.get_bin_name().unwrap_or("emberfs").to_owned();
    write!(page, "\n## `{name}`\n\n```text\n").expect("memory");
    let help = command.render_long_help().to_string();
    let mut of_every = false;
    for line in help.trim_end().lines() {
        of_every =
            line.starts_with(EVERY) || (of_every && (line.is_empty() || line.starts_with(' ')));
        if is_first || !of_every {
            writeln!(page, "{}", line.trim_end()).expect("memory");
        }
    }
    page.push_str("```\n");
    for below in command.get_subcommands_mut().filter(|below| below.get_name() != "help") {
        add(page, below);
    }
}

#[test]
fn the_reference_page_is_what_help_says() {
    let mut command = Args::command().term_width(100);
    command.build();
    let mut page = HEAD.to_owned();
    add(&mut page, &mut command);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).expect("docs can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(page.lines()).find(|(kept, now)| kept != now);
    assert!(
        kept == page,
        "docs/cli.md is not what help says: UPDATE_GOLDEN=1 makes it anew; {differs:?}"
    );
}
