#!/usr/bin/env python3
"""Guards what every verb costs, by figures that do not depend on how fast a machine is: system
calls, programs started, messages to netlink and bytes from it, instructions (valgrind(1),
callgrind).

  guard_test.py BIN [--write]      BIN has the plugins, built to be released

A figure may be 10 % above or below that in guard.json. What has become cheaper fails too: --write
writes the file anew, to be committed with the change. Prints "guard: N passed, N failed,
0 skipped"; exits with 1 after a failure.
"""

import argparse
import json
import os
import pathlib
import re
import sys

from lab import Chain, Host, Lab
import twins

COMMITTED = pathlib.Path(__file__).with_name("guard.json")
TOLERANCE = 0.1
CHAINS = (Chain("bridge"), Chain("bridge + portmap", "nftables"),
          Chain("bridge + portmap", "iptables-nft"), Chain("bridge + portmap", "iptables-legacy"),
          Chain("veth dual-stack", "nftables"), Chain("loopback"))
VERBS = ("VERSION", "STATUS", "ADD", "CHECK", "DEL", "GC")
# In place before, so that a figure shows what grows with them.
NEIGHBOURS = 20
FOREIGN_RULES = 1000
NETLINK = re.compile(r" send(?:to|msg)\(\d+, .*nlmsg_len=")
FROM_NETLINK = re.compile(r" recvfrom(?:\(| resumed>).*sa_family=AF_NETLINK.* = (\d+)$")
COMMAND = re.compile(r"^cmd: *(\S+)", re.MULTILINE)
SUMMARY = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


class Meter:
    """Calls all plugins of a chain under one tool after the other."""

    def __init__(self, host):
        self.host = host
        self.log = os.path.join(host.directory, "log")

    def calls(self, verb, netns):
        self.run(verb, netns, "/usr/bin/strace", "-f", "-qq", "-A", "-s", "20", "-o", self.log)
        with open(self.log, encoding="utf-8", errors="replace") as file:
            lines = list(file)
        os.unlink(self.log)
        answers = filter(None, map(FROM_NETLINK.search, lines))
        lines = [line for line in lines if "(" in line and "resumed>" not in line]
        return {"system calls": len(lines), "programs": sum(" execve(" in one for one in lines),
                "netlink messages": sum(bool(NETLINK.search(one)) for one in lines),
                "netlink bytes": sum(int(one.group(1)) for one in answers)}

    def instructions(self, verb, netns):
        self.run(verb, netns, "/usr/bin/valgrind", "--tool=callgrind", "--trace-children=yes",
                 "--log-file=/dev/null",
                 f"--callgrind-out-file={self.log}.%p")
        # What a program leaves to a child begins with what that has counted itself so far.
        largest = {}
        for file in pathlib.Path(self.host.directory).glob("log.*"):
            text = file.read_text(encoding="utf-8")
            program, count = COMMAND.search(text).group(1), int(SUMMARY.search(text).group(1))
            largest[program] = max(count, largest.get(program, 0))
            file.unlink()
        return {"instructions": sum(largest.values())}

    def run(self, verb, netns, *tool):
        self.host.run(verb, NEIGHBOURS, netns, under=tool)
        self.host.lab.settle()


def measure(lab, chain, folder):
    """{verb: {what: figure}}."""
    host = Host(lab, "ours", folder, chain)
    for number in range(NEIGHBOURS):
        host.run("ADD", number, twins.Namespace(f"x{next(Host.numbers)}").path)
    if chain.store != "iptables-legacy":  # there every rule is read each time
        host.add_foreign_rules(FOREIGN_RULES)
    container = twins.Namespace(f"x{next(Host.numbers)}")
    for verb in ("ADD", "DEL"):  # what is made once is there
        host.run(verb, NEIGHBOURS, container.path)
    found = {verb: {} for verb in VERBS}
    meter = Meter(host)
    for count in (meter.calls, meter.instructions):
        for verb in VERBS:
            found[verb].update(count(verb, container.path))
    host.remove()
    return found


def compare(committed, found):
    """Of one chain: (how many figures are as they were, [text of one that is not])."""
    same, different = 0, []
    for verb in VERBS:
        before, now = committed.get(verb, {}), found.get(verb, {})
        for what in sorted(set(before) | set(now)):
            old, new = before.get(what), now.get(what)
            if old is not None and new is not None and abs(new - old) <= TOLERANCE * old:
                same += 1
            else:
                different.append(f"{verb}: {new} {what}, and guard.json says {old}")
    return same, different


def judge(lab, folder, committed):
    """Prints what is different; (passed, failed)."""
    passed = failed = 0
    for chain in CHAINS:
        before = committed.pop(chain.title, {})
        same, different = compare(before, measure(lab, chain, folder))
        if different:
            # On a busy machine a call may have to wait once more, and looks again then.
            same, different = compare(before, measure(lab, chain, folder))
        for text in different:
            print(f"FAIL {chain.title}, {text}")
        passed += same
        failed += len(different)
    for title in committed:
        print(f"FAIL {title}: in guard.json, but not measured")
    return passed, failed + len(committed)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("bin")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    twins.isolate()
    lab = Lab()
    folder = os.path.abspath(arguments.bin)
    if arguments.write:
        found = {chain.title: measure(lab, chain, folder) for chain in CHAINS}
        COMMITTED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return 0
    passed, failed = judge(lab, folder, json.loads(COMMITTED.read_text(encoding="utf-8")))
    if failed:
        print("If that is meant: test/bench/guard_test.py build/bin --write")
    print(f"guard: {passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
