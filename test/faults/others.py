#!/usr/bin/env python3
"""Others on a host who change links and rules, or hold the lock of rules, while plugins work.

  others.py KIND [SEED]

Runs in the network namespace of its caller until SIGTERM, takes back what it has made, and prints
{"rounds": how often it did its work, "failures": [what somebody has taken from it]}. race_test.py
runs it with busy().
"""

import contextlib
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time

XTABLES_LOCK = "/run/xtables.lock"
# Enough for a dump of them to take several messages.
PAIRS = 30
LINKS = [f"churn{number}" for number in range(2 * PAIRS)]
TABLE = """
add table inet others
delete table inet others
table inet others {
  set seen { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 } }
  chain forward { type filter hook forward priority 10; ip saddr @seen counter accept; }
}
"""
# Rules of others stand in these chains, before and behind which plugins put theirs.
RULES = [("nat", "PREROUTING"), ("nat", "POSTROUTING"), ("nat", "OUTPUT"), ("filter", "FORWARD")]


@contextlib.contextmanager
def busy(host, kind, seed, path):
    """Somebody of this kind is at work on a chains.Host; gives a list, to which is added what was
    printed in the end."""
    with host.place.host.entered():
        process = subprocess.Popen([sys.executable, __file__, kind, str(seed)], text=True,
                                   stdout=subprocess.PIPE, env={**os.environ, "PATH": path})
    report = []
    try:
        process.stdout.readline()
        yield report
    finally:
        process.terminate()
        report.append(json.loads(process.communicate(timeout=120)[0]))


class Links:
    """Makes and removes pairs of links and addresses without a pause: dumps are interrupted."""

    def __init__(self, _):
        self.ip = subprocess.Popen(["ip", "-force", "-batch", "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, text=True)
        for one, other in zip(LINKS[:PAIRS], LINKS[PAIRS:]):
            self.tell(f"link add {one} type veth peer name {other}")

    def tell(self, *lines):
        self.ip.stdin.write("".join(f"{line}\n" for line in lines))
        self.ip.stdin.flush()

    def work(self):
        self.tell("link add others0 type veth peer name others1")
        for verb in ("add", "del"):
            for number, link in enumerate(LINKS):
                self.tell(f"address {verb} 198.51.100.{number}/32 dev {link}",
                          f"address {verb} 2001:db8::{number}/128 dev {link}")
        self.tell("link del others0")
        return []

    def end(self):
        self.tell(*(f"link del {link}" for link in LINKS[:PAIRS]))
        self.ip.stdin.close()
        code = self.ip.wait()
        return [f"ip: exit status {code}"] if code else []


class Rules:
    """Changes the rules of its own, in tables of its own and in those that all share."""

    def __init__(self, _):
        self.serial = 0

    @staticmethod
    def run(*command, text=None):
        """What went wrong."""
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        return [f"{' '.join(command)}: {done.stderr}"] if done.returncode else []

    def work(self):
        self.serial += 1
        failures = self.run("nft", "-f", "-", text=TABLE)
        for family in ("iptables", "ip6tables"):
            table, chain = RULES[self.serial % len(RULES)]
            rule = ("-m", "comment", "--comment", f"busy {self.serial}", "-j", "RETURN")
            # Whoever writes a table back as it was takes this rule away, or doubles it.
            failures += self.run(family, "-w", "-t", table, "-A", chain, *rule)
            failures += self.run(family, "-w", "-t", table, "-D", chain, *rule)
        return failures

    def end(self):
        return self.run("nft", "delete table inet others")


class Lock:
    """Holds the lock of xtables again and again."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.file = os.open(XTABLES_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def work(self):
        fcntl.flock(self.file, fcntl.LOCK_EX)
        time.sleep(self.random.uniform(0.05, 0.3))
        fcntl.flock(self.file, fcntl.LOCK_UN)
        time.sleep(self.random.uniform(0, 0.02))
        return []

    def end(self):
        os.close(self.file)
        return []


KINDS = {"links": Links, "rules": Rules, "lock": Lock}


def main():
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    somebody = KINDS[sys.argv[1]](sys.argv[2])
    rounds, failures = 0, []
    print("at work", flush=True)
    while not ended:
        failures += somebody.work()
        rounds += 1
    failures += somebody.end()
    print(json.dumps({"rounds": rounds, "failures": failures}))


if __name__ == "__main__":
    main()
