#!/usr/bin/env python3
"""Kills plugins, interrupts them and lets their calls fail, at the moments at which they change
something, and looks whether anything is left, or lost.

  points_test.py TRACER PLUGINS REFERENCE [--all] [--scenario TEXT] [--action TEXT] [--point N]

A trial is a chain of plugins on a host of its own, one of them traced (see tracer.cpp) in ADD or
DEL, an action and a point. After it DEL of the chain has to succeed, the host has to be as after an
undisturbed ADD and DEL, and another container's ADD and DEL have to work. An interrupted ADD has to
leave nothing without any DEL.

Without --all every seventh point is tried, those of errors more rarely. Prints what failed with the
call it failed at, and "faults: N passed, N failed, 0 skipped"; exits with 1 after a failure.
"""

import argparse
import collections
import dataclasses
import errno
import json
import multiprocessing
import os
import pathlib
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import twins  # noqa: E402

ERRORS = ["ENOSPC", "EDQUOT", "EIO", "EROFS", "ENOMEM", "EMFILE", "ENOBUFS", "EINTR", "EBUSY",
          "EAGAIN", "EPERM"]
DATA = "@DATA@"
COMMON = {"cniVersion": "1.1.0", "name": "net"}
IPAM = {"type": "host-local", "dataDir": DATA,
        "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
PORTS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
         {"hostPort": 8053, "containerPort": 53, "protocol": "udp"}]


def chain(main, backend):
    keys = {"bridge": {"bridge": "br0", "isGateway": True}, "ptp": {}}[main]
    store = {"ipMasq": True, "ipMasqBackend": backend}
    return [{**COMMON, **keys, **store, "type": main, "ipam": IPAM},
            {**COMMON, "type": "portmap", "backend": backend,
             "runtimeConfig": {"portMappings": PORTS}}]


# {name: (chain, flavour of iptables, which plugins of the chain are traced)}
SCENARIOS = {
    "bridge nftables": (chain("bridge", "nftables"), "xtables-nft-multi", [0, 1]),
    "bridge iptables-nft": (chain("bridge", "iptables"), "xtables-nft-multi", [0, 1]),
    "bridge iptables-legacy": (chain("bridge", "iptables"), "xtables-legacy-multi", [0, 1]),
    "ptp nftables": (chain("ptp", "nftables"), "xtables-nft-multi", [0]),
    "ptp iptables-nft": (chain("ptp", "iptables"), "xtables-nft-multi", [0]),
    "ptp iptables-legacy": (chain("ptp", "iptables"), "xtables-legacy-multi", [0]),
    "masquerade": ([{**COMMON, "type": "bridge", "bridge": "br0", "ipam": IPAM},
                    {**COMMON, "type": "masquerade"}], "xtables-nft-multi", [1]),
    "host-local": ([{**COMMON, "type": "host-local", "ipam": IPAM}], "xtables-nft-multi", [0]),
    "loopback": ([{**COMMON, "type": "loopback"}], "xtables-nft-multi", [0]),
}


@dataclasses.dataclass(frozen=True)
class Trial:
    scenario: str
    traced: int  # which plugin of the chain
    verb: str
    action: str
    point: int


class Failed(Exception):
    pass


class Host:
    """A host, and the chain of a scenario on it."""

    def __init__(self, scenario, suite, tracer):
        self.suite, self.tracer = suite, tracer
        self.place = twins.Workplace()
        configs, multi, _ = SCENARIOS[scenario]
        data = f"{self.place.directory}/data"
        self.chain = json.loads(json.dumps(configs).replace(DATA, data))
        programs = f"{self.place.directory}/bin"
        os.mkdir(programs)
        for program in ("iptables", "ip6tables"):
            os.symlink(f"/usr/sbin/{multi}", f"{programs}/{program}")
        self.path = f"{programs}:{os.environ['PATH']}"
        self.place.host.set_sysctl("net/ipv6/conf/default/accept_dad", 0)
        self.containers = {}
        for name in ("one", "two"):
            self.containers[name] = self.place.container()
            self.containers[name].set_sysctl("net/ipv6/conf/default/accept_dad", 0)

    def call(self, verb, config, name, under=()):
        return self.suite.call(verb, config, self.place.host, name, self.containers[name].path,
                               path=self.path, under=under)

    def must(self, verb, config, name):
        outcome = self.call(verb, config, name)
        if outcome.status != 0:
            raise Failed(f"{verb} of {config['type']} for {name}: {outcome}")
        return outcome.json

    def add(self, name, upto=None):
        result = None
        for config in self.chain[:upto]:
            result = self.must("ADD", self.with_result(config, result), name)
        return result

    def delete(self, name, result=None):
        for config in reversed(self.chain):
            self.must("DEL", self.with_result(config, result), name)

    def check(self, config, result, name):
        self.must("CHECK", self.with_result(config, result), name)

    @staticmethod
    def with_result(config, result):
        return config if result is None else {**config, "prevResult": result}

    def traced(self, verb, config, result, action, point):
        report = f"{self.place.directory}/report"
        outcome = self.call(verb, self.with_result(config, result), "one",
                            under=(self.tracer, report, str(point), action))
        said = json.loads(pathlib.Path(report).read_text(encoding="utf-8"))
        outcome.status = os.waitstatus_to_exitcode(said["status"])
        return outcome, said

    def observe(self):
        seen = {f"host {part}": lines
                for part, lines in (twins.state(self.place.host) |
                                    twins.rules(self.place.host)).items()}
        for name, container in self.containers.items():
            seen |= {f"{name} {part}": lines for part, lines in twins.state(container).items()}
        seen["files"] = [name if name.startswith(".plumb/") else f"{name}: {content!r}"
                         for name, content in twins.files(f"{self.place.directory}/data").items()
                         if not name.startswith("net/last_reserved_ip.")
                         and not name.startswith(".plumb/net/used/")]
        return seen


class Worker:
    """What a process needs to run trials."""

    def __init__(self, tracer, plugins):
        twins.isolate_worker()
        self.suite, self.tracer = twins.Suite("plugins", plugins), tracer
        self.clean = {}

    def clean_states(self, scenario):
        """Of a host before anything happened, and as an undisturbed ADD and DEL leave it."""
        if scenario not in self.clean:
            host = Host(scenario, self.suite, self.tracer)
            untouched = host.observe()
            host.delete("one", host.add("one"))
            self.clean[scenario] = untouched, host.observe()
            host.place.remove()
        return self.clean[scenario]

    def run(self, trial):
        """What the tracer reports."""
        untouched, clean = self.clean_states(trial.scenario)
        host = Host(trial.scenario, self.suite, self.tracer)
        try:
            config = host.chain[trial.traced]
            before = host.add("one", trial.traced if trial.verb == "ADD" else None)
            state = host.observe() if trial.action == "term" else None
            outcome, report = host.traced(trial.verb, config, before, trial.action, trial.point)
            if not report["fired"]:
                return report
            self.judge(host, trial, outcome, state, clean, report)
            host.delete("one")
            # The bridge, for example, need not have come to be.
            self.compare("after DEL", [line for line in twins.difference(clean, host.observe())
                                       if ": + " in line and not is_in(line, untouched)])
            host.delete("two", host.add("two"))
            self.compare("after ADD and DEL of another", twins.difference(clean, host.observe()))
            return report
        except Failed as failure:
            raise Failed(f"{report['call']}: {failure}\n      it answered {outcome}") from failure
        finally:
            host.place.remove()

    @staticmethod
    def judge(host, trial, outcome, state, clean, report):
        if report["left"]:
            raise Failed(f"{report['left']} processes outlived it")
        if trial.action.startswith("kill"):
            return
        if outcome.status == 0 and trial.verb == "ADD":
            host.check(host.chain[trial.traced], outcome.json, "one")
        if outcome.status != 0 and not isinstance(outcome.json, dict):
            raise Failed("no error JSON")
        if trial.action == "term" and outcome.status != 0:
            if outcome.code != 11:
                raise Failed("an interruption is code 11")
            left = twins.left(state, host.observe()) if trial.verb == "ADD" else []
            # Empty tables of iptables, for example, are nobody's.
            left = [line for line in left if not is_in(line, clean)]
            if left:
                raise Failed("\n      ".join(["left without a DEL:", *left]))

    @staticmethod
    def compare(when, lines):
        if lines:
            raise Failed("\n      ".join([f"{when}:", *lines]))


def is_in(line, state):
    section, _, text = line.partition(": + ")
    return text in state.get(section, [])


WORKER = []


def start_worker(*arguments):
    WORKER.append(Worker(*arguments))


def try_one(trial):
    """(trial, report or None, failure or None)"""
    try:
        return trial, WORKER[0].run(trial), None
    except Failed as failure:
        return trial, None, str(failure)
    except Exception:  # of the test itself
        return trial, None, traceback.format_exc()


def actions(everything):
    """{action: how many points are passed over for one that is tried}"""
    strides = {"kill-all": 7, "kill-main": 13, "kill-child": 13, "term": 7}
    strides |= {f"errno={getattr(errno, name)}": 61 for name in ERRORS}
    return dict.fromkeys(strides, 1) if everything else strides


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tracer")
    parser.add_argument("plugins")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--scenario", default="")
    parser.add_argument("--action", default="")
    parser.add_argument("--point", type=int)
    arguments = parser.parse_args()
    twins.isolate()
    passed, failed = collections.Counter(), 0
    with multiprocessing.Pool(os.cpu_count(), start_worker,
                              (os.path.abspath(arguments.tracer), arguments.plugins)) as pool:
        whole = [Trial(scenario, traced, verb, "none", 0)
                 for scenario, (_, _, which) in SCENARIOS.items()
                 if arguments.scenario in scenario for traced in which for verb in ("ADD", "DEL")]
        trials = []
        for trial, report, failure in pool.imap(try_one, whole):
            if failure:
                print(f"FAILED {trial}\n    {failure}")
                failed += 1
                continue
            for number, (action, stride) in enumerate(actions(arguments.all).items()):
                if arguments.action not in action:
                    continue
                points = range(1 + (number * 5 + trial.traced) % stride, report["points"] + 1,
                               stride)
                trials += [dataclasses.replace(trial, action=action, point=point)
                           for point in points
                           if arguments.point in (None, point)]
        for trial, report, failure in pool.imap_unordered(try_one, trials, chunksize=4):
            if failure:
                failed += 1
                print(f"FAILED {trial}\n    {failure}", flush=True)
            else:
                passed[trial.action.split("=")[0], trial.verb] += 1
    for (action, verb), count in sorted(passed.items()):
        print(f"  {action:10} in {verb}: {count} points")
    print(f"faults: {sum(passed.values())} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
