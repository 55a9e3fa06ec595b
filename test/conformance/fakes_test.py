#!/usr/bin/env python3
"""Proves that cni-conformance can tell: for each clause there is a plugin that breaks it and fails.

  fakes_test.py CNI_CONFORMANCE FAKE_PLUGIN [CLAUSE...]

Without a defect the fake plugins pass every clause, and each clause is passed by one of them. With
the defect of a clause, that clause fails, and no other of its group but those in ALSO.
Prints "fakes: N passed, N failed, 0 skipped".
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

PLUGINS = ["bridge", "host-local", "portmap", "loopback"]

# Where the defect is, if it is not in the first plugin that passes the clause.
BROKEN = {
    "ADD-01": "portmap",
    "CHK-06": "host-local",
    "DEL-09": "host-local",
    "DEL-08": "portmap",
    "DEL-12": "portmap",
    "GC-12": "host-local",
    "STA-05": "host-local",
    "CHN-02": "portmap",
}

# What a defect cannot leave whole, because one clause says more of the same than the other.
ALSO = {
    "GEN-02": ["GEN-16"],
    "DEL-14": ["DEL-02"],
    "GC-02": ["GC-03", "GC-05", "GC-14"],
    "GC-04": ["GC-06", "GC-08"],
    "ERR-01": ["ERR-08"],
    "RES-03": ["RES-01"],
    "RES-04": ["RES-01", "RES-13"],
    "RES-05": ["RES-01", "RES-13"],
    "RES-09": ["RES-13"],
    "CON-01": ["CON-02", "CON-03"],
}


def run(tool, directory, *options):
    command = [tool, "--plugins", str(directory), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)["judgements"]


def install(directory, fake, defect=None):
    for name in PLUGINS:
        (directory / name).symlink_to(fake)
    if defect:
        (directory / "defect").write_text(defect, encoding="ascii")


def run_sound(tool, fake):
    """What the fakes without defect pass, by clause; and complaints."""
    with tempfile.TemporaryDirectory() as folder:
        install(pathlib.Path(folder), fake)
        judgements = run(tool, folder)
    passed, complaints = {}, []
    for one in judgements:
        if one["verdict"] == "passed":
            passed.setdefault(one["clause"], one["plugin"])
        if one["verdict"] == "failed":
            complaints.append(f"{one['plugin']} without defect: {one['clause']}: {one['reason']}")
    return passed, complaints


def try_defect(tool, fake, clause, plugin):
    """Nothing, or what is wrong with the proof of the clause."""
    with tempfile.TemporaryDirectory() as folder:
        install(pathlib.Path(folder), fake, clause)
        group = clause.split("-")[0]
        judgements = run(tool, folder, "--plugin", plugin, "--clause", group)
    failed = {one["clause"]: one["reason"] for one in judgements if one["verdict"] == "failed"}
    if clause not in failed:
        return f"{clause}: {plugin} with the defect does not fail it"
    others = set(failed) - {clause} - set(ALSO.get(clause, []))
    if others:
        return f"{clause}: its defect fails also " + ", ".join(
            f"{other} ({failed[other]})" for other in sorted(others))
    return None


def main():
    tool, fake = sys.argv[1], os.path.abspath(sys.argv[2])
    wanted = sys.argv[3:]
    listed = subprocess.run([tool, "--list"], check=True, capture_output=True, text=True).stdout
    passed, complaints = run_sound(tool, fake) if not wanted else ({}, [])
    clauses = wanted or listed.split()
    proofs = []
    with concurrent.futures.ThreadPoolExecutor(2 * os.cpu_count()) as pool:
        for clause in clauses:
            plugin = BROKEN.get(clause, passed.get(clause, "bridge"))
            if not wanted and clause not in passed:
                complaints.append(f"{clause}: no fake plugin passes it")
            proofs.append(pool.submit(try_defect, tool, fake, clause, plugin))
        results = [proof.result() for proof in proofs]
    complaints += [result for result in results if result]
    for complaint in complaints:
        print(f"FAILED: {complaint}")
    fine = sum(1 for result in results if not result)
    print(f"fakes: {fine} passed, {len(complaints)} failed, 0 skipped")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
