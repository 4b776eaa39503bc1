"""Runs what was asked for."""

import subprocess

DIRECTORY, OTHER, *WORDS = sys.argv[1:]
BUSY, OTHER_FILE = os.path.join(DIRECTORY, "busy"), os.path.join(OTHER, "file")
SCENE = os.path.join(DIRECTORY, "scene")

if WORDS == ["read-only"]:
    run(READ_ONLY, SCENE, state)
elif WORDS:
    only = {tuple(word.split("\t")) for word in WORDS}
    run([row for row in ROWS if (row[0], row[3]) in only], SCENE, scene)
else:
    os.mkdir(BUSY)
    subprocess.run(["mount", "-t", "tmpfs", "busy", BUSY], check=True)
    try:
        run(ROWS, SCENE, scene)
    finally:
        subprocess.run(["umount", BUSY], check=True)
