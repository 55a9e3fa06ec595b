#!/usr/bin/env python3
"""Tries cni-conformance on two folders of plugins and prints the outcomes beside each other.

  side_by_side.py CNI_CONFORMANCE OURS [REFERENCE]

Prints the clauses that fail on either side, a table of totals, and for ours
"conformance: N passed, N failed, 0 skipped". Exits with 1 if ours fail a clause.
"""

import collections
import concurrent.futures
import json
import os
import subprocess
import sys

# Each plugin once: veth and host-local-ipam are other names of these.
PLUGINS = ["bridge", "ptp", "loopback", "host-local", "portmap", "masquerade"]


def run(tool, directory, plugin):
    command = [tool, "--plugins", directory, "--plugin", plugin, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)["judgements"]


def judge(tool, folders):
    """The verdicts of each folder, as {(plugin, clause): judgement}."""
    # The plugins wait more than they work.
    with concurrent.futures.ThreadPoolExecutor(2 * os.cpu_count()) as pool:
        runs = {(folder, plugin): pool.submit(run, tool, folder, plugin)
                for plugin in PLUGINS for folder in folders
                if os.path.exists(os.path.join(folder, plugin))}
        verdicts = {folder: {} for folder in folders}
        for (folder, _), one in runs.items():
            for judgement in one.result():
                verdicts[folder][judgement["plugin"], judgement["clause"]] = judgement
    return verdicts


def print_failures(ours, theirs):
    for key in sorted(set(ours) | set(theirs)):
        sides = [side[key] if key in side else None for side in (ours, theirs)]
        words = ["-" if side is None else side["verdict"] for side in sides]
        if "failed" not in words:
            continue
        print(f"{key[1]:7} {key[0]:11} {words[0]:15} {words[1]:15}")
        for who, side in zip(("FAILED by ours", "reference"), sides):
            if side and side["verdict"] == "failed":
                print(f"        {who}: {side['reason'][:300]}")


def print_totals(ours, theirs):
    print(f"\n{'':12}{'ours':^32}{'reference':^32}")
    row = "{:12}" + 2 * "{:>8}{:>8}{:>16}"
    print(row.format("", *(2 * ["passed", "failed", "not applicable"])))
    for plugin in PLUGINS + ["all"]:
        cells = []
        for side in (ours, theirs):
            count = collections.Counter(
                one["verdict"] for one in side.values() if plugin in ("all", one["plugin"]))
            cells += [count["passed"], count["failed"], count["not applicable"]]
        print(row.format(plugin, *cells))


def print_proved(ours):
    by_clause = collections.defaultdict(set)
    for (_, clause), one in ours.items():
        by_clause[clause].add(one["verdict"])
    proved = [words for words in by_clause.values() if "passed" in words and "failed" not in words]
    print(f"\n{len(proved)} of {len(by_clause)} clauses pass with ours.")


def main():
    tool, ours, *reference = sys.argv[1:]
    verdicts = judge(tool, [ours, *reference])
    theirs = verdicts[reference[0]] if reference else {}
    print_failures(verdicts[ours], theirs)
    print_totals(verdicts[ours], theirs)
    print_proved(verdicts[ours])
    count = collections.Counter(one["verdict"] for one in verdicts[ours].values())
    print(f"conformance: {count['passed']} passed, {count['failed']} failed, 0 skipped")
    return 1 if count["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
