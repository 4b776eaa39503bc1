"""open, openat, creat, close."""

existing("open", lambda path: opened(path, R))
links_followed("open", lambda path: opened(path, R))
new("open to create alone", lambda path: opened(path, CREAT | EXCL | W))
way("open to create", lambda path: opened(path, CREAT | W))
existing("open O_PATH", lambda path: opened(path, os.O_PATH))
existing("execve", lambda path: os.execv(path, ["x"]))
links_followed("execve", lambda path: os.execv(path, ["x"]))

rows(
    ("open", TWO, "EACCES", "a file that may not be read", lambda: opened("secret", R)),
    ("open", TWO, "EACCES", "a file that may not be written", lambda: opened("file", W)),
    ("open", TWO, "EACCES", "one that may be read alone, for both", lambda: opened("file", RW)),
    ("open", TWO, "EACCES", "O_TRUNC for reading, what may not be written",
     lambda: opened("file", R | TRUNC)),
    ("open", TWO, "EACCES", "a file that its group may read alone, for writing",
     lambda: opened("grouped", W)),
    ("open", TWO, DONE, "a file that its group may read", lambda: opened("grouped", R)),
    ("open", ONE, "EACCES", "another's", lambda: opened("roots", R)),
    ("open", ROOT, DONE, "root may", lambda: opened("secret", RW)),
    ("open", ONE, "EACCES", "one's own that the others may read", lambda: opened("bare", R)),
    ("open", ONE, "EACCES", "the access mode of both bits wants both",
     lambda: opened("kept", W | RW)),
    ("open", TWO, "EACCES", "a directory that may not be read", lambda: opened("passed", R)),
    ("open", TWO, "EACCES", "a new file where none may be made",
     lambda: opened("fixed/new", CREAT | R)),
    ("open", TWO, "EACCES", "a pipe that may not be read",
     lambda: opened("pipe", R | os.O_NONBLOCK)),
    ("open", TWO, "EACCES", "a device that may not be read", lambda: opened("device", R)),
    ("open", ROOT, DONE, "a device", lambda: opened("device", RW)),
    ("open", TWO, DONE, "O_CREAT of what is there, where none may be made",
     lambda: opened("fixed/in", CREAT | RW)),
    ("open", TWO, DONE, "O_PATH of what may not be read", lambda: opened("secret", os.O_PATH)),
    ("open", ONE, "EEXIST", "O_CREAT | O_EXCL of a link to itself",
     lambda: opened("loop", CREAT | EXCL | W)),
    ("open", ONE, "EINVAL", "O_TMPFILE for reading", lambda: opened(".", R | os.O_TMPFILE)),
    ("open", ONE, DONE, "O_TMPFILE", lambda: opened(".", W | os.O_TMPFILE)),
    ("open", ONE, "EINVAL", "O_CREAT | O_DIRECTORY",
     lambda: opened("new", CREAT | R | os.O_DIRECTORY)),
    ("open", ONE, "EISDIR", "a directory for writing", lambda: opened("full", W)),
    ("open", ONE, "EISDIR", "a directory with O_CREAT", lambda: opened("full", CREAT | R)),
    ("open", ONE, "EISDIR", "a directory with O_TRUNC", lambda: opened("full", R | TRUNC)),
    ("open", ONE, "EISDIR", "O_CREAT with a slash at the end", lambda: opened("new/", CREAT | W)),
    ("open", ONE, "ELOOP", "O_NOFOLLOW of a link", lambda: opened("link", R | os.O_NOFOLLOW)),
    ("open", ONE, "ENOENT", "no O_CREAT, for writing", lambda: opened("none", W)),
    ("open", ONE, DONE, "O_CREAT by a link to nothing", lambda: opened("nowhere", CREAT | W)),
    ("open", ONE, "ELOOP", "O_CREAT by a link to itself", lambda: opened("loop", CREAT | W)),
    ("open", ONE, "ENOTDIR", "O_DIRECTORY of a file", lambda: opened("file", R | os.O_DIRECTORY)),
    ("open", ONE, "ENOTDIR", "a file with a slash at the end", lambda: opened("file/", R)),
    ("open", ONE, "ENOTDIR", "O_DIRECTORY | O_NOFOLLOW of a link to a directory",
     lambda: opened("to-dir", R | os.O_DIRECTORY | os.O_NOFOLLOW)),
    ("open", ONE, "ENXIO", "a pipe for writing that nobody reads, O_NONBLOCK",
     lambda: opened("pipe", W | os.O_NONBLOCK)),
    ("open", ONE, "ENXIO", "a socket", lambda: opened("socket", R)),
    ("open", TWO, "EPERM", "O_NOATIME of another's", lambda: opened("both", R | os.O_NOATIME)),
    ("open", ONE, DONE, "O_NOATIME of one's own", lambda: opened("both", R | os.O_NOATIME)),
    ("open", ONE, "ETXTBSY", "a program that runs, for writing", 
     lambda: running("program", lambda: opened("program", W))),
    ("open", ONE, "EFAULT", "no path", lambda: libc("open", NO_MEMORY, R)),
    ("openat", ONE, "EBADF", "of no directory", lambda: os.open("file", R, dir_fd=NO_FILE)),
    ("openat", ONE, "ENOTDIR", "of a file", lambda: os.open("in", R, dir_fd=opened("file", R))),
    ("openat", TWO, "EACCES", "of a directory that may not be passed",
     lambda: os.open("in", R, dir_fd=opened("listed", R))),
    ("close", ONE, "EBADF", "no open file", lambda: os.close(NO_FILE)),
    ("execve", TWO, "EACCES", "a file without the bit", lambda: os.execv("both", ["x"])),
    ("execve", ROOT, "EACCES", "also for root", lambda: os.execv("both", ["x"])),
    ("execve", ONE, "EACCES", "a directory", lambda: os.execv("full", ["x"])),
    ("execve", ONE, "EACCES", "a pipe", lambda: os.execv("pipe", ["x"])),
    ("execve", ONE, "ENOEXEC", "no program", lambda: os.execv("garbage", ["x"])),
    ("execve", ONE, "ETXTBSY", "open for writing", lambda: written_program()),
    ("execve", TWO, DONE, "by who may execute it", lambda: os.execv("program", ["x", "/dev/null"])),
)


def written_program():
    opened("program", W)
    child = os.fork()
    if child == 0:
        try:
            os.execv("program", ["x", "/dev/null"])
        except OSError as error:
            os._exit(error.errno)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise OSError(code, os.strerror(code))
