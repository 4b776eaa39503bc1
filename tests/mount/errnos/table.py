"""Runs rows of `(call, caller, answer, how it comes about, what is called)`, and says what each came to.

    python3 table.py DIRECTORY OTHER [read-only | CALL<tab>HOW...]

In DIRECTORY a *scene* is made (`scene.py`), in which each row's call is made by a process of its own that has become
the caller. OTHER is a directory of another file system. A line for each row is printed: call, caller, how, the
answer in the table, the answer that came, and what of the scene refused calls changed, parted by tabs.

After a call that was permitted the scene is made anew. So each row finds the same, whatever the others do.
"""

import errno as errnos
import os
import stat
import sys
import traceback

ROOT = ("root", 0, 0, [])
ONE = ("one", 12001, 12001, [12060])
TWO = ("two", 12002, 12002, [12061])
DONE = "done"

ROWS, READ_ONLY = [], []


def rows(*more):
    ROWS.extend(more)


def read_only(*more):
    READ_ONLY.extend(more)


def become(caller):
    _, uid, gid, groups = caller
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def answer(caller, act, directory):
    """What `act` comes to, as the caller: the name of an errno, `done`, or what went wrong with the test."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 255
        try:
            os.chdir(directory)
            os.umask(0)
            become(caller)
            act()
            code = 0
        except OSError as error:
            code = error.errno
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return DONE
    # One number has two names.
    return "EOPNOTSUPP" if code == errnos.ENOTSUP else errnos.errorcode.get(code, f"code {code}")


def state(directory):
    """All that a call can change: names, attributes, bytes. Of the top itself names alone: rows make some there, and
    remove them."""
    found = {}
    for top, directories, files in os.walk(directory):
        for name in directories + files:
            path = os.path.join(top, name)
            at = os.lstat(path)
            seen = [at.st_mode, at.st_uid, at.st_gid, at.st_mtime_ns, at.st_ctime_ns]
            if not stat.S_ISDIR(at.st_mode):
                seen += [at.st_nlink, at.st_size]
            if stat.S_ISREG(at.st_mode):
                with open(path, "rb") as file:
                    seen.append(file.read(100))
            found[os.path.relpath(path, directory)] = seen
    return found


def run(table, directory, scene):
    before = scene(directory)
    for place, (call, caller, expected, how, act) in enumerate(table):
        came = answer(caller, act, directory)
        after, changed = before, []
        # Of rows of one call that were refused, the last one answers for all: looking takes long.
        next_call, _, next_expected, *_ = table[place + 1] if place + 1 < len(table) else [None] * 5
        if came == DONE or next_call != call or next_expected == DONE:
            after = state(directory)
            changed = sorted(name for name in before.keys() | after.keys()
                             if before.get(name) != after.get(name))
        before = after
        if came == DONE and changed:
            before, changed = scene(directory), []
        print(call, caller[0], how, expected, came, " ".join(changed), sep="\t")
