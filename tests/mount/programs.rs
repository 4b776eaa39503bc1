//! Programs that people use, on a mount.

use crate::mounted::{Mounted, cluster};

#[test]
fn trees_are_copied_packed_and_compared() {
    let Some(cluster) = cluster("trees_are_copied_packed_and_compared", &["tar", "diff"]) else {
        return;
    };
    let mount = Mounted::start(&cluster, "");
    mount.sh("mkdir -p in/deep/er; echo 1 > in/a; : > in/empty; ln -s ../a in/deep/link
         head -c 9000001 /dev/urandom > in/deep/large; chmod 640 in/a
         touch -d '2001-02-03 04:05:06.123456789' in/a
         cp -a in out; diff -r in out
         tar cf t.tar in; mkdir un; tar xf t.tar -C un; diff -r in un/in
         test \"$(stat -c '%y %a' in/a)\" = \"$(stat -c '%y %a' out/a)\"
         mv in moved; diff -r moved out; rm -r out un; test ! -e in");
    let python = "import os; print(sorted(os.listdir('.')))";
    assert_eq!(mount.python(python), "['moved', 't.tar']\n");
    mount.leave();
    cluster.down();
}

#[test]
fn git_clones_commits_and_finds_nothing_wrong() {
    let Some(cluster) = cluster("git_clones_commits_and_finds_nothing_wrong", &["git"]) else {
        return;
    };
    let mount = Mounted::start(&cluster, "");
    let said = mount.sh(
        "export HOME=$PWD GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
         git init -q one; cd one
         for n in 1 2 3 4 5 6 7 8; do mkdir -p d$n; seq $n 3000 > d$n/f; git add .; git commit -qm $n; done
         cd ..; git clone -q one two; cd two; git fsck --strict
         git gc -q; git fsck --strict; git status --porcelain; git log --oneline | wc -l",
    );
    assert_eq!(said.trim(), "8");
    mount.leave();
    cluster.down();
}

#[test]
fn a_database_lives_through_commits_and_roll_backs() {
    let Some(cluster) = cluster("a_database_lives_through_commits_and_roll_backs", &["python3"])
    else {
        return;
    };
    let mount = Mounted::start(&cluster, "");
    let script = "
import sqlite3
for mode in ('delete', 'wal'):
    db = sqlite3.connect(mode)
    assert db.execute('pragma journal_mode=' + mode).fetchone() == (mode,)
    db.execute('create table t(a integer primary key, b text)')
    for round in range(5):
        db.executemany('insert into t(b) values(?)', (('x' * n,) for n in range(200)))
        db.commit()
        db.execute('update t set b = b || b where a % 3 = 0')
        db.rollback()
    other = sqlite3.connect(mode)
    print(other.execute('select count(*), sum(length(b)) from t').fetchone())
    print(other.execute('pragma integrity_check').fetchone())
";
    assert_eq!(mount.python(script), "(1000, 99500)\n('ok',)\n".repeat(2));
    mount.leave();
    cluster.down();
}

#[test]
fn memory_maps_are_the_file() {
    let Some(cluster) = cluster("memory_maps_are_the_file", &["python3"]) else { return };
    let mount = Mounted::start(&cluster, "");
    let script = "
import mmap, os
f = open('m', 'w+b')
f.truncate(3 << 20)
m = mmap.mmap(f.fileno(), 3 << 20)
for at in range(0, 3 << 20, 65537):
    m[at] = 1 + at % 255
m.flush()
f.seek(65537)
assert f.read(1) == bytes([1 + 65537 % 255])
os.pwrite(f.fileno(), b'write', 5000)
assert m[5000:5005] == b'write'
private = mmap.mmap(f.fileno(), 8192, access=mmap.ACCESS_COPY)
private[5000:5005] = b'other'
private.close()
m[2 << 20] = 77
m.close()
f.close()
";
    mount.python(script);
    mount.leave();
    // Another mount reads what the first one's pages were.
    let mount = Mounted::start(&cluster, "");
    let script = "
b = open('m', 'rb').read()
assert len(b) == 3 << 20 and b[5000:5005] == b'write' and b[2 << 20] == 77
want = bytearray(3 << 20)
for at in range(0, 3 << 20, 65537):
    want[at] = 1 + at % 255
want[5000:5005] = b'write'
want[2 << 20] = 77
assert b == want
";
    mount.python(script);
    mount.leave();
    cluster.down();
}

#[test]
fn direct_and_cached_bytes_are_the_same() {
    let Some(cluster) = cluster("direct_and_cached_bytes_are_the_same", &["dd", "cmp"]) else {
        return;
    };
    for options in ["", "direct_io"] {
        let mount = Mounted::start(&cluster, options);
        mount.sh("head -c 21000000 /dev/urandom > a
             dd if=a of=b bs=1M oflag=direct 2>&1; cmp a b
             dd if=a of=c bs=100000 oflag=sync count=20 2>&1; cmp -n 2000000 a c
             dd if=b of=d bs=3M iflag=direct 2>&1; cmp a d
             dd if=a of=b bs=4096 skip=3 seek=700 count=300 conv=notrunc 2>&1
             dd if=a of=d bs=4096 skip=3 seek=700 count=300 conv=notrunc oflag=direct 2>&1; cmp b d
             rm a b c d");
        mount.leave();
    }
    cluster.down();
}
