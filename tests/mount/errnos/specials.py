"""What pipes, sockets and devices keep, and who may use them."""


def seen(path):
    """Its kind and mode, owner, group and device."""
    at = os.lstat(path)
    return at.st_mode, at.st_uid, at.st_gid, at.st_rdev


def made(act, kind, mode, gid=ONE[2], name="new"):
    """Makes one under a mask, and finds what the first user made."""
    os.umask(0o027)
    act(name)
    same(seen(name), (kind | mode, ONE[1], gid, 0))


def changed(act, *found):
    """Changes the pipe, and finds it so."""
    act("pipe")
    same(seen("pipe"), (stat.S_IFIFO | found[0], *found[1:], 0))


def owned(uid, gid):
    """A pipe with all bits gets another owner, which takes two of them away."""
    os.chmod("pipe", 0o6777)
    os.chown("pipe", uid, gid)
    same(seen("pipe"), (stat.S_IFIFO | 0o777, *[
        was if new == -1 else new for was, new in zip(ONE[1:3], (uid, gid))], 0))


def listening(who, act):
    """A socket that listens, and what somebody else does with it."""
    server = socket_of()
    server.bind("listens")
    server.listen()
    os.chmod("listens", who)
    become(TWO)
    try:
        act()
    finally:
        os.unlink("listens")


rows(
    ("mkfifo", ONE, DONE, "what its mask leaves",
     lambda: made(lambda name: os.mkfifo(name, 0o1777), stat.S_IFIFO, 0o1750)),
    ("mkfifo", ONE, DONE, "of the group of its directory", lambda: made(
        lambda name: os.mkfifo(name, 0o666), stat.S_IFIFO, 0o640, ONE[3][0], "setgid/new")),
    ("mknod", ONE, DONE, "a socket by its mask",
     lambda: made(lambda name: os.mknod(name, stat.S_IFSOCK | 0o666), stat.S_IFSOCK, 0o640)),
    ("mknod", ROOT, DONE, "a device by its mask", lambda: [
        os.umask(0o027), os.mknod("new", stat.S_IFCHR | 0o666, os.makedev(4, 5)),
        same(seen("new"), (stat.S_IFCHR | 0o640, 0, 0, os.makedev(4, 5)))]),
    ("mknod", TWO, "EPERM", "a disk", lambda: os.mknod("new", stat.S_IFBLK | 0o600, 0x700)),
    ("mknod", TWO, "EACCES", "a pipe where none may be made",
     lambda: os.mknod("fixed/new", stat.S_IFIFO | 0o600)),
    ("bind", ONE, DONE, "all that its mask leaves",
     lambda: made(lambda name: socket_of().bind(name), stat.S_IFSOCK, 0o750)),
    ("chmod", ONE, DONE, "a pipe", lambda: changed(
        lambda path: os.chmod(path, 0o4751), 0o4751, ONE[1], ONE[2])),
    ("chmod", TWO, "EPERM", "another's pipe", lambda: os.chmod("pipe", 0o666)),
    ("chmod", TWO, "EPERM", "another's socket", lambda: os.chmod("socket", 0o666)),
    ("chmod", TWO, "EPERM", "another's device", lambda: os.chmod("device", 0o666)),
    ("chown", ROOT, DONE, "a pipe to another", lambda: owned(TWO[1], TWO[2])),
    ("chown", ONE, DONE, "a pipe to another group of one's own", lambda: owned(-1, ONE[3][0])),
    ("chown", ONE, "EPERM", "a pipe to another", lambda: os.chown("pipe", TWO[1], -1)),
    ("chown", TWO, "EPERM", "another's device", lambda: os.chown("device", TWO[1], -1)),
    ("utimensat", TWO, "EACCES", "another's pipe, now", lambda: utimensat("pipe", NOW, NOW)),
    ("rename", ONE, DONE, "a pipe, which stays what it is", lambda: [
        os.rename("pipe", "new"), same(seen("new"), (stat.S_IFIFO | 0o600, ONE[1], ONE[2], 0))]),
    ("link", ONE, DONE, "a device, which stays what it is", lambda: [
        os.link("device", "new"),
        same(seen("new"), (stat.S_IFCHR | 0o600, ONE[1], ONE[2], os.makedev(1, 3)))]),
    ("open", TWO, DONE, "a pipe for all", lambda: opened("pipe-for-all", RW)),
    ("open", TWO, "EACCES", "a pipe that may not be written",
     lambda: opened("pipe", W | os.O_NONBLOCK)),
    ("open", TWO, "EACCES", "a device that may not be written", lambda: opened("device", W)),
    ("connect", ROOT, DONE, "a socket that listens, and may be written",
     lambda: listening(0o622, lambda: socket_of().connect("listens"))),
    ("connect", ROOT, "EACCES", "a socket that listens, and may not be written",
     lambda: listening(0o600, lambda: socket_of().connect("listens"))),
)
