"""What any call answers that is given a path."""


def existing(call, act):
    """Of a call that wants something that is there."""
    rows((call, TWO, "ENOENT", "no such name", lambda: act("none")),
         (call, TWO, "ENOENT", "an empty path", lambda: act("")))
    way(call, act)


def links_followed(call, act):
    """Of a call that follows a link at the end of the path."""
    rows((call, TWO, "ELOOP", "a link to itself", lambda: act("loop")),
         (call, TWO, "ENOENT", "a link to nothing", lambda: act("nowhere")))


def new(call, act):
    """Of a call that makes a name."""
    rows((call, ONE, "EEXIST", "a name that is there", lambda: act("file")),
         (call, ONE, "EEXIST", "the name of a directory", lambda: act("full")),
         (call, ONE, "EEXIST", "the name of a link to nothing", lambda: act("nowhere")),
         (call, TWO, "EEXIST", "a name that is there, where none may be made",
          lambda: act("fixed/in")),
         (call, TWO, "EACCES", "a directory that may not be written", lambda: act("fixed/new")),
         (call, TWO, "EACCES", "a directory that may be passed alone", lambda: act("passed/new")),
         (call, ONE, "ENOENT", "in a directory that was removed", lambda: in_removed(act)),
         (call, TWO, "ENOENT", "an empty path", lambda: act("")))
    way(call, act)


def way(call, act):
    rows((call, TWO, "EACCES", "a directory on the way that may not be passed",
          lambda: act("closed/in")),
         (call, TWO, "EACCES", "one that may be listed alone", lambda: act("listed/in")),
         (call, TWO, "EACCES", "a name that is not there, where nothing may be looked for",
          lambda: act("closed/none")),
         (call, TWO, "ELOOP", "a link to itself on the way", lambda: act("loop/in")),
         (call, TWO, "ENOENT", "a link to nothing on the way", lambda: act("nowhere/in")),
         (call, TWO, "ENOENT", "a directory on the way that is not there", lambda: act("none/in")),
         (call, TWO, "ENOTDIR", "a file on the way", lambda: act("file/in")),
         (call, TWO, "ENOTDIR", "a pipe on the way", lambda: act("pipe/in")),
         (call, TWO, "ENAMETOOLONG", "a name of 256 bytes", lambda: act(LONG)),
         (call, TWO, "ENAMETOOLONG", "one on the way", lambda: act(LONG + "/in")),
         (call, TWO, "ENAMETOOLONG", "a path of more than 4,095 bytes", lambda: act(LONG_PATH)))


def in_removed(act):
    os.mkdir("removed")
    os.chdir("removed")
    os.rmdir("../removed")
    act("new")
