"""stat, statx, access, chmod, chown, utimensat, statfs, extended attributes."""

for name, act in [
    ("stat", os.stat), ("access", lambda path: must_access(path, os.F_OK)),
    ("chmod", lambda path: os.chmod(path, 0o600)), ("chown", lambda path: os.chown(path, -1, -1)),
    ("utimensat", lambda path: utimensat(path, THEN, THEN)),
    ("statfs", lambda path: libc("statfs", path, ctypes.create_string_buffer(500))),
    ("getxattr", lambda path: os.getxattr(path, "user.none")),
]:
    existing(name, act)
    links_followed(name, act)
existing("lstat", os.lstat)
existing("lchown", lambda path: os.lchown(path, -1, -1))


def must_access(path, mode, flags=0):
    libc("syscall", FACCESSAT2, AT_FDCWD, path, mode, flags)


def as_owner(act):
    """As root by right, but with the second user as owner of what is done."""
    os.setresuid(0, TWO[1], 0)
    act()


def sgid_kept(path, expected):
    same(mode_of(path)[0] & 0o6000, expected)


rows(
    ("stat", TWO, DONE, "what may not be read", lambda: os.stat("secret")),
    ("stat", TWO, "ENOTDIR", "a file with a slash at the end", lambda: os.stat("file/")),
    ("lstat", TWO, DONE, "a link to itself", lambda: os.lstat("loop")),
    ("lstat", TWO, "ELOOP", "a link to itself with a slash", lambda: os.lstat("loop/")),
    ("stat", ONE, "EFAULT", "into no memory", lambda: libc("stat", "file", NO_MEMORY)),
    ("fstat", ONE, "EBADF", "no open file", lambda: os.fstat(NO_FILE)),
    ("fstat", ONE, DONE, "O_PATH", lambda: os.fstat(opened("file", os.O_PATH))),
    ("statx", ONE, "EINVAL", "a reserved mask",
     lambda: libc("statx", AT_FDCWD, "file", 0, 1 << 31, ctypes.create_string_buffer(256))),
    ("statx", ONE, "EINVAL", "both ways to be in step",
     lambda: libc("statx", AT_FDCWD, "file", 0x6000, 0xfff, ctypes.create_string_buffer(256))),
    ("statx", TWO, "EACCES", "a directory on the way that may not be passed",
     lambda: libc("statx", AT_FDCWD, "closed/in", 0, 0xfff, ctypes.create_string_buffer(256))),
    ("access", TWO, "EACCES", "to read", lambda: must_access("secret", os.R_OK)),
    ("access", TWO, "EACCES", "to write", lambda: must_access("file", os.W_OK)),
    ("access", TWO, "EACCES", "to execute", lambda: must_access("both", os.X_OK)),
    ("access", TWO, "EACCES", "two, of which one is missing",
     lambda: must_access("file", os.R_OK | os.W_OK)),
    ("access", TWO, "EACCES", "a pipe", lambda: must_access("pipe", os.R_OK)),
    ("access", ROOT, "EACCES", "root, to execute what nobody may",
     lambda: must_access("both", os.X_OK)),
    ("access", ROOT, DONE, "root, to write", lambda: must_access("secret", os.R_OK | os.W_OK)),
    ("access", TWO, DONE, "what its group may read", lambda: must_access("grouped", os.R_OK)),
    ("access", ONE, DONE, "its owner, not by the group's bits",
     lambda: must_access("grouped", os.W_OK)),
    ("access", TWO, "EINVAL", "no known mode", lambda: must_access("file", 8)),
    ("access", ROOT, "EACCES", "AT_EACCESS, by who one has become",
     lambda: as_owner(lambda: must_access("secret", os.R_OK, AT_EACCESS))),
    ("access", ROOT, DONE, "by who one is",
     lambda: as_owner(lambda: must_access("secret", os.R_OK))),
    ("chmod", TWO, "EPERM", "another's", lambda: os.chmod("both", 0o600)),
    ("chmod", TWO, "EPERM", "another's, to what it is", lambda: os.chmod("both", 0o666)),
    ("chmod", ROOT, DONE, "root may", lambda: os.chmod("both", 0o600)),
    ("chmod", ONE, DONE, "not in its group, which takes set-group-id off", lambda: [
        os.chmod("grouped", 0o2755), sgid_kept("grouped", 0)]),
    ("chmod", ONE, DONE, "in its group", lambda: [
        os.chmod("both", 0o2755), sgid_kept("both", 0o2000)]),
    ("chmod", ONE, "EOPNOTSUPP", "a link itself",
     lambda: libc("fchmodat", AT_FDCWD, "link", 0o600, AT_SYMLINK_NOFOLLOW)),
    ("fchmod", ONE, "EBADF", "no open file", lambda: os.fchmod(NO_FILE, 0o600)),
    ("fchmod", ONE, "EBADF", "O_PATH", lambda: os.fchmod(opened("both", os.O_PATH), 0o600)),
    ("fchmod", TWO, "EPERM", "another's", lambda: os.fchmod(opened("both", R), 0o600)),
    ("chown", ONE, "EPERM", "one's own, to another", lambda: os.chown("both", TWO[1], -1)),
    ("chown", TWO, "EPERM", "another's, to oneself", lambda: os.chown("both", TWO[1], -1)),
    ("chown", TWO, "EPERM", "another's, to what it is", lambda: os.chown("both", ONE[1], -1)),
    ("chown", TWO, "EPERM", "another's, to one's own group", lambda: os.chown("both", -1, TWO[2])),
    ("chown", ONE, "EPERM", "to a group that one is not in",
     lambda: os.chown("both", -1, TWO[3][0])),
    ("chown", ONE, DONE, "to a group that one is in", lambda: os.chown("both", -1, ONE[3][0])),
    ("chown", ONE, DONE, "to who it is", lambda: os.chown("both", ONE[1], ONE[2])),
    ("chown", ONE, DONE, "which takes rights off", lambda: [
        os.chown("setuid", -1, ONE[3][0]), sgid_kept("setuid", 0)]),
    ("chown", ROOT, DONE, "by root, too", lambda: [os.chown("setuid", 0, 0), sgid_kept("setuid", 0)]),
    ("chown", ROOT, DONE, "a directory keeps them", lambda: [
        os.chown("setgid", 0, 0), sgid_kept("setgid", 0o2000)]),
    ("lchown", ONE, "EPERM", "one's own link, to another", lambda: os.lchown("link", TWO[1], -1)),
    ("fchown", ONE, "EBADF", "O_PATH", lambda: os.fchown(opened("both", os.O_PATH), -1, ONE[2])),
    ("fchown", TWO, "EPERM", "another's", lambda: os.fchown(opened("both", R), TWO[1], -1)),
    ("utimensat", TWO, "EACCES", "now, what may not be written",
     lambda: utimensat("file", NOW, NOW)),
    ("utimensat", TWO, DONE, "now, what may be written", lambda: utimensat("both", NOW, NOW)),
    ("utimensat", TWO, "EPERM", "another time, what may be written",
     lambda: utimensat("both", THEN, THEN)),
    ("utimensat", TWO, "EPERM", "now, but one of them alone",
     lambda: utimensat("both", NOW, OMIT)),
    ("utimensat", TWO, "EPERM", "the other alone", lambda: utimensat("both", OMIT, NOW)),
    ("utimensat", TWO, "EPERM", "one now, one another time",
     lambda: utimensat("both", NOW, THEN)),
    ("utimensat", ONE, DONE, "one of them alone, one's own that may not be written", lambda: [
        before := os.stat("kept").st_mtime_ns, utimensat("kept", THEN, OMIT),
        same(os.stat("kept").st_atime_ns, 1_000_000_002),
        same(os.stat("kept").st_mtime_ns, before)]),
    ("utimensat", TWO, DONE, "neither", lambda: utimensat("secret", OMIT, OMIT)),
    ("utimensat", ONE, "EINVAL", "more nanoseconds than a second has",
     lambda: utimensat("both", (0, 1_000_000_000), THEN)),
    ("utimensat", ONE, "EINVAL", "no known flag",
     lambda: utimensat("both", THEN, THEN, 1)),
    ("utimensat", ONE, DONE, "a link itself", lambda: [
        utimensat("nowhere", THEN, THEN, AT_SYMLINK_NOFOLLOW),
        same(os.lstat("nowhere").st_mtime_ns, 1_000_000_002)]),
    ("futimens", ONE, "EBADF", "no open file",
     lambda: libc("futimens", NO_FILE, (ctypes.c_long * 4)(*THEN, *THEN))),
    ("fstatfs", ONE, "EBADF", "no open file",
     lambda: libc("fstatfs", NO_FILE, ctypes.create_string_buffer(500))),
    ("statfs", ONE, "EFAULT", "into no memory", lambda: libc("statfs", "file", NO_MEMORY)),
    ("setxattr", ONE, DONE, "a name of users", lambda: os.setxattr("both", "user.a", b"x")),
    ("setxattr", TWO, "EPERM", "a name of the trusted",
     lambda: os.setxattr("both", "trusted.a", b"x")),
    ("getxattr", ONE, "ENODATA", "no such name", lambda: os.getxattr("both", "user.none")),
    ("listxattr", ONE, DONE, "none", lambda: same(os.listxattr("both"), [])),
    ("removexattr", ONE, "ENODATA", "no such name", lambda: os.removexattr("both", "user.none")),
    ("write", TWO, DONE, "which takes rights off", lambda: [
        os.write(opened("setuid", W), b"x"), sgid_kept("setuid", 0)]),
    ("write", ROOT, DONE, "by root, which does not", lambda: [
        os.write(opened("setuid", W), b"x"), sgid_kept("setuid", 0o6000)]),
    ("truncate", TWO, DONE, "which takes rights off", lambda: [
        os.truncate("setuid", 3), sgid_kept("setuid", 0)]),
    ("open", TWO, DONE, "O_TRUNC, which takes rights off", lambda: [
        opened("setuid", W | TRUNC), sgid_kept("setuid", 0)]),
    ("open", TWO, DONE, "a new file gets the group of its directory", lambda: [
        opened("setgid/new", CREAT | W, 0o2775), same(mode_of("setgid/new"), (0o775, ONE[3][0]))]),
    ("open", ONE, DONE, "and the bit, if one is in the group", lambda: [
        opened("setgid/new", CREAT | W, 0o2775), same(mode_of("setgid/new"), (0o2775, ONE[3][0]))]),
)
