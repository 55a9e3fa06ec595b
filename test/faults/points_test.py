#!/usr/bin/env python3
"""Kills plugins, interrupts them, and lets their calls and allocations fail, at the moments at
which they change something, and looks whether anything is left, or lost.

  points_test.py PLUGINS REFERENCE [--all | --every N] [--suite NAME] [--scenario TEXT] [--verb VERB]
                 [--action TEXT] [--point N]

A trial is a chain of plugins on a host of its own, one of them in trouble in one verb: an action at
a point (see tracer.cpp and failing_allocation.cpp). After it the verb has to work when it is called
again, DEL of the chain has to succeed and leave the host as an undisturbed ADD and DEL do, and
another container's ADD and DEL have to work. What answers that it failed must have left everything
as it was; what answers that it succeeded must have done its work.

Without --all most points are passed over. Exits with 1 after a failure of ours.
"""

import argparse
import dataclasses
import errno
import json
import multiprocessing
import os
import pathlib
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import gates  # noqa: E402
import twins  # noqa: E402

ERRORS = ["ENOSPC", "EDQUOT", "EIO", "EROFS", "ENOMEM", "EMFILE", "ENOBUFS", "EINTR", "EBUSY",
          "EAGAIN", "EPERM"]
DATA = "@DATA@"
COMMON = {"name": "net"}
IPAM = {"type": "host-local", "dataDir": DATA,
        "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
PORTS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
         {"hostPort": 8053, "containerPort": 53, "protocol": "udp"}]
LIVE = "cni.dev/valid-attachments"


def chain(main, backend):
    keys = {"bridge": {"bridge": "br0", "isGateway": True}, "ptp": {}}[main]
    store = {"ipMasq": True, "ipMasqBackend": backend}
    return [{**COMMON, **keys, **store, "type": main, "ipam": IPAM},
            {**COMMON, "type": "portmap", "backend": backend,
             "runtimeConfig": {"portMappings": PORTS}}]


@dataclasses.dataclass(frozen=True)
class Scenario:
    chain: list
    iptables: str  # which of its flavours the host has
    traced: tuple  # which plugins of the chain get into trouble
    both: bool = True  # the reference suite has these plugins, and keeps rules there


SCENARIOS = {
    "bridge nftables": Scenario(chain("bridge", "nftables"), "nft", (0, 1), False),
    "bridge iptables-nft": Scenario(chain("bridge", "iptables"), "nft", (0, 1)),
    "bridge iptables-legacy": Scenario(chain("bridge", "iptables"), "legacy", (0, 1)),
    "ptp nftables": Scenario(chain("ptp", "nftables"), "nft", (0,), False),
    "ptp iptables-nft": Scenario(chain("ptp", "iptables"), "nft", (0,)),
    "ptp iptables-legacy": Scenario(chain("ptp", "iptables"), "legacy", (0,)),
    "masquerade": Scenario([{**COMMON, "type": "bridge", "bridge": "br0", "ipam": IPAM},
                            {**COMMON, "type": "masquerade"}], "nft", (1,), False),
    "host-local": Scenario([{**COMMON, "type": "host-local", "ipam": IPAM}], "nft", (0,)),
    "loopback": Scenario([{**COMMON, "type": "loopback"}], "nft", (0,)),
}


@dataclasses.dataclass(frozen=True)
class Suite:
    """Plugins, and what calls them."""
    name: str
    folder: str
    version: str
    tracer: str = ""  # empty: the plugins count their allocations themselves


@dataclasses.dataclass(frozen=True)
class Trial:
    suite: Suite
    scenario: str
    traced: int
    verb: str
    action: str
    point: int

    def __str__(self):
        return f"{self.suite.name}, {self.scenario}, plugin {self.traced}, {self.verb}, " \
               f"{self.action} at {self.point}"

    def gate(self):
        """(promise, what is promised)"""
        kind = self.action.split("=")[0].split()[0]
        if kind == "kill-all":
            return ("P1" if self.verb == "ADD" else "P2"), f"killed in {self.verb}"
        return {"kill-main": ("P3", "only the plugin killed"),
                "kill-child": ("P3", "only the delegate killed"),
                "term": ("P3", "asked to stop by SIGTERM"),
                "errno": ("P5", "a system call fails"),
                "allocation": ("P14", "an allocation fails")}[kind]


class Failed(Exception):
    pass


class Host:
    """A host, and the chain of a scenario on it."""

    def __init__(self, trial):
        scenario, self.tracer = SCENARIOS[trial.scenario], trial.suite.tracer
        self.suite = twins.Suite(trial.suite.name, trial.suite.folder)
        self.place = twins.Workplace()
        data = f"{self.place.directory}/data"
        self.chain = [{"cniVersion": trial.suite.version, **config} for config in
                      json.loads(json.dumps(scenario.chain).replace(DATA, data))]
        programs = f"{self.place.directory}/bin"
        os.mkdir(programs)
        for program in ("iptables", "ip6tables"):
            os.symlink(f"/usr/sbin/xtables-{scenario.iptables}-multi", f"{programs}/{program}")
        self.path = f"{programs}:{os.environ['PATH']}"
        self.place.host.set_sysctl("net/ipv6/conf/default/accept_dad", 0)
        self.containers = {}
        for name in ("one", "two"):
            self.containers[name] = self.place.container()
            self.containers[name].set_sysctl("net/ipv6/conf/default/accept_dad", 0)

    def call(self, verb, config, name, **how):
        if name == "two" and "runtimeConfig" in config:
            config = {**config, "runtimeConfig": {"portMappings": [
                {**port, "hostPort": port["hostPort"] + 1} for port in PORTS]}}
        if verb == "GC":
            config = {**config, LIVE: [{"containerID": "two", "ifname": "eth0"}]}
        return self.suite.call(verb, config, self.place.host, name, self.containers[name].path,
                               path=self.path, **how)

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

    def delete(self, name, result=None, but=None):
        for number, config in reversed(list(enumerate(self.chain))):
            if number != but:
                self.must("DEL", self.with_result(config, result), name)

    @staticmethod
    def with_result(config, result):
        return config if result is None else {**config, "prevResult": result}

    def in_trouble(self, trial, result):
        """(its outcome, what the tracer or the plugin reports of it)"""
        report = f"{self.place.directory}/report"
        config = self.with_result(self.chain[trial.traced], result)
        if self.tracer:
            how = {"under": (self.tracer, report, str(trial.point), trial.action)}
        else:
            program = trial.action.split()[1]
            how = {"more": {"CNI_TEST_ALLOCATION": f"{program} {trial.point}",
                            "CNI_TEST_REPORT": report}}
        outcome = self.call(trial.verb, config, "one", **how)
        if not os.path.exists(report):  # a delegate that this verb does not have
            return outcome, {"points": 0, "fired": False}
        said = json.loads(pathlib.Path(report).read_text(encoding="utf-8"))
        if self.tracer:
            outcome.status = os.waitstatus_to_exitcode(said["status"])
        return outcome, {"left": 0, "call": "", **said}

    def observe(self):
        seen = {f"host {part}": lines
                for part, lines in (twins.state(self.place.host) |
                                    twins.rules(self.place.host)).items()}
        # A bridge is nobody's, and the reference suite gives it another MAC each time.
        seen["host links"] = [line for line in seen["host links"]
                              if not line.startswith("br0 mac=")]
        for name, container in self.containers.items():
            seen |= {f"{name} {part}": lines for part, lines in twins.state(container).items()}
        seen["files"] = [name if name.startswith(".plumb/") else f"{name}: {content!r}"
                         for name, content in twins.files(f"{self.place.directory}/data").items()
                         if not name.startswith("net/last_reserved_ip.")
                         and not name.startswith(".plumb/net/used/")]
        return seen


@dataclasses.dataclass
class Undisturbed:
    """What a host looks like: before anything happened, and after ADD and DEL of one container and
    of another."""
    untouched: dict
    one: dict
    both: dict


class Worker:
    """What a process needs to run trials."""

    def __init__(self):
        twins.isolate_worker()
        self.undisturbed = {}

    def undisturbed_of(self, trial):
        key = trial.suite, trial.scenario
        if key not in self.undisturbed:
            host = Host(trial)
            states = [host.observe()]
            for name in ("one", "two"):
                host.delete(name, host.add(name))
                states.append(host.observe())
            self.undisturbed[key] = Undisturbed(*states)
            host.place.remove()
        return self.undisturbed[key]

    def run(self, trial):
        """What the tracer reports."""
        undisturbed = self.undisturbed_of(trial)
        host = Host(trial)
        try:
            before = host.add("one", trial.traced if trial.verb == "ADD" else None)
            if trial.verb == "GC":
                host.add("two")
            state = host.observe()
            outcome, report = host.in_trouble(trial, before)
            if not report["fired"]:
                return report
            try:
                self.judge(host, trial, outcome, report)
                self.judge_state(host, trial, outcome, state, undisturbed)
                self.heal(host, trial, outcome)
                self.judge_healed(host, undisturbed)
            except Failed as failure:
                raise Failed(f"{report['call']}: {failure}\n    it answered {outcome}") from failure
            return report
        finally:
            host.place.remove()

    @staticmethod
    def judge(host, trial, outcome, report):
        if report["left"]:
            raise Failed(f"{report['left']} processes outlived it")
        if trial.action in ("kill-all", "kill-main"):
            return
        if outcome.status < 0 or (outcome.status != 0 and not isinstance(outcome.json, dict)):
            raise Failed("no error JSON")
        if trial.action == "term" and outcome.status != 0 and outcome.code != 11:
            raise Failed("an interruption is code 11")
        if outcome.status == 0 and trial.verb == "ADD":
            checked = host.call("CHECK", host.with_result(host.chain[trial.traced], outcome.json),
                                "one")
            if checked.status != 0:
                raise Failed(f"ADD says 0, and CHECK {checked}")

    @staticmethod
    def judge_state(host, trial, outcome, state, undisturbed):
        """Of what has answered, whether nothing changed where nothing should have."""
        answered = not trial.action.startswith("kill") or outcome.status > 0
        changes = trial.verb in ("DEL", "GC") or (trial.verb == "ADD" and outcome.status == 0)
        if changes or (trial.verb == "ADD" and not answered):
            return
        # Empty tables of iptables, for example, are nobody's.
        left = [line for line in twins.left(state, host.observe())
                if not is_in(line, undisturbed.one)]
        if left:
            raise Failed("\n      ".join(["it changed:", *left]))

    @staticmethod
    def heal(host, trial, outcome):
        done = trial.verb in ("DEL", "GC") and outcome.status == 0
        if trial.verb == "GC":
            if not done:
                host.must("GC", host.chain[trial.traced], "one")
            host.delete("two")
            # What GC did must not need another DEL of this plugin, apart from the container's own.
            host.delete("one")
        elif done:
            host.delete("one", but=trial.traced)
        else:
            host.delete("one")

    @staticmethod
    def judge_healed(host, undisturbed):
        # The bridge, for example, need not have come to be.
        # An index of host-local's that could not be brought up to date is by the next call.
        now = [line for line in twins.difference(undisturbed.both, host.observe())
               if ": + " in line and not is_in(line, undisturbed.untouched)
               and not is_in(line, undisturbed.one)
               and not line.startswith("files: + .plumb/net/owners/")]
        if now:
            raise Failed("\n      ".join(["left after DEL:", *now]))
        host.delete("one")
        host.delete("two", host.add("two"))
        now = twins.difference(undisturbed.both, host.observe())
        now = [line for line in now if not is_in(line, undisturbed.untouched)
               and not line.startswith("one ")]
        if now:
            raise Failed("\n      ".join(["after ADD and DEL of another:", *now]))


def is_in(line, state):
    section, _, text = line.partition(": + ")
    return text in state.get(section, [])


WORKER = []


def start_worker():
    WORKER.append(Worker())


def try_one(trial):
    """(trial, report or None, failure or None)"""
    try:
        return trial, WORKER[0].run(trial), None
    except Failed as failure:
        return trial, None, str(failure)
    except Exception:  # of the test itself
        return trial, None, traceback.format_exc()


# {action: how many points are passed over for one that is tried}
STRIDES = {"kill-all": 7, "kill-main": 23, "kill-child": 5, "term": 13,
           **{f"errno={getattr(errno, name)}": 97 for name in ERRORS}}
ALLOCATION_STRIDE = 401
REFERENCE_STRIDES = {"kill-all": 29, "kill-main": 61,
                     **{f"errno={getattr(errno, name)}": 997 for name in ("ENOBUFS", "EIO")}}


def whole_trials(arguments):
    """One of each kind, with nothing in the way, to count the points: [(trial, {action: stride})]
    """
    programs = pathlib.Path(arguments.plugins).absolute().parent / "test"
    traced = Suite("ours", arguments.plugins, "1.1.0", str(programs / "tracer"))
    starved = Suite("ours", str(programs / "failing-allocations"), "1.1.0")
    reference = Suite("reference", arguments.reference, "1.0.0", traced.tracer)
    for name, scenario in SCENARIOS.items():
        for number in scenario.traced:
            for verb in ("ADD", "CHECK", "DEL", "GC", "STATUS"):
                yield Trial(traced, name, number, verb, "none", 0), STRIDES
                main = scenario.chain[number]
                for program in {main["type"], main.get("ipam", main)["type"]}:
                    action = f"allocation {program}"
                    yield Trial(starved, name, number, verb, action, 0), {action: ALLOCATION_STRIDE}
                if scenario.both and verb in ("ADD", "DEL"):
                    yield Trial(reference, name, number, verb, "none", 0), REFERENCE_STRIDES


def trials_of(whole, strides, points, arguments):
    """Points of each action, at other places for each."""
    for number, (action, stride) in enumerate(strides.items()):
        if arguments.action not in action:
            continue
        if arguments.point:
            stride = 1
        elif arguments.every and whole.suite.name == "ours":
            stride = arguments.every
        first = 1 + (number * 5 + whole.traced * 3) % stride
        for point in range(first, points + 1, stride):
            if arguments.point in (None, point):
                yield dataclasses.replace(whole, action=action, point=point)


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("plugins", help="in a build directory with tests")
    parser.add_argument("reference")
    parser.add_argument("--all", action="store_const", const=1, dest="every")
    parser.add_argument("--every", type=int, metavar="N", help="try every Nth point")
    parser.add_argument("--scenario", default="")
    parser.add_argument("--suite", default="")
    parser.add_argument("--verb", default="")
    parser.add_argument("--action", default="")
    parser.add_argument("--point", type=int)
    return parser.parse_args()


def main():
    arguments = read_arguments()
    twins.isolate()
    result = gates.Gates(shown=(arguments.suite or "ours",))
    with multiprocessing.Pool(os.cpu_count(), start_worker) as pool:
        whole = {trial: strides for trial, strides in whole_trials(arguments)
                 if arguments.scenario in trial.scenario and arguments.verb in trial.verb
                 and arguments.suite in trial.suite.name}
        trials = []
        for trial, report, failure in pool.imap(try_one, whole):
            if failure:
                result.tell("P1", "undisturbed", trial.suite.name, failure, trial)
            else:
                trials += trials_of(trial, whole[trial], report["points"], arguments)
        for trial, report, failure in pool.imap_unordered(try_one, trials, chunksize=4):
            # A point at which the delegate is to be killed can be the plugin's.
            if failure or report["fired"]:
                result.tell(*trial.gate(), trial.suite.name, failure, trial)
    return result.finish("faults-points")


if __name__ == "__main__":
    sys.exit(main())
