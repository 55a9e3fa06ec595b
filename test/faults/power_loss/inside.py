#!/usr/bin/env python3
"""What runs inside user-mode-linux for power_loss_test.py: looks at what the last loss of power has
left on the disk, and then adds and deletes containers until the next one.

  inside.py JOB PLUGINS SUITE CYCLE MOUNT_OPTIONS

JOB is a folder of the machine, which loses nothing: `log` has what was called, `result` gets what
was found. When that is there the storm has begun.
"""

import json
import os
import pathlib
import random
import re
import sys
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).parents[1]),
                str(pathlib.Path(__file__).parents[2] / "support")]
import twins  # noqa: E402

DISK = "/run/disk"
DATA = f"{DISK}/networks"
SUBNETS = ["10.1.2.0/28", "fd00:1::/124"]
POOL = 13 + 14  # without network, gateway and, of IPv4, broadcast
PORTS = 8000


class Here:
    """The network namespace of this process."""

    @staticmethod
    def entered():
        return open(os.devnull, "rb")


def ipam(subnets):
    return {"type": "host-local", "dataDir": DATA, "ranges": [[{"subnet": subnet}]
                                                              for subnet in subnets]}


class Network:
    """The calls, and the log of them."""

    def __init__(self, job, plugins, suite, cycle):
        self.suite = twins.Suite(suite, plugins)
        self.cycle = cycle
        self.common = {"cniVersion": "1.0.0", "name": "net"}
        self.log = os.open(f"{job}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.lock = threading.Lock()
        self.live, self.twice = {}, []

    def chain(self, kind, number):
        if kind == "host-local":
            return [{**self.common, "type": "host-local", "ipam": ipam(SUBNETS)}]
        return [{**self.common, "type": "bridge", "bridge": "br0", "isGateway": True,
                 "ipMasq": True, "ipMasqBackend": "iptables", "ipam": ipam(SUBNETS)},
                {**self.common, "type": "portmap", "backend": "iptables",
                 "runtimeConfig": {"portMappings": [{"hostPort": PORTS + number, "protocol": "tcp",
                                                     "containerPort": 80}]}}]

    def call(self, verb, config, name, netns=""):
        return self.suite.call(verb, config, Here, name, netns)

    def note(self, *words):
        os.write(self.log, (" ".join(words) + "\n").encode("ascii"))

    def add(self, kind, name, number, netns):
        self.note("add", name, kind, str(number))
        result = None
        for config in self.chain(kind, number):
            outcome = self.call("ADD", config | ({"prevResult": result} if result else {}), name,
                                netns)
            if outcome.status != 0:
                return outcome
            result = outcome.json
        with self.lock:
            for ip in result["ips"]:
                address = ip["address"].split("/")[0]
                if address in self.live:
                    self.twice.append(f"{address} to {self.live[address]} and {name}")
                self.live[address] = name
        return outcome

    def delete(self, kind, name, number, netns=""):
        """The outcomes that are no success."""
        with self.lock:
            self.live = {address: other for address, other in self.live.items() if other != name}
        outcomes = [self.call("DEL", config, name, netns)
                    for config in reversed(self.chain(kind, number))]
        failed = [outcome for outcome in outcomes if outcome.status != 0]
        if not failed:
            self.note("del", name)
        return failed

    def fill(self, prefix):
        """What the network gives until it has no more, as [address]; twice what comes twice."""
        given = []
        for subnet in SUBNETS:
            config = {**self.common, "type": "host-local", "ipam": ipam([subnet])}
            for _ in range(2 * POOL):
                outcome = self.call("ADD", config, f"{prefix}-{len(given)}", "/run/netns/none")
                if outcome.status != 0:
                    break
                given += [ip["address"].split("/")[0] for ip in outcome.json["ips"]]
        return given


def old_containers(job):
    """{name: (kind, number)} of those that were there, or began or ceased to be, when the power
    went; a deleted one may be back on the disk, too."""
    log = pathlib.Path(job, "log")
    lines = log.read_text(encoding="ascii").splitlines() if log.exists() else []
    return {name: (kind, int(number)) for verb, name, *rest in map(str.split, lines)
            if verb == "add" for kind, number in [rest]}


def torn_files():
    """Files that are not as their writer meant them, and how many are."""
    torn, whole = [], 0
    for path in sorted(pathlib.Path(DATA).rglob("*")):
        if not path.is_file() or path.name == "lock":
            continue
        content, name = path.read_bytes(), str(path.relative_to(DATA))
        if name.startswith("net/") and not path.name.startswith("last_reserved_ip"):
            good = re.fullmatch(rb"[a-z0-9-]+[0-9]\r\neth0", content) is not None
        elif "/owners/" in name:
            good = content.endswith(b"end\n")
        elif "/used/" in name:
            good = True  # every content is one
        else:
            good = bool(content) and b"\0" not in content
        whole += good
        if not good:
            torn.append(f"{name}: {content[:20]!r} of {len(content)} bytes")
    return torn, whole


def judge(network, job):
    """What a loss of power has left, as the keys of the result. It is made clean."""
    old = old_containers(job)
    torn, whole = torn_files()
    found = {"old": len(old), "torn": torn, "whole": whole, "failed": []}
    # Every second time the dead are found without it.
    if network.cycle % 2 == 0:
        for name, (kind, number) in old.items():
            for outcome in network.delete(kind, name, number):
                found["failed"].append(f"DEL of {name}: {outcome}")
    first = network.fill(f"first{network.cycle}")
    found["first"] = len(set(first))
    found["twice"] = len(first) - len(set(first))
    if network.suite.name == "ours":
        collect = network.call("GC", {**network.chain("host-local", 0)[0], "cniVersion": "1.1.0",
                                      "cni.dev/valid-attachments": []}, "")
        if collect.status != 0:
            found["failed"].append(f"GC: {collect}")
    found["left"] = [path.name for path in pathlib.Path(DATA, "net").glob("*:*")] + \
        [path.name for path in pathlib.Path(DATA, "net").glob("10.*")]
    if network.suite.name == "ours":
        second = network.fill(f"second{network.cycle}")
        found["second"] = len(set(second))
        found["twice"] += len(second) - len(set(second))
        network.call("GC", {**network.chain("host-local", 0)[0], "cniVersion": "1.1.0",
                            "cni.dev/valid-attachments": []}, "")
    else:
        # It has no GC: an administrator's way.
        twins.run("rm", "-rf", DATA)
    return found


def storm(network, kind, worker, netns):
    """For ever. A few containers are alive at any time."""
    alive, count = [], 0
    while True:
        count += 1
        name = f"c{network.cycle}-{worker}-{count}"
        number = 10 * worker + count % 5
        outcome = network.add(kind, name, number, netns)
        if outcome.status == 0 and kind == "host-local" and len(alive) < 2:
            alive.append((name, number))
            continue
        network.delete(kind, name, number, netns)
        if alive and random.random() < 0.5:
            network.delete(kind, *alive.pop(0))


def commit_often():
    """Makes the file system commit its journal, at moments nobody knows, without the data of
    other files."""
    file = os.open(f"{DISK}/committed", os.O_WRONLY | os.O_CREAT, 0o600)
    while True:
        time.sleep(random.uniform(0.01, 0.3))
        os.pwrite(file, b"x" * 10, 0)
        os.fsync(file)


def main():
    job, plugins, suite, cycle, options = sys.argv[1:]
    # The clock of a machine without power may be anywhere.
    time.clock_settime(time.CLOCK_REALTIME, random.uniform(0, 2 ** 31))
    os.makedirs(DISK)
    os.makedirs("/run/netns")
    twins.run("mount", "-t", "ext4", "-o", f"{options},commit=1", "/dev/ubda", DISK)
    network = Network(job, plugins, suite, int(cycle))
    found = judge(network, job)
    os.unlink(f"{job}/log")
    network = Network(job, plugins, suite, int(cycle))
    container = twins.Namespace(f"storm{cycle}-{random.randrange(2 ** 32)}")
    for place in (container.set_sysctl, lambda name, value: pathlib.Path(
            "/proc/sys", name).write_text(str(value), encoding="ascii")):
        place("net/ipv6/conf/default/accept_dad", 0)
    threads = [threading.Thread(target=commit_often, daemon=True),
               threading.Thread(target=storm, args=(network, "bridge", 0, container.path)),
               threading.Thread(target=storm, args=(network, "host-local", 1, "/run/netns/none"))]
    for thread in threads:
        thread.start()
    pathlib.Path(job, "result.new").write_text(json.dumps(found), encoding="utf-8")
    os.rename(f"{job}/result.new", f"{job}/result")
    while True:
        time.sleep(0.1)
        if network.twice:
            pathlib.Path(job, "twice").write_text("\n".join(network.twice), encoding="utf-8")


if __name__ == "__main__":
    main()
