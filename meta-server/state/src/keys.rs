//! The one table of what stands where in the metadata store.
//!
//! Every key begins with one byte that says which kind of record it is; numbers behind it are big-endian,
//! so that records sort by them. The value of each is a CBOR array of numbered fields, described at the
//! record's type.
//!
//! | byte | record | rest of the key |
//! | --- | --- | --- |
//! | `C` | counters and one-of-a-kind records of the whole cluster | a name |
//! | `I` | inode | inode id |
//! | `E` | directory entry | parent's inode id, hash of the name, name |
//! | `W` | a session has a file open for writing | inode id, client id, handle |
//! | `V` | the same, sorted by session | client id, inode id, handle |
//! | `T` | a truncation under way | inode id |
//! | `G` | a tree or file that is to be removed | when it became so: a number that grows |
//! | `L` | a length that must be asked of the chains | inode id |
//! | `S` | session | client id |
//! | `R` | last reply of a slot | client id, slot |
//! | `X` | ended session that servers must hear of | a number that grows |
//! | `N` | node | node id |
//! | `M` | node id by name | name |
//! | `D` | disk | disk id |
//! | `P` | target | target id |
//! | `H` | chain | chain id |
//! | `B` | chain table | table id |
//! | `U` | what changed in the routing: of each item its last change | routing version |
//! | `O` | an operator's order that was carried out | order id |
//! | `Z` | session by the number that its client drew | that number |

/// Kind of a record: the first byte of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Counters and one-of-a-kind records.
    Cluster = b'C',
    /// An inode.
    Inode = b'I',
    /// A directory entry.
    Entry = b'E',
    /// An open writer, by inode.
    Writer = b'W',
    /// An open writer, by session.
    SessionWriter = b'V',
    /// A truncation under way.
    Truncation = b'T',
    /// A removal under way.
    Garbage = b'G',
    /// A length to be recovered.
    LengthRecovery = b'L',
    /// A session.
    Session = b'S',
    /// Last reply of a slot.
    Slot = b'R',
    /// An ended session.
    EndedSession = b'X',
    /// A node.
    Node = b'N',
    /// A node by its name.
    NodeName = b'M',
    /// A disk.
    Disk = b'D',
    /// A target.
    Target = b'P',
    /// A chain.
    Chain = b'H',
    /// A chain table.
    Table = b'B',
    /// A change of the routing.
    RoutingChange = b'U',
    /// An operator's order.
    Order = b'O',
    /// A session by its start.
    SessionStart = b'Z',
}

/// A key of this kind, with the rest behind it.
#[must_use]
pub fn key(kind: Kind, rest: &[&[u8]]) -> Vec<u8> {
    let len = rest.iter().map(|part| part.len()).sum::<usize>();
    let mut key = Vec::with_capacity(1 + len);
    key.push(kind as u8);
    rest.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// The first key behind all that begin with `prefix`: where a scan of them ends.
#[must_use]
pub fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next() {
        assert_eq!(end_of(b"I\x01"), b"I\x02");
        assert_eq!(end_of(b"I\xff\xff"), b"J");
        assert_eq!(key(Kind::Inode, &[&1_u16.to_be_bytes()]), b"I\x00\x01");
    }

    #[test]
    fn each_kind_stands_in_the_table_and_in_a_golden_file() {
        let lines = || include_str!("keys.rs").lines();
        let kind = |line: &'static str| line.split_once(" = b'")?.1.strip_suffix("',");
        let row = |line: &'static str| Some(line.strip_prefix("//! | `")?.split_once('`')?.0);
        let kinds: BTreeSet<&str> = lines().filter_map(kind).collect();
        assert_eq!(kinds, lines().filter_map(row).collect(), "the table at the head");
        let golden = [
            include_str!("../golden/cluster.txt"),
            include_str!("../golden/namespace.txt"),
            include_str!("../golden/sessions.txt"),
        ];
        let records = golden.into_iter().flat_map(str::lines);
        let pinned = records.filter_map(|record| record.get(..1)).collect();
        assert_eq!(kinds, pinned, "a kind without a record in the golden files");
    }
}
