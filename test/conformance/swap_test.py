#!/usr/bin/env python3
"""Changes the suite of plugins under live containers, in both directions: what one suite added the
other checks, deletes and adds again.

  swap_test.py OURS REFERENCE [--all] [--cell TEXT]

A cell of the matrix is a chain of plugins, a version, a flavour of iptables, a choice of rule store
and a direction. Without --all most cells are passed over. --cell gives those whose name contains TEXT, and prints every step. Prints
"swap: N passed, N failed, 0 skipped"; exits with 1 after a failure.
"""

import argparse
import copy
import dataclasses
import itertools
import multiprocessing
import os
import pathlib
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import twins  # noqa: E402
from generate import VERSIONS  # noqa: E402

# Prime to every number of choices in cells(), so that each choice is in the sample.
STRIDE = 5
PORTS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
         {"hostPort": 8053, "containerPort": 53, "protocol": "udp"}]


@dataclasses.dataclass(frozen=True)
class Cell:
    chain: str
    version: str
    flavour: str
    backend: str
    direction: str

    @property
    def name(self):
        return " ".join(dataclasses.astuple(self))


def cells():
    for chain, version, direction in itertools.product(
            ("bridge", "ptp", "host-local", "loopback"), VERSIONS,
            ("theirs then ours", "ours then theirs")):
        if chain in ("host-local", "loopback"):
            yield Cell(chain, version, "-", "-", direction)
            continue
        for flavour in ("iptables-nft", "iptables-legacy"):
            yield Cell(chain, version, flavour, "iptables", direction)
            # Where containers of the reference suite live, ours keep to the store of these.
            if direction == "theirs then ours":
                yield Cell(chain, version, flavour, "auto", direction)


def chain_of(cell, data):
    """The configurations of the cell's chain."""
    ipam = {"type": "host-local", "dataDir": data,
            "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]]}
    common = {"cniVersion": cell.version, "name": "net"}
    portmap = {**common, "type": "portmap", "runtimeConfig": {"portMappings": PORTS}}
    if cell.backend != "auto":
        portmap["backend"] = cell.backend
    masquerade = {"ipMasq": True}
    if cell.backend != "auto":
        masquerade["ipMasqBackend"] = cell.backend
    routes = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    return {"bridge": [{**common, **masquerade, "type": "bridge", "bridge": "br0",
                        "isDefaultGateway": True, "hairpinMode": True, "ipam": ipam}, portmap],
            "ptp": [{**common, **masquerade, "type": "ptp", "ipam": {**ipam, "routes": routes}},
                    portmap],
            "host-local": [{**common, "type": "host-local", "ipam": {**ipam, "routes": routes}}],
            "loopback": [{**common, "type": "loopback"}]}[cell.chain]


class Failed(Exception):
    pass


class Swap:
    """One cell on a host of its own."""

    def __init__(self, cell, suites):
        self.cell = cell
        self.place = twins.Workplace()
        self.chain = chain_of(cell, self.place.directory)
        self.log = []
        self.deleted_by_them = []
        self.ours, self.theirs = suites
        self.first, self.second = (self.theirs, self.ours) if \
            cell.direction == "theirs then ours" else (self.ours, self.theirs)
        self.path = os.environ["PATH"]
        if cell.flavour != "-":
            multi = cell.flavour.replace("ip", "x") + "-multi"
            for program in ("iptables", "ip6tables"):
                os.symlink(f"/usr/sbin/{multi}", f"{self.place.directory}/{program}")
            self.path = f"{self.place.directory}:{self.path}"
        self.place.host.batch("link add up0 type veth peer name far", "link set up0 up",
                              "address add 192.0.2.1/24 dev up0")
        self.place.host.set_sysctl("net/ipv6/conf/default/accept_dad", 0)

    def run(self):
        # Bridge, forwarding, and the chains that the reference suite leaves.
        for suite in (self.ours, self.theirs):
            self.delete(suite, "settle", self.add(suite, "settle"))
        for name in ("one", "two"):
            self.container(name)
        clean = self.observe()

        one = self.add(self.first, "one")
        self.check(self.second, "one", one)
        two = self.add(self.second, "two")
        self.compare(one, two)
        self.check(self.first, "two", two)
        self.check(self.second, "one", one)
        self.delete(self.second, "one", one)
        self.delete(self.second, "one", one)
        self.check(self.first, "two", two)
        self.delete(self.first, "two", two)
        self.finish()
        self.compare_states(clean, "after both DELs")

        one = self.add(self.second, "one")
        self.check(self.first, "one", one)
        self.delete(self.first, "one", one)
        self.finish()
        self.compare_states(clean, "after ADD and DEL once more")

    def container(self, name):
        for container in self.place.containers:
            if container.container_id == name:
                return container
        made = self.place.container()
        made.container_id = name
        made.set_sysctl("net/ipv6/conf/default/accept_dad", 0)
        return made

    def call(self, suite, verb, config, container):
        outcome = suite.call(verb, config, self.place.host, container.container_id, container.path,
                             path=self.path)
        self.log.append(f"{suite.name} {verb} {config['type']} {container.container_id}: {outcome}")
        if outcome.status != 0 and not is_false_alarm(suite, verb, outcome):
            raise Failed(self.log[-1])
        return outcome.json

    def chain_for(self, name):
        """Ports of the host belong to one container."""
        chain = copy.deepcopy(self.chain)
        for mapping in chain[-1].get("runtimeConfig", {}).get("portMappings", []):
            mapping["hostPort"] += {"settle": 0, "one": 1, "two": 2}[name]
        return chain

    def add(self, suite, name):
        container, result = self.container(name), None
        for config in self.chain_for(name):
            if result is not None:
                config["prevResult"] = result
            result = self.call(suite, "ADD", config, container)
        return result

    def check(self, suite, name, result):
        if self.cell.version < "0.4.0":
            return
        for config in self.chain_for(name):
            config["prevResult"] = result
            self.call(suite, "CHECK", config, self.container(name))

    def delete(self, suite, name, result):
        if suite is self.theirs:
            self.deleted_by_them.append((name, result))
        for config in reversed(self.chain_for(name)):
            if self.cell.version >= "0.4.0":
                config["prevResult"] = result
            self.call(suite, "DEL", config, self.container(name))

    def finish(self):
        """What the reference suite cannot know when it deletes a container of ours: ports-book in
        cni-spec/differences.md."""
        for name, result in self.deleted_by_them:
            self.delete(self.ours, name, result)

    def observe(self):
        seen = {f"host {part}": lines
                for part, lines in (twins.state(self.place.host) |
                                    twins.rules(self.place.host)).items()}
        for container in self.place.containers:
            seen |= {f"{container.container_id} {part}": lines
                     for part, lines in twins.state(container).items()}
        seen["files"] = [f"{name}: {content!r}" for name, content in
                         twins.files(self.place.directory).items()
                         if not name.startswith((".plumb/", "net/last_reserved_ip."))]
        return seen

    def compare_states(self, clean, when):
        lost = [line for line in twins.difference(clean, self.observe()) if not self.may_go(line)]
        if lost:
            raise Failed("\n    ".join([f"{when}:", *lost]))

    def may_go(self, line):
        """What the reference suite leaves and ours takes away with the last container."""
        return line.startswith(("host nftables: -", "host iptables-legacy: -",
                                "host ip6tables-legacy: -")) or "route_localnet=" in line \
            or self.cell.chain == "loopback"

    def compare(self, one, two):
        """Both results, field by field; what belongs to one container by what it is."""
        if self.cell.chain == "loopback" and self.cell.version < "1.0.0":
            return  # loopback-shape in cni-spec/differences.md
        views = [sorted(twins.flatten(self.neutral(result, name)))
                 for result, name in ((one, "one"), (two, "two"))]
        if views[0] != views[1]:
            only = [sorted(set(views[at]) - set(views[1 - at])) for at in (0, 1)]
            raise Failed(f"results differ: {self.first.name} {only[0]}, "
                         f"{self.second.name} {only[1]}")

    def neutral(self, result, name):
        result = copy.deepcopy(result)
        for interface in result.get("interfaces", []):
            if interface.get("mac") != "00:00:00:00:00:00":
                interface["mac"] = "MAC"
            if interface["name"].startswith("veth"):
                interface["name"] = "HOSTEND"
            if "sandbox" in interface:
                interface["sandbox"] = "own" if interface["sandbox"] == \
                    self.container(name).path else interface["sandbox"]
        for ip in [*result.get("ips", []), *(result[key] for key in ("ip4", "ip6")
                                             if key in result)]:
            key = "address" if "address" in ip else "ip"
            address, length = ip[key].split("/")
            ip[key] = f"{address.rstrip('0123456789abcdef')}N/{length}"
        if not result.get("dns"):
            result.pop("dns", None)
        return result


def is_false_alarm(suite, verb, outcome):
    """The reference suite's portmap, having found the rules of IPv4, looks for them once more among
    those of IPv6: check-dual-stack in cni-spec/differences.md."""
    said = outcome.json.get("msg", "") if outcome.json else ""
    return suite.name == "theirs" and verb == "CHECK" \
        and said.startswith("could not check ipv6 dnat: ") and "--to-destination 10." in said


def try_cell(cell):
    """(cell, what failed or None, log)"""
    swap = None
    try:
        swap = Swap(cell, twins.SUITES)
        swap.run()
        return cell, None, swap.log
    except Failed as failure:
        return cell, str(failure), swap.log
    except Exception:  # of the test itself
        return cell, traceback.format_exc(), swap.log if swap else []
    finally:
        if swap:
            swap.place.remove()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs=2)
    parser.add_argument("--cell", default="")
    parser.add_argument("--all", action="store_true", help="every cell instead of a sample")
    arguments = parser.parse_args()
    twins.isolate()
    todo = [cell for cell in cells() if arguments.cell in cell.name]
    if not arguments.all and not arguments.cell:
        todo = todo[::STRIDE]
    failed = 0
    with multiprocessing.Pool(os.cpu_count(), twins.start_worker, (arguments.folders,)) as pool:
        for cell, failure, log in pool.imap(try_cell, todo):
            if arguments.cell:
                print("", *log, sep="\n  ")
            if failure:
                failed += 1
                print(f"FAILED {cell.name}\n    {failure}")
    print(f"swap: {len(todo) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
