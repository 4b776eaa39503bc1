//! What a real kernel sent (`golden/requests.txt`), and what we read in it.

use super::fields::Fields;
use super::{
    Access, Create, Header, Init, Interrupt, Link, MakeDirectory, MakeNode, Malformed, Open,
    OpenFile, Read, Rename, Rename2, SetAttr, Write,
};

const REQUESTS: &str = include_str!("../../../golden/requests.txt");

/// Each of them: its opcode, the arguments, and the names or bytes behind these.
const READ: &[(&str, u32, &str)] = &[
    ("init", 26, "Init { major: 7, minor: 45, readahead: 131072, flags: 6586131021819 }"),
    ("lookup", 1, "file"),
    ("create", 35, "Create { flags: 32962, mode: 33184 } file"),
    (
        "write",
        16,
        "Write { file: 1234605616436508552, offset: 3, size: 7, about: 0, flags: 32770 } written",
    ),
    ("fsync", 20, "OpenFile { file: 1234605616436508552 }"),
    (
        "setattr_times",
        4,
        "SetAttr { file: None, size: None, atime: Some(At(-2, 250000000)), mtime: Some(Now), mode: None, uid: None, \
         gid: None }",
    ),
    (
        "setattr_mode",
        4,
        "SetAttr { file: None, size: None, atime: None, mtime: None, mode: Some(33184), uid: None, gid: None }",
    ),
    (
        "setattr_owner",
        4,
        "SetAttr { file: None, size: None, atime: None, mtime: None, mode: None, uid: Some(1000), gid: Some(100) }",
    ),
    (
        "setattr_size",
        4,
        "SetAttr { file: Some(1234605616436508552), size: Some(5), atime: None, mtime: None, mode: None, uid: None, \
         gid: None }",
    ),
    ("getattr", 3, ""),
    ("read_page", 15, "Read { file: 1234605616436508552, offset: 0, size: 4096, about: 0 }"),
    (
        "write_back",
        16,
        "Write { file: 1234605616436508552, offset: 0, size: 5, about: 1, flags: 0 } A2345",
    ),
    ("flush", 25, "OpenFile { file: 1234605616436508552 }"),
    ("release", 18, "OpenFile { file: 1234605616436508552 }"),
    ("open_direct", 14, "Open { flags: 49154 }"),
    ("read_direct", 15, "Read { file: 1234605616436508552, offset: 8192, size: 4096, about: 2 }"),
    (
        "write_direct",
        16,
        "Write { file: 1234605616436508552, offset: 1, size: 6, about: 2, flags: 49154 } direct",
    ),
    (
        "read_page_of_direct_file",
        15,
        "Read { file: 1234605616436508552, offset: 0, size: 4096, about: 0 }",
    ),
    ("mkdir", 9, "MakeDirectory { mode: 488 } directory"),
    ("symlink", 6, "link target"),
    ("readlink", 5, ""),
    ("mknod_pipe", 8, "MakeNode { mode: 4512, device: 0 } pipe"),
    ("mknod_device", 8, "MakeNode { mode: 8576, device: 259 } device"),
    ("link", 13, "Link { file: 2 } second"),
    ("rename", 12, "Rename { new_parent: 1 } second third"),
    ("rename2", 45, "Rename2 { new_parent: 1, flags: 1 } third fourth"),
    ("access", 34, "Access { mask: 6 }"),
    ("statfs", 17, ""),
    ("opendir", 27, "Open { flags: 98304 }"),
    ("readdirplus", 44, "Read { file: 9, offset: 0, size: 32768, about: 0 }"),
    ("fsyncdir", 30, "OpenFile { file: 9 }"),
    ("releasedir", 29, "OpenFile { file: 9 }"),
    ("unlink", 10, "pipe"),
    ("forget", 2, ""),
    ("rmdir", 11, "directory"),
    ("interrupt", 36, "Interrupt { unique: 152 }"),
    ("batch_forget", 42, ""),
];

/// Each with its name.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let lines = REQUESTS.lines().filter(|line| !line.starts_with('#'));
    let request = |line: &'static str| {
        let (name, digits) = line.split_once(' ').expect("a name and bytes");
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        (name, (0..digits.len()).step_by(2).map(byte).collect())
    };
    lines.map(request).collect()
}

/// The arguments, as we read them.
fn arguments(opcode: u32, fields: &mut Fields<'_>) -> Result<Vec<String>, Malformed> {
    let mut read = Vec::new();
    let mut names = 0;
    match opcode {
        1 | 10 | 11 => names = 1,
        4 => read.push(format!("{:?}", SetAttr::parse(fields)?)),
        6 => names = 2,
        8 => {
            read.push(format!("{:?}", MakeNode::parse(fields)?));
            names = 1;
        }
        9 => {
            read.push(format!("{:?}", MakeDirectory::parse(fields)?));
            names = 1;
        }
        12 => {
            read.push(format!("{:?}", Rename::parse(fields)?));
            names = 2;
        }
        13 => {
            read.push(format!("{:?}", Link::parse(fields)?));
            names = 1;
        }
        14 | 27 => read.push(format!("{:?}", Open::parse(fields)?)),
        15 | 44 => read.push(format!("{:?}", Read::parse(fields)?)),
        16 => {
            let write = Write::parse(fields)?;
            read.push(format!("{write:?}"));
            let bytes = (0..write.size).map(|_| fields.take::<1>().map(|[byte]| byte));
            let bytes = bytes.collect::<Result<Vec<_>, _>>()?;
            read.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        18 | 20 | 25 | 29 | 30 => read.push(format!("{:?}", OpenFile::parse(fields)?)),
        26 => read.push(format!("{:?}", Init::parse(fields)?)),
        34 => read.push(format!("{:?}", Access::parse(fields)?)),
        35 => {
            read.push(format!("{:?}", Create::parse(fields)?));
            names = 1;
        }
        36 => read.push(format!("{:?}", Interrupt::parse(fields)?)),
        45 => {
            read.push(format!("{:?}", Rename2::parse(fields)?));
            names = 2;
        }
        _ => {}
    }
    for _ in 0..names {
        read.push(String::from_utf8_lossy(fields.name()?).into_owned());
    }
    Ok(read)
}

#[test]
fn what_a_kernel_sent_is_read_as_it_was_meant() {
    let requests = requests();
    assert_eq!(requests.len(), READ.len());
    for ((name, bytes), (expected, opcode, read)) in requests.iter().zip(READ) {
        assert_eq!(name, expected);
        let mut fields = Fields::new(bytes);
        let header = Header::parse(&mut fields).expect("whole");
        assert_eq!((header.len as usize, header.opcode), (bytes.len(), *opcode), "{name}");
        assert_eq!(arguments(*opcode, &mut fields).expect("whole").join(" "), *read, "{name}");
    }
}

#[test]
fn whose_pages_are_read_and_written_is_told() {
    let requests = requests();
    let of = |name| {
        let found = requests.iter().find(|(other, _)| *other == name).expect("it is there");
        let mut fields = Fields::new(&found.1);
        Header::parse(&mut fields).expect("whole");
        fields
    };
    let fills_pages = |name| Read::parse(&mut of(name)).expect("whole").fills_pages();
    assert!(fills_pages("read_page") && fills_pages("read_page_of_direct_file"));
    assert!(!fills_pages("read_direct"));
    let writes_back = |name| Write::parse(&mut of(name)).expect("whole").writes_back();
    assert!(writes_back("write_back") && !writes_back("write") && !writes_back("write_direct"));
}

#[test]
fn one_that_is_cut_short_is_refused_and_one_with_other_bytes_read_or_refused() {
    for (name, bytes) in requests() {
        let mut fields = Fields::new(&bytes);
        let header = Header::parse(&mut fields).expect("whole");
        let whole = arguments(header.opcode, &mut fields).expect("whole");
        for len in 0..bytes.len() {
            let mut fields = Fields::new(&bytes[..len]);
            let read =
                Header::parse(&mut fields).and_then(|_| arguments(header.opcode, &mut fields));
            // The first of an older kernel is shorter; of others the end may be nothing to us.
            let is_same = header.opcode == Init::OPCODE || read.as_ref() == Ok(&whole);
            assert!(read.is_err() || is_same, "{name}, {len} bytes: {read:?}");
        }
        for at in Header::LEN..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 0xff;
            let mut fields = Fields::new(&other);
            Header::parse(&mut fields).expect("whole");
            let _read_or_refused = arguments(header.opcode, &mut fields);
        }
    }
}
