//! Words and names of others, as people read them.

/// Without what would move the terminal: each control character becomes `?`.
pub(crate) fn printable(words: &str) -> String {
    words.replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_move_no_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{9b}"), "a?[2Jb??c?");
    }
}
