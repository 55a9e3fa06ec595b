#!/usr/bin/env python3
"""Gives generated configurations to two suites of plugins in twin namespaces and compares what they
answer and what the kernel has afterwards.

  differential_test.py OURS REFERENCE [--all] [--plugin NAME] [--case N]

Every difference has to be one of those in cni-spec/differences.md and, with --all, every one of
those that name this test has to be seen. --case gives one case again and prints everything. Prints
"differential: N passed, N failed, 0 skipped"; exits with 1 after a failure.
"""

import argparse
import collections
import copy
import dataclasses
import json
import multiprocessing
import os
import pathlib
import socket
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import differences  # noqa: E402
import generate  # noqa: E402
import netlink  # noqa: E402
import twins  # noqa: E402

PLUGINS = ["bridge", "ptp", "host-local", "portmap", "loopback"]
CASES, SAMPLE = 400, 100


@dataclasses.dataclass
class Side:
    """One suite, what it acts on, and what it answered."""
    suite: twins.Suite
    place: twins.Workplace
    results: dict = dataclasses.field(default_factory=dict)


class Trial:
    """A case, given to both suites step by step."""

    def __init__(self, case, suites):
        self.case = case
        self.found = []
        self.steps = []
        self.failed = False
        self.reference_left = False
        self.sides = [Side(suite, twins.Workplace()) for suite in suites]
        for side in self.sides:
            self.prepare(side)

    def prepare(self, side):
        host = side.place.host
        # What is tentative cannot be compared, and ptp of the reference suite would wait for it.
        host.set_sysctl("net/ipv6/conf/default/accept_dad", 0)
        host.batch(*self.case.host)
        resolv_conf = "nameserver 10.8.8.8\n# none\ndomain a\nsearch b c\noptions ndots:2 x\n"
        pathlib.Path(side.place.directory, "resolv.conf").write_text(resolv_conf, encoding="ascii")
        for number in range(self.case.containers):
            container = side.place.container()
            container.set_sysctl("net/ipv6/conf/default/accept_dad", 0)
            if number == 0:
                container.batch(*self.case.container)

    def run(self):
        try:
            self.live()
            return self.found
        finally:
            for side in self.sides:
                side.place.remove()

    def live(self):
        for number in range(self.case.containers):
            if not self.add(number):
                return
        self.verb("CHECK", 0)
        for number in [0, *range(self.case.containers)]:
            self.verb("DEL", number)

    def add(self, number):
        """Whether it worked on both sides. If not, their situations differ from then on."""
        before = [self.observe(side) for side in self.sides]
        outcomes = self.call("ADD", number)
        self.compare(f"ADD {number}", "code", *[[f"{outcome.code}"] for outcome in outcomes])
        for side, outcome in zip(self.sides, outcomes):
            if outcome.status == 0:
                side.results[number] = outcome.json
        if all(outcome.status == 0 for outcome in outcomes):
            self.compare_all(f"ADD {number}")
            return True
        self.failed = True
        if outcomes[0].status != 0:
            self.nothing_left(f"ADD {number}", before[0])
        self.verb("DEL", number)
        if self.case.plugin != "loopback":  # whose DEL sets lo down
            self.nothing_left(f"DEL {number}", before[0])
            self.reference_left = outcomes[1].status != 0 and \
                bool(twins.left(before[1], self.observe(self.sides[1])))
        return False

    def verb(self, verb, number):
        ours, theirs = self.call(verb, number)
        self.compare(f"{verb} {number}", "code", [f"{ours.code}"], [f"{theirs.code}"])
        if len(self.sides[0].results) == len(self.sides[1].results) > 0:
            self.compare_all(f"{verb} {number}")

    def call(self, verb, number):
        outcomes = [self.call_one(verb, number, side) for side in self.sides]
        self.steps.append((verb, number, [str(outcome) for outcome in outcomes]))
        return outcomes

    def call_one(self, verb, number, side):
        container = side.place.containers[number]
        config = copy.deepcopy(self.case.config)
        previous = side.results.get(number)
        if previous is None and self.case.previous is not None:
            previous = generate.result(self.case.previous, self.case.version)
        if previous is not None:
            config["prevResult"] = {"cniVersion": self.case.version, **previous}
        text = json.dumps(config).replace(generate.DATA, side.place.directory)
        text = text.replace(generate.NETNS, container.path)
        return side.suite.call(verb, (self.case.plugin, text), side.place.host, f"id{number}",
                               container.path, cni_args=self.case.cni_args)

    @staticmethod
    def observe(side):
        seen = {f"host {section}": lines for section, lines in
                twins.state(side.place.host).items()}
        for number, container in enumerate(side.place.containers):
            seen |= {f"container {number} {section}": lines
                     for section, lines in twins.state(container).items()}
        seen["files"] = [f"{name}: {content!r}" for name, content in
                         twins.files(side.place.directory).items()]
        return seen

    def compare_all(self, step):
        views = []
        for side in self.sides:
            seen = self.observe(side)
            if step.startswith("ADD"):
                result = self.with_links(side, seen, int(step.split()[1]))
                seen["result"] = twins.flatten(result)
            names = self.names(side)
            views.append({part: [self.without_random(rename(line, names)) for line in lines]
                          for part, lines in seen.items()})
        for part in sorted(set(views[0]) | set(views[1])):
            self.compare(step, part, views[0].get(part, []), views[1].get(part, []))

    def compare(self, step, part, ours, theirs):
        mine, other = collections.Counter(ours), collections.Counter(theirs)
        if mine != other:
            self.found.append(differences.Found(
                self.case, step, part, sorted((mine - other).elements()),
                sorted((other - mine).elements()), self.steps[-1][2], self.failed))

    def nothing_left(self, step, before):
        lines = twins.left(before, self.observe(self.sides[0]))
        if lines:
            self.found.append(differences.Found(self.case, step, "left", lines, [], []))

    def without_random(self, line):
        link, found, mac = line.partition(" mac=")
        return f"{link} mac={self.mac(mac, 'random')}" if found else line

    def with_links(self, side, seen, number):
        """The result of an ADD, MACs that nobody asked for as what they are of."""
        result = copy.deepcopy(side.results[number])
        for interface in result.get("interfaces", []):
            place = f"container {number}" if interface.get("sandbox") else "host"
            mac = interface.get("mac")
            if f"{interface.get('name')} mac={mac}" in seen[f"{place} links"]:
                interface["mac"] = self.mac(mac, "the link's")
        return result

    def mac(self, mac, else_name):
        asked = (json.dumps(self.case.config) + self.case.cni_args).lower().replace("-", ":")
        return mac if mac in asked or mac == "00:00:00:00:00:00" else else_name

    @staticmethod
    def names(side):
        """What differs between the sides because it is random, by names that say what it is."""
        return {side.place.directory: "DATA",
                **{container.path: f"NETNS{number}"
                   for number, container in enumerate(side.place.containers)},
                **{link: f"HOSTEND{number}" for link, number in host_ends(side).items()}}


def host_ends(side):
    """The host's ends of the containers' veths, {name: number of the container}."""
    with side.place.host.entered():
        by_index = dict(socket.if_nameindex())
    found = {}
    for number, container in enumerate(side.place.containers):
        with container.entered():
            other = netlink.other_ends().get("eth0")
        if other in by_index:
            found[by_index[other]] = number
    return found


def rename(line, names):
    for old in sorted(names, key=len, reverse=True):
        line = line.replace(old, names[old])
    return line


def try_case(plugin_and_number):
    """(case, [(id or None, what was found)])"""
    plugin, number = plugin_and_number
    case = generate.case(number, plugin) if number >= 0 else generate.SELDOM[-1 - number]
    try:
        trial = Trial(case, twins.SUITES)
        found = [(one, *differences.known(one)) for one in trial.run()]
        return case, found, trial
    except Exception:  # of the test itself
        broken = differences.Found(case, "test", "error", [], [], [])
        return case, [(broken, set(), traceback.format_exc().splitlines())], None


def report(case, found, trial, verbose):
    """Whether everything is known."""
    unknown = [one for one in found if one[2]]
    if unknown or verbose:
        print(f"--- {case.plugin} case {case.number}: {json.dumps(dataclasses.asdict(case))}")
        for verb, number, outcomes in trial.steps if trial else []:
            if verbose or f"{verb} {number}" in [one.step for one, _, _ in unknown]:
                print(f"    {verb} {number}:", *outcomes, sep="\n      ")
    for one, names, lines in found if verbose else unknown:
        print(f"  {one.step}, {one.part}: {' '.join(names)}")
        for line in lines:
            print(f"    NOT KNOWN {line}")
    return not unknown


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs=2)
    parser.add_argument("--all", action="store_true", help=f"{CASES} cases instead of a sample")
    parser.add_argument("--plugin", choices=PLUGINS)
    parser.add_argument("--case", type=int)
    arguments = parser.parse_args()
    twins.isolate()
    plugins = [arguments.plugin] if arguments.plugin else PLUGINS
    numbers = [arguments.case]
    if arguments.case is None:
        numbers = range(-len(generate.SELDOM), CASES if arguments.all else SAMPLE)
    todo = [(plugins[number % len(plugins)], number) for number in numbers]
    seen, failed = collections.Counter(), 0
    with multiprocessing.Pool(os.cpu_count(), twins.start_worker, (arguments.folders,)) as pool:
        for case, found, trial in pool.imap(try_case, todo, chunksize=4):
            failed += not report(case, found, trial, arguments.case is not None)
            seen.update({name for _, names, _ in found for name in names})
            if trial and trial.reference_left:
                seen["failed-add"] += 1
    for name in sorted(seen):
        print(f"  {seen[name]:5} x {name}")
    passed = len(todo) - failed
    if not arguments.plugin and arguments.case is None:
        # A sample need not have all of them.
        wrong = set(seen) ^ differences.listed() if arguments.all \
            else set(seen) - differences.listed()
        for name in sorted(wrong):
            print(f"FAILED: {name} is {'not listed' if name in seen else 'listed but never seen'}")
        failed += len(wrong)
    print(f"differential: {passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
