"""What every row finds. All is the first user's unless it says otherwise; everybody may make names at the top."""

import shutil


def scene(directory):
    """Makes it anew; what is there then."""
    shutil.rmtree(directory, ignore_errors=True)
    os.mkdir(directory)
    os.chmod(directory, 0o777)
    at = lambda name: os.path.join(directory, name)

    def own(name, mode, uid=ONE[1], gid=ONE[2]):
        os.chown(at(name), uid, gid, follow_symlinks=False)
        os.chmod(at(name), mode)

    for name, mode in DIRECTORIES:
        os.mkdir(at(name))
    for name, mode in FILES:
        with open(at(name), "wb") as file:
            file.write(b"0123456789")
    shutil.copyfile("/bin/cat", at("program"))
    for name, target in LINKS:
        os.symlink(target, at(name))
        os.chown(at(name), ONE[1], ONE[2], follow_symlinks=False)
    for name, kind, mode, device in SPECIALS:
        os.mknod(at(name), kind | mode, device)
        own(name, mode)
    for name, mode in FILES + [("program", 0o755)] + DIRECTORIES:
        own(name, mode)
    own("sticky", 0o1777, 0, 0)
    own("grouped", 0o640, gid=TWO[3][0])
    own("setgid", 0o2777, gid=ONE[3][0])
    own("roots", 0o600, 0, 0)
    os.chown(at("sticky/twos"), TWO[1], TWO[2])
    return state(directory)


DIRECTORIES = [
    ("closed", 0o700),    # nobody else may do anything
    ("listed", 0o744),    # others may list it, not pass
    ("passed", 0o711),    # others may pass, not list it
    ("fixed", 0o755),     # others may not change its names
    ("fixed/dir", 0o777),
    ("sticky", 0o1777),
    ("sticky/dir", 0o777),
    ("full", 0o777),
    ("empty", 0o777),
    ("mine", 0o755),      # empty, and not for others to move elsewhere
    ("setgid", 0o2777),   # of a group of the first user
]
FILES = [
    ("closed/in", 0o666),
    ("listed/in", 0o666),
    ("passed/in", 0o644),
    ("fixed/in", 0o666),
    ("sticky/ones", 0o666),
    ("sticky/twos", 0o666),
    ("full/in", 0o666),
    ("file", 0o644),
    ("both", 0o666),      # everybody may write it
    ("secret", 0o600),
    ("grouped", 0o640),   # of a group of the second user
    ("roots", 0o600),
    ("bare", 0o066),      # all but its owner may read it
    ("kept", 0o444),
    ("setuid", 0o6777),
    ("garbage", 0o755),   # no program
]
LINKS = [("link", "file"), ("loop", "loop"), ("nowhere", "none"), ("to-dir", "full")]
SPECIALS = [
    ("pipe", stat.S_IFIFO, 0o600, 0),
    ("pipe-for-all", stat.S_IFIFO, 0o666, 0),
    ("socket", stat.S_IFSOCK, 0o600, 0),
    ("device", stat.S_IFCHR, 0o600, os.makedev(1, 3)),
]
