"""read, pread, readv, write, pwrite, lseek, truncate, ftruncate, fallocate, fsync, mmap, copies, locks."""

import fcntl
import mmap
import resource
import signal
import struct

existing("truncate", lambda path: os.truncate(path, 3))
links_followed("truncate", lambda path: os.truncate(path, 3))

FAR = 1 << 62  # beyond what any file may have


def limited(act):
    """With files of at most 4 KiB, and without the signal."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    act()


def silent_pipe(act):
    """A pipe that nobody writes to, and who reads it has left."""
    reader = opened("pipe", R | os.O_NONBLOCK)
    act(reader, opened("pipe", W))


def map_file(path, flags, protection, share=mmap.MAP_SHARED, length=4096, offset=0):
    libc("mmap", None, length, protection, share, opened(path, flags), offset)


def copy(source, to, *words):
    return os.copy_file_range(source, to, *words)


def locked(lock, path="both"):
    """Locks it by two descriptors."""
    lock(opened(path, RW))
    lock(opened(path, RW))


def ofd_lock(file, kind=fcntl.F_WRLCK):
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, 0, 0, 0, 0))


rows(
    ("read", ONE, "EBADF", "no open file", lambda: os.read(NO_FILE, 1)),
    ("read", ONE, "EBADF", "open for writing", lambda: os.read(opened("both", W), 1)),
    ("read", ONE, "EBADF", "O_PATH", lambda: os.read(opened("both", os.O_PATH), 1)),
    ("read", ONE, "EISDIR", "a directory", lambda: os.read(opened("full", R), 1)),
    ("read", ONE, "EFAULT", "into no memory", lambda: libc("read", opened("both", R), NO_MEMORY, 5)),
    ("read", ONE, "EFAULT", "into no memory, O_DIRECT",
     lambda: libc("read", opened("both", R | os.O_DIRECT), ctypes.c_void_p(4096), 4096)),
    ("read", ONE, "EAGAIN", "an empty pipe, O_NONBLOCK",
     lambda: silent_pipe(lambda reader, _: os.read(reader, 1))),
    ("pread", ONE, "EINVAL", "a negative place", lambda: os.pread(opened("both", R), 1, -1)),
    ("pread", ONE, "ESPIPE", "a pipe",
     lambda: os.pread(opened("pipe", R | os.O_NONBLOCK), 1, 0)),
    ("pread", ONE, DONE, "far behind the end", lambda: same(os.pread(opened("both", R), 9, FAR), b"")),
    ("readv", ONE, "EINVAL", "more than 1,024 parts",
     lambda: os.readv(opened("both", R), [bytearray(1)] * 1025)),
    ("write", ONE, "EBADF", "no open file", lambda: os.write(NO_FILE, b"x")),
    ("write", ONE, "EBADF", "open for reading", lambda: os.write(opened("both", R), b"x")),
    ("write", ONE, "EFAULT", "from no memory", 
     lambda: removed_then(lambda file: libc("write", file, NO_MEMORY, 5))),
    ("write", ONE, "EPIPE", "to a pipe that nobody reads", lambda: broken_pipe()),
    ("write", ONE, "EFBIG", "beyond what the process may",
     lambda: limited(lambda: os.pwrite(opened("both", W), b"x", 4096))),
    ("write", ONE, "EFBIG", "the same, O_APPEND",
     lambda: limited(lambda: removed_then(
         lambda file: [os.write(file, b"x" * 9999) for _ in range(2)], os.O_APPEND))),
    ("pwrite", ONE, "EFBIG", "beyond the largest file", lambda: os.pwrite(opened("both", W), b"x", FAR)),
    ("pwrite", ONE, "EFBIG", "the same, O_SYNC",
     lambda: os.pwrite(opened("both", W | os.O_SYNC), b"x", FAR)),
    ("pwrite", ONE, "EINVAL", "a negative place", lambda: os.pwrite(opened("both", W), b"x", -1)),
    ("pwrite", ONE, "ESPIPE", "a pipe", lambda: os.pwrite(opened("pipe", RW), b"x", 0)),
    ("writev", ONE, "EINVAL", "more than 1,024 parts",
     lambda: os.writev(opened("both", W), [b"x"] * 1025)),
    ("lseek", ONE, "EBADF", "no open file", lambda: os.lseek(NO_FILE, 0, 0)),
    ("lseek", ONE, "EINVAL", "before the start", lambda: os.lseek(opened("both", R), -1, 0)),
    ("lseek", ONE, "EINVAL", "before the start, from the end",
     lambda: os.lseek(opened("both", R), -11, os.SEEK_END)),
    ("lseek", ONE, "EINVAL", "by no known way", lambda: os.lseek(opened("both", R), 0, 77)),
    ("lseek", ONE, "ENXIO", "SEEK_DATA behind the end",
     lambda: os.lseek(opened("both", R), 10, os.SEEK_DATA)),
    ("lseek", ONE, "ENXIO", "SEEK_HOLE behind the end",
     lambda: os.lseek(opened("both", R), 10, os.SEEK_HOLE)),
    ("lseek", ONE, "ENXIO", "SEEK_DATA before the start",
     lambda: os.lseek(opened("both", R), -1, os.SEEK_DATA)),
    ("lseek", ONE, "ESPIPE", "a pipe", lambda: os.lseek(opened("pipe", RW), 0, 0)),
    ("lseek", ONE, DONE, "data to the end, where a hole begins", lambda: [
        same(os.lseek(opened("both", R), 3, os.SEEK_DATA), 3),
        same(os.lseek(opened("both", R), 3, os.SEEK_HOLE), 10)]),
    ("truncate", TWO, "EACCES", "a file that may not be written", lambda: os.truncate("file", 3)),
    ("truncate", TWO, "EACCES", "one that its group may read alone",
     lambda: os.truncate("grouped", 3)),
    ("truncate", TWO, DONE, "another's that may be written", lambda: os.truncate("both", 3)),
    ("truncate", ONE, "EFBIG", "beyond the largest file", lambda: os.truncate("both", FAR)),
    ("truncate", ONE, "EFBIG", "beyond what the process may",
     lambda: limited(lambda: os.truncate("both", 4097))),
    ("truncate", ONE, "EINVAL", "a negative length", lambda: os.truncate("both", -1)),
    ("truncate", ONE, "EINVAL", "a pipe", lambda: os.truncate("pipe", 0)),
    ("truncate", ONE, "EISDIR", "a directory", lambda: os.truncate("full", 0)),
    ("truncate", ONE, "ETXTBSY", "a program that runs",
     lambda: running("program", lambda: os.truncate("program", 0))),
    ("ftruncate", ONE, "EBADF", "no open file", lambda: os.ftruncate(NO_FILE, 3)),
    ("ftruncate", ONE, "EINVAL", "open for reading", lambda: os.ftruncate(opened("both", R), 3)),
    ("ftruncate", ONE, "EINVAL", "a negative length",
     lambda: os.ftruncate(opened("both", W), -1)),
    ("ftruncate", ONE, "EFBIG", "beyond the largest file",
     lambda: os.ftruncate(opened("both", W), FAR)),
    ("ftruncate", ONE, DONE, "open, though it may not be written since", lambda: [
        file := opened("both", W), os.chmod("both", 0o444), os.ftruncate(file, 3)]),
    ("fallocate", ONE, "EBADF", "no open file", lambda: libc("fallocate", NO_FILE, 0, 0, 1)),
    ("fallocate", ONE, "EBADF", "open for reading",
     lambda: libc("fallocate", opened("both", R), 0, 0, 1)),
    ("fallocate", ONE, "EINVAL", "no bytes", lambda: libc("fallocate", opened("both", W), 0, 0, 0)),
    ("fallocate", ONE, "EFBIG", "beyond any file",
     lambda: libc("fallocate", opened("both", W), 0, (1 << 63) - 5, 9)),
    ("fallocate", ONE, "ESPIPE", "a pipe", lambda: libc("fallocate", opened("pipe", RW), 0, 0, 1)),
    ("fallocate", ONE, "EOPNOTSUPP", "a mode that there is not",
     lambda: libc("fallocate", opened("both", W), 1 << 20, 0, 1)),
    ("fallocate", ONE, DONE, "room", lambda: libc("fallocate", opened("both", W), 0, 0, 100)),
    ("fallocate", ONE, DONE, "a hole",
     lambda: libc("fallocate", opened("both", W), FALLOC_PUNCH, 0, 5)),
    ("fsync", ONE, "EBADF", "no open file", lambda: os.fsync(NO_FILE)),
    ("fsync", ONE, "EBADF", "O_PATH", lambda: os.fsync(opened("both", os.O_PATH))),
    ("fsync", ONE, "EINVAL", "a pipe", lambda: os.fsync(opened("pipe", RW))),
    ("fdatasync", ONE, "EBADF", "no open file", lambda: os.fdatasync(NO_FILE)),
    ("fdatasync", ONE, "EINVAL", "a pipe", lambda: os.fdatasync(opened("pipe", RW))),
    ("fsync", TWO, DONE, "open for reading", lambda: os.fsync(opened("file", R))),
    ("fsync", TWO, DONE, "a directory", lambda: os.fsync(opened("fixed", R))),
    ("syncfs", ONE, "EBADF", "no open file", lambda: libc("syncfs", NO_FILE)),
    ("syncfs", ONE, DONE, "an open file", lambda: libc("syncfs", opened("file", R))),
    ("mmap", ONE, "EACCES", "shared for writing, open for reading",
     lambda: map_file("both", R, mmap.PROT_WRITE)),
    ("mmap", ONE, "EACCES", "open for writing alone", lambda: map_file("both", W, mmap.PROT_READ)),
    ("mmap", ONE, "EINVAL", "no bytes", lambda: map_file("both", R, mmap.PROT_READ, length=0)),
    ("mmap", ONE, "EINVAL", "from the middle of a page",
     lambda: map_file("both", R, mmap.PROT_READ, offset=5)),
    ("mmap", ONE, "ENODEV", "a directory", lambda: map_file("full", R, mmap.PROT_READ)),
    ("mmap", ONE, "EBADF", "no open file",
     lambda: libc("mmap", None, 4096, 1, mmap.MAP_SHARED, NO_FILE, 0)),
    ("mmap", ONE, DONE, "private for writing, open for reading",
     lambda: map_file("both", R, mmap.PROT_WRITE, mmap.MAP_PRIVATE)),
    ("mmap", ONE, DONE, "shared for writing",
     lambda: map_file("both", RW, mmap.PROT_READ | mmap.PROT_WRITE)),
    ("mmap", ONE, DONE, "opened with O_APPEND",
     lambda: map_file("both", RW | os.O_APPEND, mmap.PROT_READ | mmap.PROT_WRITE)),
    ("copy_file_range", ONE, "EBADF", "from what is open for writing",
     lambda: copy(opened("both", W), opened("file", W), 5)),
    ("copy_file_range", ONE, "EBADF", "to what is open for reading",
     lambda: copy(opened("both", R), opened("file", R), 5)),
    ("copy_file_range", ONE, "EBADF", "to what is open with O_APPEND",
     lambda: copy(opened("both", R), opened("file", W | os.O_APPEND), 5)),
    ("copy_file_range", ONE, "EINVAL", "over itself",
     lambda: copy(opened("both", R), opened("both", W), 5, 0, 3)),
    ("copy_file_range", ONE, "EINVAL", "a pipe", lambda: copy(opened("both", R), opened("pipe", RW), 5)),
    ("copy_file_range", ONE, "EINVAL", "flags",
     lambda: libc("copy_file_range", opened("both", R), None, opened("file", W), None, 5, 1)),
    ("copy_file_range", ONE, "EISDIR", "a directory",
     lambda: copy(opened("full", R), opened("file", W), 5)),
    ("copy_file_range", ROOT, "EXDEV", "to another file system",
     lambda: copy(opened("both", R), opened(OTHER + "/copy", CREAT | W), 5)),
    ("copy_file_range", ONE, DONE, "within a file",
     lambda: same(copy(opened("both", R), opened("both", W), 5, 0, 5), 5)),
    ("sendfile", ONE, "EBADF", "from what is open for writing",
     lambda: os.sendfile(opened("file", W), opened("both", W), 0, 5)),
    ("sendfile", ONE, "EBADF", "to what is open for reading",
     lambda: os.sendfile(opened("file", R), opened("both", R), 0, 5)),
    ("sendfile", ONE, "EINVAL", "to what is open with O_APPEND",
     lambda: os.sendfile(opened("file", W | os.O_APPEND), opened("both", R), 0, 5)),
    ("sendfile", ONE, DONE, "a file",
     lambda: same(os.sendfile(opened("file", W), opened("both", R), 5, 9), 5)),
    ("flock", ONE, "EBADF", "no open file", lambda: fcntl.flock(NO_FILE, fcntl.LOCK_EX)),
    ("flock", ONE, "EINVAL", "no known kind", lambda: fcntl.flock(opened("both", R), 77)),
    ("flock", TWO, "EAGAIN", "locked",
     lambda: locked(lambda file: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB))),
    ("flock", TWO, DONE, "shared",
     lambda: locked(lambda file: fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB))),
    ("fcntl lock", ONE, "EBADF", "for writing, open for reading",
     lambda: ofd_lock(opened("both", R))),
    ("fcntl lock", ONE, "EINVAL", "no known kind", lambda: ofd_lock(opened("both", RW), 77)),
    ("fcntl lock", TWO, "EAGAIN", "locked", lambda: locked(ofd_lock)),
)


def broken_pipe():
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    reader = opened("pipe", R | os.O_NONBLOCK)
    writer = opened("pipe", W)
    os.close(reader)
    os.write(writer, b"x")


def running(path, act):
    """Does something while a program runs."""
    (read, write), (runs, started) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(read, 0)
        os.execv(path, [path])
    os.close(read)
    os.close(started)
    # The other end is closed when it is another program.
    assert os.read(runs, 1) == b""
    try:
        act()
    finally:
        os.close(write)
        os.waitpid(child, 0)


def same(found, expected):
    assert found == expected, f"{found!r}, not {expected!r}"
