"""Runs what was asked for."""

import subprocess

DIRECTORY, OTHER, *WORDS = sys.argv[1:]
BUSY, OTHER_FILE = os.path.join(DIRECTORY, "busy"), os.path.join(OTHER, "file")
SCENE = os.path.join(DIRECTORY, "scene")

if WORDS == ["read-only"]:
    run(READ_ONLY, SCENE, state)
else:
    os.mkdir(BUSY)
    subprocess.run(["mount", "-t", "tmpfs", "busy", BUSY], check=True)
    try:
        run(ROWS, SCENE, scene)
    finally:
        subprocess.run(["umount", BUSY], check=True)
