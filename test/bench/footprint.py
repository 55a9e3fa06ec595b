"""How much of the disk the programs take once they are installed, that is without symbols."""

import os
import subprocess
import tempfile

# What comes along to try the suite, not to run it.
TOOLS = ("cnictl", "cni-conformance")


def measure(folder):
    """{program: bytes}."""
    found = {}
    with tempfile.TemporaryDirectory(dir="/mnt") as directory:
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.access(path, os.X_OK) or os.path.isdir(path):
                continue
            stripped = os.path.join(directory, name)
            subprocess.run(["strip", "-o", stripped, path], check=True)
            found[name] = os.path.getsize(stripped)
    return found
