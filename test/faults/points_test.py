#!/usr/bin/env python3
"""Kills plugins, interrupts them, and lets their calls and allocations fail, at the moments at
which they change something, and looks whether anything is left, or lost.

  points_test.py PLUGINS REFERENCE [--all | --every N] [--suite NAME] [--scenario TEXT] [--verb VERB]
                 [--action TEXT] [--point N]

A trial is a chain of plugins on a host, one of them in trouble in one verb: an action at a point
(see tracer.cpp and failing_allocation.cpp). After it the verb has to work when it is called again,
DEL of the chain has to succeed and leave the host as an undisturbed ADD and DEL do, and another
container's ADD and DEL have to work. What answers that it failed must have left everything as it
was; what answers that it succeeded must have done its work.

A host that is again as it was serves the next trial: because nothing had changed, or because all
was deleted, and the verb is not ADD, which finds an untouched host. What ADD and DEL of another
container do there is then looked at once for all of them. If what seemed unchanged was not, each
trial is given a host of its own.

Without --all most points are passed over. Exits with 1 after a failure of ours.
"""

import dataclasses
import errno
import itertools
import json
import multiprocessing
import os
import pathlib
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import chains  # noqa: E402
import gates  # noqa: E402
import netlink  # noqa: E402
import twins  # noqa: E402
from chains import Failed  # noqa: E402

ERRORS = ["ENOSPC", "EDQUOT", "EIO", "EROFS", "ENOMEM", "EMFILE", "ENOBUFS", "EINTR", "EBUSY",
          "EAGAIN", "EPERM"]
# {chain: which of its plugins get into trouble}
TRACED = {"bridge nftables": (0, 1), "bridge iptables-nft": (0, 1),
          "bridge iptables-legacy": (0, 1), "ptp nftables": (0,), "ptp iptables-nft": (0,),
          "ptp iptables-legacy": (0,), "masquerade": (1,), "host-local": (0,), "loopback": (0,)}


@dataclasses.dataclass(frozen=True)
class Suite:
    """Plugins, and what calls them."""
    name: str
    folder: str
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


class Host(chains.Host):
    """A host of a trial, with its two containers."""

    # The reference suite chooses it anew each time.
    UNSEEN = "br0 mac="

    def __init__(self, trial):
        super().__init__(twins.Suite(trial.suite.name, trial.suite.folder), trial.scenario)
        self.tracer = trial.suite.tracer
        for name in ("one", "two"):
            self.container(name)

    def call(self, verb, config, name, **how):
        if verb == "GC":
            config = {**config, chains.LIVE: [{"containerID": "two", "ifname": "eth0"}]}
        return super().call(verb, config, name, **how)

    def call_one(self, verb, number, result=None, name="one", **how):
        """Of one plugin of the chain."""
        config = self.chain[number]
        if result is not None:
            config = {**config, "prevResult": result}
        return self.call(verb, config, name, **how)

    def must_one(self, verb, number, result=None):
        outcome = self.call_one(verb, number, result)
        if outcome.status != 0:
            raise Failed(f"{verb} of {self.chain[number]['type']}: {outcome}")
        return outcome.json

    def add_upto(self, number):
        """What the plugins before this one have made."""
        result = None
        for each in range(number):
            result = self.must_one("ADD", each, result)
        return result

    def live(self, name):
        self.must("DEL", name, self.must("ADD", name))

    def in_trouble(self, trial, result):
        """(its outcome, what the tracer or the plugin reports of it)"""
        report = f"{self.place.directory}/report"
        if self.tracer:
            how = {"under": (self.tracer, report, str(trial.point), trial.action)}
        else:
            program = trial.action.split()[1]
            how = {"more": {"CNI_TEST_ALLOCATION": f"{program} {trial.point}",
                            "CNI_TEST_REPORT": report}}
        outcome = self.call_one(trial.verb, trial.traced, result, **how)
        if not os.path.exists(report):
            if self.tracer:
                raise Failed(f"the tracer: {outcome}")
            return outcome, {"points": 0, "fired": False}  # a delegate that this verb does not have
        said = json.loads(pathlib.Path(report).read_text(encoding="utf-8"))
        if self.tracer:
            outcome.status = os.waitstatus_to_exitcode(said["status"])
        return outcome, {"left": 0, "call": "", **said}

    def glimpse(self):
        """All that can be seen without starting a program."""
        seen = [twins.files(self.data)]
        for namespace in (self.place.host, *self.containers.values()):
            seen.append(twins.state(namespace))
            with namespace.entered():
                seen.append(netlink.nft_content())
        if "legacy" in self.name:
            seen.append(twins.rules(self.place.host))
        return seen

    def observe(self):
        """Everything but hints."""
        return {**super().observe(), "files": self.kept()}


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
                host.live(name)
                states.append(host.observe())
            self.undisturbed[key] = Undisturbed(*states)
            host.place.remove()
        return self.undisturbed[key]

    def run(self, trials):
        """[(trial, report or None, failure or None)] for trials that differ in action and point."""
        done, ready = [], None
        for trial in trials:
            report, failure, is_ready = None, None, False
            try:
                if ready is None:
                    ready = Ready(trial, self.undisturbed_of(trial))
                report, is_ready = ready.run(trial)
            except Failed as failed:
                failure = str(failed)
            except Exception:  # of the test itself
                failure = traceback.format_exc()
            done.append((trial, report, failure))
            if not is_ready and ready is not None:
                ready.remove()
                ready = None
        if ready is None:
            return done
        try:
            ready.finish()
            return done
        except Failed as failed:
            if len(trials) > 1:
                return [one for trial in trials for one in self.run([trial])]
            return [(trials[0], None, str(failed))]
        finally:
            ready.remove()


class Ready:
    """A host that is ready for the call that is to get into trouble."""

    def __init__(self, trial, undisturbed):
        self.undisturbed = undisturbed
        self.host = Host(trial)
        self.trial = trial  # the last one
        self.prepare()

    def prepare(self):
        """Makes what is there when the call comes."""
        verb = self.trial.verb
        self.before = self.host.add_upto(self.trial.traced) if verb == "ADD" \
            else self.host.must("ADD", "one")
        if verb == "GC":
            self.host.must("ADD", "two")
        # Of the others nobody asks what they have left.
        self.state = self.host.observe() if verb in ("ADD", "CHECK", "STATUS") else None
        self.seen = self.host.glimpse()

    def run(self, trial):
        """(what the tracer reports, whether the host is ready for another trial)"""
        self.trial = trial
        outcome, report = self.host.in_trouble(trial, self.before)
        worked = outcome.status == 0 and trial.verb in ("ADD", "DEL", "GC")
        if not report["fired"]:
            if not worked and self.host.glimpse() == self.seen:
                return report, True
            # Of the trials before it nothing may be left either.
            self.heal(self.host, trial, outcome)
            self.judge_healed(self.host, self.undisturbed)
            self.judge_next(self.host, self.undisturbed)
            return report, False
        try:
            self.judge(self.host, trial, outcome, report)
            if not worked and self.host.glimpse() == self.seen:
                return report, True
            self.judge_state(self.host, trial, outcome, self.state, self.undisturbed)
            self.heal(self.host, trial, outcome)
            self.judge_healed(self.host, self.undisturbed)
            if trial.verb != "ADD":
                self.prepare()
                return report, True
            self.judge_next(self.host, self.undisturbed)
            return report, False
        except Failed as failure:
            raise Failed(f"{report['call']}: {failure}\n    it answered {outcome}") from failure

    def finish(self):
        """Looks at everything, after trials that seem to have changed nothing."""
        if self.state is not None:
            self.judge_unchanged(self.host, self.state, self.undisturbed)
        self.heal(self.host, self.trial, None)
        self.judge_healed(self.host, self.undisturbed)
        self.judge_next(self.host, self.undisturbed)

    def remove(self):
        self.host.place.remove()

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
            checked = host.call_one("CHECK", trial.traced, outcome.json)
            if checked.status != 0:
                raise Failed(f"ADD says 0, and CHECK {checked}")

    @classmethod
    def judge_state(cls, host, trial, outcome, state, undisturbed):
        """Of what has answered, whether nothing changed where nothing should have."""
        answered = not trial.action.startswith("kill") or outcome.status > 0
        changes = trial.verb in ("DEL", "GC") or (trial.verb == "ADD" and outcome.status == 0)
        if changes or (trial.verb == "ADD" and not answered):
            return
        cls.judge_unchanged(host, state, undisturbed)

    @staticmethod
    def judge_unchanged(host, state, undisturbed):
        # Empty tables of iptables, for example, are nobody's.
        left = [line for line in twins.left(state, host.observe())
                if not is_in(line, undisturbed.one)]
        if left:
            raise Failed("\n      ".join(["it changed:", *left]))

    @staticmethod
    def heal(host, trial, outcome):
        done = trial.verb in ("DEL", "GC") and outcome is not None and outcome.status == 0
        if trial.verb == "GC":
            if not done:
                host.must_one("GC", trial.traced)
            host.must("DEL", "two")
        for number in reversed(range(len(host.chain))):
            # What says that it deleted must not need another call.
            if not (done and trial.verb == "DEL" and number == trial.traced):
                host.must_one("DEL", number)

    @staticmethod
    def judge_healed(host, undisturbed):
        # The bridge, for example, need not have come to be, and the next ADD sets up one that was
        # only made. It also brings up to date an index of host-local's that could not be.
        now = [line for line in twins.difference(undisturbed.both, host.observe())
               if ": + " in line and not is_in(line, undisturbed.untouched)
               and not is_in(line, undisturbed.one)
               and not line.startswith(("files: + .plumb/net/owners/", "host links: + br0 "))]
        if now:
            raise Failed("\n      ".join(["left after DEL:", *now]))

    @staticmethod
    def judge_next(host, undisturbed):
        """Another DEL, and another container's life."""
        host.must("DEL", "one")
        host.live("two")
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


# Trials of one host at most. With more, those that are looked at again after a failure take long.
MOST = 64


def try_some(trials):
    """[(trial, report or None, failure or None)]"""
    return WORKER[0].run(trials)


def in_groups(trials):
    """Those that may share a host, at most MOST together."""
    def kind(trial):
        return dataclasses.astuple(dataclasses.replace(trial, action="", point=0))
    for _, group in itertools.groupby(sorted(trials, key=kind), kind):
        while some := list(itertools.islice(group, MOST)):
            yield some


# {action: how many points are passed over for one that is tried}
STRIDES = {"kill-all": 59, "kill-main": 197, "kill-child": 89, "term": 127,
           **{f"errno={getattr(errno, name)}": 797 for name in ERRORS}}
ALLOCATION_STRIDE = 2399
# Where it has been found wrong and no smaller test can see it, by (scenario, traced, verb, program).
ALLOCATION_STRIDES = {("bridge nftables", 1, "STATUS", "portmap"): 2}
REFERENCE_STRIDES = {"kill-all": 251, "kill-main": 499,
                     **{f"errno={getattr(errno, name)}": 3989 for name in ("ENOBUFS", "EIO")}}


def whole_trials(arguments):
    """One of each kind, with nothing in the way, to count the points: [(trial, {action: stride})]
    """
    programs = pathlib.Path(arguments.plugins).absolute().parent / "test"
    traced = Suite("ours", arguments.plugins, str(programs / "tracer"))
    starved = Suite("ours", str(programs / "failing-allocations"))
    reference = Suite("reference", arguments.reference, traced.tracer)
    for name, numbers in TRACED.items():
        for number in numbers:
            for verb in ("ADD", "CHECK", "DEL", "GC", "STATUS"):
                yield Trial(traced, name, number, verb, "none", 0), STRIDES
                main = chains.CHAINS[name][0][number]
                for program in {main["type"], main.get("ipam", main)["type"]}:
                    action = f"allocation {program}"
                    stride = ALLOCATION_STRIDES.get((name, number, verb, program),
                                                    ALLOCATION_STRIDE)
                    yield Trial(starved, name, number, verb, action, 0), {action: stride}
                both = name in chains.chains_of("reference") + chains.STATELESS["reference"]
                if both and verb in ("ADD", "DEL"):
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
    parser = gates.parser()
    parser.add_argument("--every", type=int, metavar="N", help="try every Nth point")
    parser.add_argument("--scenario", default="")
    parser.add_argument("--suite", default="")
    parser.add_argument("--verb", default="")
    parser.add_argument("--action", default="")
    parser.add_argument("--point", type=int)
    arguments = parser.parse_args()
    if arguments.all:
        arguments.every = 1
    return arguments


def main():
    arguments = read_arguments()
    twins.isolate()
    result = gates.Gates(shown=(arguments.suite or "ours",))
    # They wait for the kernel half of the time.
    with multiprocessing.Pool(2 * os.cpu_count(), start_worker) as pool:
        whole = {trial: strides for trial, strides in whole_trials(arguments)
                 if arguments.scenario in trial.scenario and arguments.verb in trial.verb
                 and arguments.suite in trial.suite.name}
        trials = []
        for [(trial, report, failure)] in pool.imap(try_some, [[one] for one in whole]):
            if failure:
                result.tell("P1", "undisturbed", trial.suite.name, failure, trial)
            else:
                trials += trials_of(trial, whole[trial], report["points"], arguments)
        for done in pool.imap_unordered(try_some, in_groups(trials)):
            for trial, report, failure in done:
                # A point at which the delegate is to be killed can be the plugin's.
                if failure or report["fired"]:
                    result.tell(*trial.gate(), trial.suite.name, failure, trial)
    return result.finish("faults-points")


if __name__ == "__main__":
    sys.exit(main())
