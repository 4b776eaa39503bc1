"""opendir, readdir, telldir, seekdir, chdir; and a file system that is read-only."""

existing("opendir", os.listdir)
links_followed("opendir", os.listdir)
existing("chdir", os.chdir)
links_followed("chdir", os.chdir)


def getdents(file, size=4096):
    return libc("syscall", GETDENTS64, file, ctypes.create_string_buffer(size), size)


def removed_directory():
    os.mkdir("removed")
    directory = opened("removed", R)
    os.rmdir("removed")
    getdents(directory)


def told_and_sought():
    """Goes back to each place of a directory, and finds again what was there."""
    LIBC.opendir.restype = LIBC.readdir.restype = ctypes.c_void_p
    LIBC.telldir.restype = ctypes.c_long
    directory = ctypes.c_void_p(LIBC.opendir(b"."))
    name = lambda entry: ctypes.string_at(entry + 19)
    found = []
    while True:
        place = LIBC.telldir(directory)
        entry = LIBC.readdir(directory)
        if not entry:
            break
        found.append((place, name(entry)))
    same(len(found), len(os.listdir(".")) + 2)
    for place, expected in reversed(found):
        LIBC.seekdir(directory, ctypes.c_long(place))
        same(name(LIBC.readdir(directory)), expected)
    LIBC.rewinddir(directory)
    same(name(LIBC.readdir(directory)), found[0][1])


rows(
    ("opendir", TWO, "EACCES", "a directory that may be passed alone", lambda: os.listdir("passed")),
    ("opendir", TWO, DONE, "one that may be listed alone",
     lambda: same(os.listdir("listed"), ["in"])),
    ("opendir", ONE, "ENOTDIR", "a file", lambda: os.listdir("file")),
    ("readdir", ONE, "EBADF", "no open directory", lambda: getdents(NO_FILE)),
    ("readdir", ONE, "ENOTDIR", "a file", lambda: getdents(opened("file", R))),
    ("readdir", ONE, "EINVAL", "into too few bytes", lambda: getdents(opened("full", R), 1)),
    ("readdir", ONE, "EFAULT", "into no memory",
     lambda: libc("syscall", GETDENTS64, opened("full", R), NO_MEMORY, 4096)),
    ("readdir", ONE, "ENOENT", "a directory that was removed", removed_directory),
    ("seekdir", ONE, DONE, "to every place", told_and_sought),
    ("chdir", TWO, "EACCES", "a directory that may be listed alone", lambda: os.chdir("listed")),
    ("chdir", TWO, DONE, "one that may be passed alone", lambda: os.chdir("passed")),
    ("chdir", ONE, "ENOTDIR", "a file", lambda: os.chdir("file")),
    ("fchdir", ONE, "EBADF", "no open file", lambda: os.fchdir(NO_FILE)),
    ("fchdir", ONE, "ENOTDIR", "a file", lambda: os.fchdir(opened("file", R))),
    ("fchdir", TWO, "EACCES", "a directory that may be listed alone",
     lambda: os.fchdir(opened("listed", R))),
)

read_only(
    ("open", ROOT, "EROFS", "for writing", lambda: opened("both", W)),
    ("open", ROOT, "EROFS", "O_CREAT of a new name", lambda: opened("new", CREAT | W)),
    ("open", ROOT, "EROFS", "O_TRUNC", lambda: opened("both", R | TRUNC)),
    ("open", ROOT, DONE, "for reading", lambda: opened("both", R)),
    ("open", ROOT, DONE, "O_CREAT of what is there, for reading", lambda: opened("both", CREAT | R)),
    ("open", ROOT, DONE, "a device for writing", lambda: opened("device", W)),
    ("open", TWO, "EACCES", "what may not be read", lambda: opened("secret", R)),
    ("truncate", ROOT, "EROFS", "a file", lambda: os.truncate("both", 3)),
    ("mkdir", ROOT, "EROFS", "a new name", lambda: os.mkdir("new")),
    ("mkdir", ROOT, "EEXIST", "a name that is there", lambda: os.mkdir("full")),
    ("mknod", ROOT, "EROFS", "a new name", lambda: os.mknod("new")),
    ("symlink", ROOT, "EROFS", "a new name", lambda: os.symlink("file", "new")),
    ("link", ROOT, "EROFS", "a new name", lambda: os.link("both", "new")),
    ("unlink", ROOT, "EROFS", "a file", lambda: os.unlink("both")),
    ("rmdir", ROOT, "EROFS", "a directory", lambda: os.rmdir("empty")),
    ("rename", ROOT, "EROFS", "a file", lambda: os.rename("both", "new")),
    ("chmod", ROOT, "EROFS", "a file", lambda: os.chmod("both", 0o600)),
    ("chown", ROOT, "EROFS", "a file", lambda: os.chown("both", 0, 0)),
    ("utimensat", ROOT, "EROFS", "a file", lambda: utimensat("both", THEN, THEN)),
    ("setxattr", ROOT, "EROFS", "a file", lambda: os.setxattr("both", "user.a", b"x")),
    ("access", ROOT, "EROFS", "to write", lambda: must_access("both", os.W_OK)),
    ("access", ROOT, DONE, "to write a device", lambda: must_access("device", os.W_OK)),
)
