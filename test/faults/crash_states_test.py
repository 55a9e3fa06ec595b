#!/usr/bin/env python3
"""Builds every state that a loss of power during an ADD or a DEL of host-local may leave on the
disk, and looks whether an address is lost in it, or given twice.

  crash_states_test.py PLUGINS REFERENCE [--all]

strace(1) tells which files a call makes, writes, renames and deletes, and which of them it syncs.
What is not synced is on the disk or not, each by itself: a name is there or not; a content is
there, or half of it, or nothing. Of leases all combinations are tried, each with what may have
become of the other files: as before, as after, all empty, all halved, all absent. Every eleventh
state, or all with --all. Exits with 1 after a failure of ours.
"""

import itertools
import pathlib
import re
import sys
import traceback
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import chains  # noqa: E402
import gates  # noqa: E402
import twins  # noqa: E402
from chains import BOOT_ID, SUITES, Failed, Host  # noqa: E402

CALLS = "openat,linkat,renameat,unlinkat,write,pwrite64,ftruncate,fsync,fdatasync"


def files_of(directory):
    return {str(path.relative_to(directory)): path.read_bytes()
            for path in sorted(pathlib.Path(directory).rglob("*")) if path.is_file()}


class Call:
    """What ADD or DEL of the second of two containers does to the files."""

    def __init__(self, suite, verb):
        host = Host(SUITES[suite], "host-local")
        try:
            host.must("ADD", "one")
            if verb == "DEL":
                host.must("ADD", "two")
            self.before = files_of(host.data)
            log = f"{host.place.directory}/strace"
            host.must(verb, "two", under=("strace", "-f", "-y", "-o", log, "-e", CALLS))
            self.after = files_of(host.data)
            traced = pathlib.Path(log).read_text(encoding="utf-8").splitlines()
            self.synced = {match[1] for line in traced for match in
                           [re.search(rf"f(?:data)?sync\(\d+<{host.data}/(.*?)>", line)] if match}
            # Names on the way to others.
            self.passing = {match[1] for line in traced for match in
                            [re.search(r'renameat\(\d+<.*?/data/(.*?)>, "(\.new)"', line)]
                            if match}
        finally:
            host.remove()

    def changed(self):
        names = set(self.before) | set(self.after)
        return sorted(name for name in names if self.before.get(name) != self.after.get(name))

    def contents(self, name):
        """What may become of a file: its contents, None if it is absent."""
        old, new = self.before.get(name), self.after.get(name)
        if new is None or name in self.synced:
            return [old, new]
        return list(dict.fromkeys([old, b"", new[:len(new) // 2], new]))

    def states(self):
        """All states, as {name: content}."""
        leases = [name for name in self.changed() if name.startswith(("net/10.", "net/fd"))]
        others = [name for name in self.changed() if name not in leases]
        whole = [{name: self.before.get(name) for name in others},
                 {name: self.after.get(name) for name in others},
                 *({name: self.contents(name)[at % len(self.contents(name))] for name in others}
                   for at in range(4)),
                 dict.fromkeys(others, None)]
        # One that is unlike the rest, and a new file whose old name is still there.
        whole += [{**whole[1], name: content} for name in others for content in
                  self.contents(name)]
        whole += [{**whole[1], f"{folder}/.new": content} for folder in self.passing
                  for content in (b"", b"boot")]
        seen = []
        for given in itertools.product(*(self.contents(name) for name in leases)):
            for rest in whole:
                state = {**self.before, **dict(zip(leases, given)), **rest}
                if state not in seen:
                    seen.append(state)
        return seen


def try_state(suite, state):
    host = Host(SUITES[suite], "host-local")
    boot = pathlib.Path(host.place.directory, "boot_id")
    boot.write_text(f"{uuid.uuid4()}\n", encoding="ascii")
    twins.run("mount", "--bind", str(boot), BOOT_ID)
    try:
        for name, content in state.items():
            path = pathlib.Path(host.data, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content)
        new = host.must("ADD", "new")
        host.must("DEL", "two", netns="")
        third = host.must("ADD", "newer")
        given = [ip["address"] for result in (new, third) for ip in result["ips"]]
        if len(set(given)) != 4:
            raise Failed(f"given twice: {given}")
        for name in ("new", "newer", "one"):
            host.must("DEL", name, netns="")
        if suite == "ours":
            host.must_collect()
            if host.reservations():
                raise Failed(f"GC leaves {host.reservations()}")
        host.must_be_whole()
    finally:
        twins.run("umount", "-l", BOOT_ID)
        host.remove()


def states_of(job):
    suite, verb = job
    return [(suite, verb, state) for state in Call(suite, verb).states()]


def try_one(trial):
    suite, verb, state = trial
    try:
        try_state(suite, state)
        return trial, None
    except Failed as failure:
        return trial, str(failure)
    except Exception:  # of the test itself
        return trial, traceback.format_exc()


def main():
    arguments = gates.parser().parse_args()
    twins.isolate()
    counts = gates.Gates()
    with chains.workers(arguments) as pool:
        jobs = itertools.product(chains.VERSIONS, ("ADD", "DEL"))
        trials = [trial for found in pool.map(states_of, jobs) for trial in found]
        if not arguments.all:
            trials = trials[::11]
        for (suite, verb, state), failure in pool.imap_unordered(try_one, trials):
            counts.tell("P11", f"states after a loss of power in {verb}", suite, failure,
                        {name: content and content[:60] for name, content in state.items()})
    return counts.finish("faults-crash-states")


if __name__ == "__main__":
    sys.exit(main())
