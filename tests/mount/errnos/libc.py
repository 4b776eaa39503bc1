"""Calls that Python has no words for, or that it checks before."""

import ctypes

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_EACCESS, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW = -100, 0x200, 0x1000, 0x100
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
GETDENTS64, FACCESSAT2, FALLOC_PUNCH = 217, 439, 3
#: A number of no open file; an address of no memory.
NO_FILE, NO_MEMORY = 9999, ctypes.c_void_p(1)


def libc(name, *words):
    """Calls a function of the C library, which fails by -1."""
    function = getattr(LIBC, name)
    function.restype = ctypes.c_long
    words = [ctypes.c_long(word) if isinstance(word, int) else
             word.encode("utf-8", "surrogateescape") if isinstance(word, str) else word
             for word in words]
    result = function(*words)
    # Some return an int.
    if result == -1 or result == 0xffffffff:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def renameat2(old, new, flags):
    libc("renameat2", AT_FDCWD, old, AT_FDCWD, new, flags)


def utimensat(path, access, modification, flags=0):
    """Each time: (seconds, nanoseconds)."""
    libc("utimensat", AT_FDCWD, path, (ctypes.c_long * 4)(*access, *modification), flags)


def opened(path, flags, mode=0o666):
    return os.open(path, flags, mode)


NOW, OMIT, THEN = (0, UTIME_NOW), (0, UTIME_OMIT), (1, 2)
LONG, LONG_PATH = "n" * 256, "./" * 2048 + "file"
R, W, RW, CREAT, EXCL, TRUNC = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_EXCL,
                                os.O_TRUNC)
