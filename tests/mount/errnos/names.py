"""mkdir, rmdir, mknod, link, symlink, readlink, unlink, rename, renameat2, sockets."""

import socket

new("mkdir", os.mkdir)
existing("rmdir", os.rmdir)
new("mknod", lambda path: os.mknod(path, stat.S_IFREG | 0o600))
new("mkfifo", os.mkfifo)
new("link", lambda path: os.link("both", path))
existing("link from", lambda path: os.link(path, "new"))
new("symlink", lambda path: os.symlink("file", path))
existing("readlink", os.readlink)
existing("unlink", os.unlink)
existing("rename", lambda path: os.rename(path, "new"))
way("rename to", lambda path: os.rename("both", path))

rows(
    ("mkdir", ROOT, "EEXIST", "the root of a file system", lambda: os.mkdir(BUSY)),
    ("mkdir", ONE, "EEXIST", "`.`", lambda: os.mkdir(".")),
    ("mkdir", ONE, DONE, "a slash at the end", lambda: os.mkdir("new/")),
    ("mkdir", ONE, DONE, "gets group and bit of its directory", lambda: [
        os.mkdir("setgid/new", 0o700), same(mode_of("setgid/new"), (0o2700, ONE[3][0]))]),
    ("mkdir", ONE, "EFAULT", "no path", lambda: libc("mkdir", NO_MEMORY, 0o700)),
    ("rmdir", TWO, "EACCES", "of a directory that may not be written",
     lambda: os.rmdir("fixed/dir")),
    ("rmdir", TWO, "EPERM", "another's in a sticky directory", lambda: os.rmdir("sticky/dir")),
    ("rmdir", ONE, DONE, "one's own there", lambda: os.rmdir("sticky/dir")),
    ("rmdir", ROOT, "EBUSY", "what something is mounted on", lambda: os.rmdir(BUSY)),
    ("rmdir", ONE, "EINVAL", "`.`", lambda: os.rmdir("empty/.")),
    ("rmdir", ONE, "ENOTEMPTY", "`..`", lambda: os.rmdir("empty/..")),
    ("rmdir", ONE, "ENOTEMPTY", "what has entries", lambda: os.rmdir("full")),
    ("rmdir", ONE, "ENOTDIR", "a file", lambda: os.rmdir("file")),
    ("rmdir", ONE, "ENOTDIR", "a link to a directory", lambda: os.rmdir("to-dir")),
    ("rmdir", ONE, "ENOTDIR", "a link to a directory with a slash", lambda: os.rmdir("to-dir/")),
    ("mknod", ONE, "EPERM", "a device", lambda: os.mknod("new", stat.S_IFCHR | 0o600, 0x103)),
    ("mknod", ONE, "EPERM", "a directory", lambda: os.mknod("new", stat.S_IFDIR | 0o700)),
    ("mknod", ONE, "EINVAL", "a link", lambda: os.mknod("new", stat.S_IFLNK | 0o700)),
    ("mknod", ONE, "EINVAL", "no known kind", lambda: os.mknod("new", 0o170600)),
    ("mknod", ONE, DONE, "a mark of what is not there", lambda: os.mknod("new", stat.S_IFCHR, 0)),
    ("mknod", ROOT, DONE, "a device", lambda: [
        os.mknod("new", stat.S_IFBLK | 0o600, os.makedev(300, 70000)),
        same(os.stat("new").st_rdev, os.makedev(300, 70000))]),
    ("mknod", ONE, DONE, "a socket", lambda: os.mknod("new", stat.S_IFSOCK | 0o600)),
    ("link", ONE, "EPERM", "a directory", lambda: os.link("full", "new")),
    ("link", ROOT, "EPERM", "also for root", lambda: os.link("full", "new")),
    ("link", TWO, "EPERM", "another's that may be read alone", lambda: os.link("file", "new")),
    ("link", TWO, "EPERM", "another's that may not be read", lambda: os.link("secret", "new")),
    ("link", TWO, "EPERM", "another's program of their rights", lambda: os.link("setuid", "new")),
    ("link", TWO, "EPERM", "another's pipe", lambda: os.link("pipe-for-all", "new")),
    ("link", TWO, DONE, "another's that may be read and written", lambda: os.link("both", "new")),
    ("link", ONE, DONE, "one's own that may not be read", lambda: os.link("bare", "new")),
    ("link", ONE, DONE, "a link itself", lambda: [
        os.link("nowhere", "new", follow_symlinks=False), same(os.readlink("new"), "none")]),
    ("link", ONE, "ENOENT", "AT_SYMLINK_FOLLOW of a link to nothing",
     lambda: libc("linkat", AT_FDCWD, "nowhere", AT_FDCWD, "new", 0x400)),
    ("link", ONE, "EINVAL", "flags", lambda: libc("linkat", AT_FDCWD, "file", AT_FDCWD, "new", 1)),
    ("link", ROOT, "ENOENT", "an open file that was removed", lambda: removed_then(
        lambda file: libc("linkat", AT_FDCWD, f"/proc/self/fd/{file}", AT_FDCWD, "new", 0x400))),
    ("link", ROOT, "EXDEV", "from another file system", lambda: os.link(OTHER_FILE, "new")),
    ("symlink", ONE, "ENOENT", "to nothing at all", lambda: os.symlink("", "new")),
    ("symlink", ONE, "ENAMETOOLONG", "to 4,096 bytes", lambda: os.symlink("t" * 4096, "new")),
    ("symlink", ONE, DONE, "to 4,095 bytes", lambda: [
        os.symlink("t" * 4095, "new"), same(os.readlink("new"), "t" * 4095)]),
    ("symlink", ONE, "ENOENT", "a slash at the end", lambda: os.symlink("file", "new/")),
    ("readlink", ONE, "EINVAL", "a file", lambda: os.readlink("file")),
    ("readlink", ONE, "EINVAL", "a directory", lambda: os.readlink("full")),
    ("readlink", ONE, "EINVAL", "into no bytes", lambda: libc("readlink", "link", None, 0)),
    ("readlink", ONE, "EFAULT", "into no memory", lambda: libc("readlink", "link", NO_MEMORY, 9)),
    ("readlink", TWO, DONE, "a link to itself", lambda: same(os.readlink("loop"), "loop")),
    ("unlink", TWO, "EACCES", "of a directory that may not be written",
     lambda: os.unlink("fixed/in")),
    ("unlink", TWO, "EACCES", "of one that may be listed alone", lambda: os.unlink("listed/in")),
    ("unlink", TWO, "EPERM", "another's in a sticky directory", lambda: os.unlink("sticky/ones")),
    ("unlink", TWO, DONE, "one's own there", lambda: os.unlink("sticky/twos")),
    ("unlink", TWO, DONE, "another's that may not be read", lambda: os.unlink("secret")),
    ("unlink", ONE, "EISDIR", "a directory", lambda: os.unlink("full")),
    ("unlink", ROOT, "EISDIR", "also for root", lambda: os.unlink("full")),
    ("unlink", ONE, "EISDIR", "`.`", lambda: os.unlink(".")),
    ("unlink", ONE, "ENOTDIR", "a file with a slash at the end", lambda: os.unlink("file/")),
    ("unlink", ONE, "EINVAL", "flags", lambda: libc("unlinkat", AT_FDCWD, "file", 1)),
    ("unlink", ONE, DONE, "a link to itself", lambda: os.unlink("loop")),
    ("rename", TWO, "EACCES", "out of a directory that may not be written",
     lambda: os.rename("fixed/in", "new")),
    ("rename", TWO, "EACCES", "into one", lambda: os.rename("both", "fixed/new")),
    ("rename", TWO, "EACCES", "over something in one", lambda: os.rename("both", "fixed/in")),
    ("rename", TWO, "EACCES", "a directory that may not be written, elsewhere",
     lambda: os.rename("mine", "full/mine")),
    ("rename", TWO, DONE, "the same, but not elsewhere", lambda: os.rename("mine", "yours")),
    ("rename", TWO, "EPERM", "another's in a sticky directory",
     lambda: os.rename("sticky/ones", "new")),
    ("rename", TWO, "EPERM", "over another's there", lambda: os.rename("both", "sticky/ones")),
    ("rename", TWO, DONE, "one's own there", lambda: os.rename("sticky/twos", "new")),
    ("rename", ROOT, "EBUSY", "what something is mounted on", lambda: os.rename(BUSY, BUSY + "2")),
    ("rename", ROOT, "EBUSY", "over it", lambda: os.rename("empty", BUSY)),
    ("rename", ONE, "EBUSY", "`.`", lambda: os.rename("empty/.", "new")),
    ("rename", ONE, "EINVAL", "into itself", lambda: os.rename("full", "full/new")),
    ("rename", ONE, "EINVAL", "far into itself", lambda: os.rename("fixed", "fixed/dir/new")),
    ("rename", ONE, "ENOTEMPTY", "over what it is in", lambda: os.rename("fixed/dir", "fixed")),
    ("rename", ONE, "ENOTEMPTY", "over a directory with entries",
     lambda: os.rename("empty", "full")),
    ("rename", ONE, DONE, "over one without", lambda: os.rename("full", "empty")),
    ("rename", ONE, "EISDIR", "a file over a directory", lambda: os.rename("file", "empty")),
    ("rename", ONE, "ENOTDIR", "a directory over a file", lambda: os.rename("empty", "file")),
    ("rename", ONE, "ENOTDIR", "a file to a name with a slash", lambda: os.rename("file", "new/")),
    ("rename", ONE, "ENOENT", "into a directory that was removed", lambda: in_removed(
        lambda path: os.rename("../file", path))),
    ("rename", ROOT, "EXDEV", "to another file system", lambda: os.rename("file", OTHER + "/new")),
    ("rename", ONE, DONE, "over another name of the same file, which does nothing", lambda: [
        os.link("file", "new"), os.rename("file", "new"), os.stat("file")]),
    ("renameat2", ONE, "EINVAL", "no known flag", lambda: renameat2("file", "new", 1 << 10)),
    ("renameat2", ONE, "EINVAL", "two that exclude each other",
     lambda: renameat2("file", "both", NOREPLACE | EXCHANGE)),
    ("renameat2", ONE, "EEXIST", "RENAME_NOREPLACE, a name that is there",
     lambda: renameat2("file", "both", NOREPLACE)),
    ("renameat2", ONE, "EEXIST", "the same, of one file",
     lambda: renameat2("file", "file", NOREPLACE)),
    ("renameat2", ONE, DONE, "RENAME_NOREPLACE, a new name", lambda: [
        renameat2("file", "new", NOREPLACE), os.stat("new")]),
    ("renameat2", TWO, "EACCES", "RENAME_NOREPLACE where none may be made",
     lambda: renameat2("both", "fixed/new", NOREPLACE)),
    ("renameat2", ONE, "ENOENT", "RENAME_EXCHANGE with nothing",
     lambda: renameat2("file", "none", EXCHANGE)),
    ("renameat2", ONE, DONE, "RENAME_EXCHANGE", lambda: [
        renameat2("file", "full", EXCHANGE), os.stat("file/in"), same(os.stat("full").st_size, 10)]),
    ("renameat2", ONE, DONE, "RENAME_EXCHANGE across directories", lambda: [
        renameat2("fixed/dir", "both", EXCHANGE), same(os.stat("fixed/dir").st_size, 10),
        same((os.stat("fixed").st_nlink, os.stat("both").st_nlink), (2, 2))]),
    ("renameat2", ONE, "EINVAL", "RENAME_EXCHANGE with what it is in",
     lambda: renameat2("fixed/dir", "fixed", EXCHANGE)),
    ("renameat2", ONE, "EINVAL", "RENAME_EXCHANGE with what is in it",
     lambda: renameat2("fixed", "fixed/dir", EXCHANGE)),
    ("renameat2", TWO, "EPERM", "RENAME_EXCHANGE with another's in a sticky directory",
     lambda: renameat2("both", "sticky/ones", EXCHANGE)),
    ("renameat2", TWO, "EACCES", "RENAME_EXCHANGE of a directory that may not be written",
     lambda: renameat2("mine", "full/in", EXCHANGE)),
    ("renameat2", TWO, "EACCES", "RENAME_EXCHANGE with one",
     lambda: renameat2("full/in", "mine", EXCHANGE)),
    ("bind", TWO, "EADDRINUSE", "a name that is there", lambda: socket_of().bind("file")),
    ("bind", TWO, "EACCES", "a directory that may not be written",
     lambda: socket_of().bind("fixed/new")),
    ("connect", ONE, "ECONNREFUSED", "a socket that nobody listens at",
     lambda: socket_of().connect("socket")),
    ("connect", ONE, "ECONNREFUSED", "a file", lambda: socket_of().connect("file")),
    ("connect", TWO, "EACCES", "a socket that may not be written",
     lambda: socket_of().connect("socket")),
)


def socket_of():
    return socket.socket(socket.AF_UNIX)


def removed_then(act, flags=0):
    file = opened("removed", CREAT | RW | flags)
    os.unlink("removed")
    act(file)


def mode_of(path):
    found = os.lstat(path)
    return stat.S_IMODE(found.st_mode), found.st_gid
