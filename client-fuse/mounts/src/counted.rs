//! Counts in words.

/// So many of these: `no disks`, `1 disk`, `2 disks`.
#[must_use]
pub fn counted(count: impl TryInto<u64>, what: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        more => format!("{more} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let said = [0_usize, 1, 2].map(|count| counted(count, "disk"));
        assert_eq!(said, ["no disks", "1 disk", "2 disks"]);
    }
}
