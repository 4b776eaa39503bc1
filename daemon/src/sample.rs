//! A configuration file to start from: what must be there stands in it as an example, the rest as comments that say what
//! holds without them. It comes from the same table as the [reference](mod@crate::reference).

use std::fmt::Write;

use textwrap::{Options, WordSplitter};

use crate::reference::{Described, Row, rows};

/// How long a line may be, in characters.
const LINE_MAX: usize = 100;

/// The file for `program`. It can be read as it is, up to names and places that are not there.
///
/// # Panics
/// When [`Described::LEAST`] cannot be read.
#[must_use]
pub fn text<T: Described>(program: &str) -> String {
    let least: T = toml::from_str(T::LEAST).expect("a test reads it");
    let mut text =
        format!("# The configuration of {program}; `{program} config FILE` checks it.\n");
    let mut table = String::new();
    for row in rows(&least) {
        let (of, name) = row.key.split_once('.').unwrap_or(("", &row.key));
        text.push('\n');
        if of != table {
            of.clone_into(&mut table);
            writeln!(text, "[{of}]").expect("memory");
        }
        explain(&row, &mut text);
        let value = if row.required { &row.value } else { &row.default };
        let value = value.as_ref().map_or("…".to_owned(), ToString::to_string);
        let hidden = if row.required { "" } else { "# " };
        writeln!(text, "{hidden}{name} = {value}").expect("memory");
    }
    text
}

/// What the key is for, in lines.
fn explain(row: &Row, text: &mut String) {
    let lines = Options::new(LINE_MAX).initial_indent("# ").subsequent_indent("# ");
    let lines = lines.word_splitter(WordSplitter::NoHyphenation).break_words(false);
    writeln!(text, "{}", textwrap::fill(row.meaning, lines)).expect("memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::LogConfig;
    use serde::{Deserialize, Serialize};

    crate::described! {
        least = "name = \"a\"\nmeta = [\"b:1\"]";
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Example {
            /// What it is called: a name that no other has, which may well be longer than what a line can hold so
            /// that it takes two.
            name: String,
            /// Where they are.
            meta: Vec<String>,
            /// How much.
            #[serde(default)]
            memory_mib: u64,
            /// How many; by default as many as cores.
            workers: Option<u32>,
            /// Where it logs.
            #[serde(default)]
            log: LogConfig,
        }
    }

    #[test]
    fn it_can_be_read_and_explains_every_key() {
        let text = text::<Example>("emberfs-example");
        let read: Example = toml::from_str(&text).expect("a configuration");
        assert_eq!(read, toml::from_str(Example::LEAST).expect("a configuration"));
        assert!(text.lines().all(|line| line.chars().count() <= LINE_MAX), "{text}");
        for part in [
            "# that it takes two.\nname = \"a\"\n",
            "# Where they are.\nmeta = [\"b:1\"]\n",
            "# How much.\n# memory_mib = 0\n",
            "# workers = …\n\n[log]\n# The file;",
            "# level = \"info\"\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let shown =
            text.replace("# level = ", "level = ").replace("# memory_mib = 0", "memory_mib = 5");
        let read: Example = toml::from_str(&shown).expect("what is in comments can be used");
        assert_eq!(read.memory_mib, 5);
    }
}
