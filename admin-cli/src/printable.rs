//! Words and names of others, as people read them.

use std::fmt::Write;

use serde_json::Value;

/// Without what would move the terminal: each control character becomes `?`.
pub(crate) fn printable(words: &str) -> String {
    words.replace(char::is_control, "?")
}

/// As JSON, in lines; what would move the terminal is escaped there: JSON asks that of some control characters only.
pub(crate) fn json(value: &Value) -> String {
    let mut text = String::new();
    for char in format!("{value:#}").chars() {
        match char {
            // Outside of strings there is none but this.
            char if char.is_control() && char != '\n' => {
                write!(text, "\\u{:04x}", u32::from(char)).expect("memory");
            }
            char => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_move_no_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{9b}"), "a?[2Jb??c?");
    }

    #[test]
    fn json_moves_none_and_says_the_same() {
        let name = "a\u{1b}\u{7f}\u{9b}\n\u{e4}\u{2028}";
        let value = serde_json::json!({ "name": name });
        let text = json(&value);
        assert!(!text.chars().any(|char| char.is_control() && char != '\n'), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
    }
}
