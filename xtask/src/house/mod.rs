//! The rules of the house that no other tool holds, as one table.
//!
//! Each rule looks at one file and says what is wrong with it, by line. To change a rule, change its
//! row and its function; nothing is exempted by a comment in the code.

mod rust;
mod text;

use std::path::Path;

use anyhow::{Result, ensure};

use crate::tree::{self, Source};

/// What a rule found: the line (0: the file as a whole) and what is wrong there.
type Fault = (usize, String);

/// A rule over single files.
struct Rule {
    /// Why it is one.
    reason: &'static str,
    applies: fn(&str) -> bool,
    faults: fn(&Source) -> Vec<Fault>,
}

/// All rules.
const RULES: &[Rule] = &[
    Rule { reason: "a module begins with a head (//!)", applies: is_rust, faults: rust::head },
    Rule {
        reason: "one noun a file, in sizes that fit the head",
        applies: is_rust,
        faults: rust::size,
    },
    Rule { reason: "code is finished or absent", applies: is_rust, faults: rust::marks },
    Rule {
        reason: "a test waits for a condition, and is run",
        applies: is_rust,
        faults: rust::waits,
    },
    Rule { reason: "unsafe stands in few known places", applies: is_rust, faults: rust::unsafety },
    Rule { reason: "a module is named after its noun", applies: is_rust, faults: rust::names },
    Rule { reason: "a main function wires up and runs", applies: is_main, faults: rust::main_size },
    Rule {
        reason: "a crate's head says its description",
        applies: is_manifest,
        faults: text::head,
    },
    Rule {
        reason: "nothing names one machine or registry",
        applies: |_| true,
        faults: text::places,
    },
    Rule { reason: "ARCHITECTURE.md is a short, true map", applies: is_map, faults: text::map },
    Rule {
        reason: "a document refers to what is there",
        applies: is_document,
        faults: text::references,
    },
];

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "rs")
}

fn is_main(path: &str) -> bool {
    path.ends_with("src/main.rs") || path.contains("src/bin/")
}

fn is_manifest(path: &str) -> bool {
    path.ends_with("/Cargo.toml")
}

fn is_document(path: &str) -> bool {
    path.ends_with(".md")
}

fn is_map(path: &str) -> bool {
    path == "ARCHITECTURE.md"
}

/// Holds every file of the checkout against every rule.
pub(crate) fn run() -> Result<()> {
    let sources = tree::sources()?;
    ensure!(sources.iter().any(|s| is_map(&s.path)), "ARCHITECTURE.md is missing");
    let found: Vec<String> = sources.iter().flat_map(broken).collect();
    ensure!(found.is_empty(), "{} faults:\n  {}", found.len(), found.join("\n  "));
    Ok(())
}

fn broken(source: &Source) -> Vec<String> {
    RULES
        .iter()
        .filter(|rule| (rule.applies)(&source.path))
        .flat_map(|rule| (rule.faults)(source).into_iter().map(move |fault| (rule.reason, fault)))
        .map(|(reason, (line, what))| format!("{}:{line}: {what} ({reason})", source.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the rules say of a file with this text.
    fn said(path: &str, text: &str) -> String {
        broken(&Source { path: path.to_owned(), text: text.to_owned() }).join("\n")
    }

    #[test]
    fn each_rule_catches_its_fault() {
        let long = format!("//! h\nfn f() {{\n{}}}\n", "    g();\n".repeat(71));
        let mark = format!("//! h\n// {}{} later\n", "TO", "DO");
        let sleep = format!("//! h\n#[cfg(test)]\nmod tests {{ fn t() {{ {}eep(d); }} }}\n", "sl");
        let cases = [
            ("a/src/x.rs", "fn f() {}\n", "begins with a head"),
            ("a/src/x.rs", &format!("//! h\n{}", "use a;\n".repeat(601)), "fit the head"),
            ("a/src/x.rs", &long, "fit the head"),
            ("a/src/x.rs", &mark, "finished or absent"),
            ("a/src/x.rs", &sleep, "waits for a condition"),
            ("tests/x.rs", &format!("//! h\n#[{}]\n", "ignore"), "waits for a condition"),
            ("a/src/x.rs", "//! h\nunsafe fn f() {}\n", "few known places"),
            ("a/src/lib.rs", "//! h\n", "few known places"),
            ("a/src/util.rs", "//! h\n", "named after its noun"),
            ("a/src/main.rs", &format!("//! h\n{}", "use a;\n".repeat(60)), "wires up"),
            ("a.md", &format!("see /{}/main", "work"), "one machine"),
            ("a/Cargo.toml", "[package]\n", "says its description"),
            ("a.md", "see [it](gone.md)\n", "refers to what is there"),
            ("a.md", "see `layout/src/gone.rs`\n", "refers to what is there"),
        ];
        for (path, text, rule) in cases {
            let said = said(path, text);
            assert!(said.contains(rule), "{path} with {text:.60}: {said}");
        }
    }

    #[test]
    fn a_good_file_has_no_fault() {
        let text = "//! What it is.\n#![forbid(unsafe_code)]\n\n/// Doc.\nfn f() {\n    g();\n}\n";
        assert_eq!(said("a/src/lib.rs", text), "");
        assert_eq!(said("buffer/src/aligned.rs", "//! h\nunsafe impl Send for B {}\n"), "");
    }

    #[test]
    fn the_checkout_keeps_the_rules() {
        run().expect("no fault");
    }
}
