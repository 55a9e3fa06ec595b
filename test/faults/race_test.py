#!/usr/bin/env python3
"""Lets plugins race: with each other, with other calls of the same container, and with others on
the host who take away namespaces, rules, links and locks.

  race_test.py PLUGINS REFERENCE [--all] [--seed N] [--trial TEXT]

Hundreds of containers at once, and calls of one container that overlap (F13); namespaces that go
away meanwhile (F12); repeated calls (F14); rules, bridges and links that others remove (F15); busy
links, rule sets and locks (F10, F11). Each trial has a host of its own and counts each of its
calls. Moments are random: --seed gives those of an earlier run again, as far as the machine is in
the same mood. --trial gives the trials whose name contains TEXT. Without --all there are fewer
rounds, and nothing waits for a lock in vain. Exits with 1 after a failure of ours.
"""

import fcntl
import functools
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import chains  # noqa: E402
import gates  # noqa: E402
import others  # noqa: E402
import twins  # noqa: E402
from chains import SUITES, Host, must_be_clean, must_be_the_same, run_trial  # noqa: E402

# A storm on two processors that others use, too.
STORM_TIMEOUT = 120
# How long plugins wait for a lock. On a machine that is slow enough somebody waits in vain.
LOCK_WAIT = 30
NOTHING, TRY_AGAIN, BAD_NAMESPACE = (), (11,), (8,)
STORES = ("nftables", "iptables-nft", "iptables-legacy")


class Told:
    """What a trial has seen: for each call, what was wrong or None. And `before`, if in the end
    that has to be there again, because the trial itself has made something."""

    def __init__(self, host):
        self.host = host
        self.calls = []
        self.before = None

    def tell(self, what, failure=None):
        self.calls.append((what, failure))

    def judge(self, verb, name, outcomes, codes=NOTHING):
        """Whether each of them succeeded, or is an error with one of the codes; the reference
        suite has one code for nearly everything. Returns whether all succeeded."""
        if self.host.suite.name == "reference" and codes:
            codes = None
        for outcome in outcomes:
            self.tell(f"{verb} of {name}", wrong(verb, outcome, codes))
        return all(outcome.status == 0 for outcome in outcomes)

    def require(self, what, right, seen=""):
        self.tell(what, None if right else f"{what}: {seen}")


def wrong(verb, outcome, codes):
    """What is wrong with this answer, or None; without `codes` each of them is right."""
    document = outcome.json
    if outcome.status == 0:
        right = isinstance(document, dict) if verb == "ADD" else not outcome.stdout
    else:
        right = outcome.status == 1 and isinstance(document, dict) and outcome.code and \
            document.get("msg") and (codes is None or outcome.code in codes)
    return None if right else f"it answered {outcome}"


def words(*trial):
    """Its name, and how --trial finds it."""
    return " ".join(getattr(each, "__name__", str(each)).removeprefix("try_") for each in trial)


def on_a_host(trial):
    """Gives a trial, a function of what it tells and of its arguments, a host of its own, and looks
    at what is left there."""
    @functools.wraps(trial)
    def on_host(suite, chain, seed, *arguments):
        host = Host(SUITES[suite], chain, ranges=chains.WIDE_RANGES)
        told = Told(host)
        try:
            rng = random.Random(f"{seed} {words(trial, chain, *arguments)}")
            failure = run_trial(trial, told, rng, *arguments)
            if not failure and told.before:
                failure = run_trial(must_be_the_same, host, told.before, "all of it")
            elif not failure:
                failure = run_trial(must_be_clean, host, "at the end")
            told.tell("all of it", failure)
        finally:
            host.remove()
        return told.calls
    return on_host


def overlap(holdings):
    """Two of [(what, from, to, who)] that have the same at the same time, or None."""
    last = {}
    for what, begin, end, who in sorted(holdings, key=lambda one: one[1]):
        if what in last and begin < last[what][0]:
            return f"{what} is {last[what][1]}'s and {who}'s"
        last[what] = max((end, who), last.get(what, (end, who)))
    return None


def numbered(letter, count):
    return [f"{letter}{number}" for number in range(count)]


def addresses(result):
    return [ip["address"] for ip in result["ips"]]


# P9, F13.

@on_a_host
def try_addresses(told, rng):
    """300 ADDs of host-local, 100 at once; 300 more, mixed with the DELs of the first; their DELs.
    """
    host = told.host
    netns = host.container("any").path
    given = {}

    def call(verb, name):
        def job(under):
            return host.each(verb, name, netns=netns, under=under)
        return verb, name, job

    def run(calls):
        for first in range(0, len(calls), 100):
            wave = calls[first:first + 100]
            for (verb, name, _), outcomes in zip(wave, twins.at_once([each[2] for each in wave])):
                if told.judge(verb, name, outcomes):
                    given.pop(name, None)
                    if verb == "ADD":
                        given[name] = addresses(outcomes[0].json)

    def must_be_theirs(names):
        told.require("each has its addresses", sorted(given) == sorted(names), sorted(given))
        all_given = [address for each in given.values() for address in each]
        told.require("no address is given twice", len(set(all_given)) == len(all_given), given)
        expected = sorted((address.split("/")[0], name) for name, each in given.items()
                          for address in each)
        found = sorted((address, content.split()[0]) for address, content in
                       twins.files(host.leases).items() if "." in address and
                       not address.startswith("last") or ":" in address)
        told.require("each lease is there", found == expected, f"{found}\n{expected}")

    old, new = numbered("old", 300), numbered("new", 300)
    run([call("ADD", name) for name in old])
    must_be_theirs(old)
    mixed = [call("DEL", name) for name in old] + [call("ADD", name) for name in new]
    rng.shuffle(mixed)
    run(mixed)
    must_be_theirs(new)
    run([call("DEL", name) for name in new])
    must_be_theirs([])


@on_a_host
def try_first_bridge(told, _, crowd):
    """ADDs at once of a bridge that does not exist yet."""
    host = told.host
    host.timeout = STORM_TIMEOUT
    host.chain = host.chain[:1]
    names = numbered("c", crowd)
    for name in names:
        host.container(name)
    results = {}
    for name, outcomes in zip(names, twins.at_once(
            [functools.partial(each_of, host, "ADD", name) for name in names])):
        if told.judge("ADD", name, outcomes):
            results[name] = outcomes[-1].json
    links = json.loads(host.place.host.run("ip", "-json", "-details", "link", "show"))
    bridges = [link for link in links if link.get("linkinfo", {}).get("info_kind") == "bridge"]
    told.require("there is one bridge", len(bridges) == 1, bridges)
    ports = [link for link in links if link.get("master") == "br0"]
    told.require("each has its port", len(ports) == crowd, f"{len(ports)} ports")
    macs = {interface["mac"] for result in results.values()
            for interface in result["interfaces"] if interface["name"] == "br0"}
    told.require("the MAC of the bridge is one", macs == {bridges[0]["address"]}, macs)
    given = [address for result in results.values() for address in addresses(result)]
    told.require("no address is given twice", len(set(given)) == len(given), given)
    for name, result in results.items():
        check(told, name, result)
    for name in names:
        told.judge("DEL", name, host.each("DEL", name))
    host.end(*names[1:])


def each_of(host, verb, name, under, **how):
    return host.each(verb, name, under=under, **how)


def check(told, name, result, codes=NOTHING):
    # See must_check().
    if told.host.suite.name == "ours":
        told.judge("CHECK", name, told.host.each("CHECK", name, result), codes)


def delete(told, name, **how):
    """As runtimes do, again if somebody was in the way."""
    for _ in range(5):
        if told.judge("DEL", name, told.host.each("DEL", name, **how), TRY_AGAIN):
            return
    told.judge("DEL", name, told.host.each("DEL", name, **how))


# That many of a storm want the same port of the host.
RIVALS = 6


@on_a_host
def try_storm(told, _, crowd, rounds):
    """Containers that come and go at once."""
    host = told.host
    host.timeout = STORM_TIMEOUT
    names = numbered("c", crowd)
    # With the reference suite the first rule of a port counts, and nobody is refused.
    rivals = names[:RIVALS] if host.suite.name == "ours" else []
    for number, name in enumerate(names):
        host.numbers[name] = 0 if name in rivals else number
        host.container(name)
    holdings = []

    def lives(name, under):
        for _ in range(rounds):
            outcomes = host.each("ADD", name, under=under)
            begin = time.monotonic()
            if told.judge("ADD", name, outcomes, TRY_AGAIN):
                check(told, name, outcomes[-1].json)
                what = addresses(outcomes[-1].json) + ["the port"] * (name in rivals)
                holdings.extend((each, begin, time.monotonic(), name) for each in what)
            delete(told, name)

    begin = time.monotonic()
    twins.at_once([functools.partial(lives, name) for name in names])
    told.require("no two hold the same", not overlap(holdings), overlap(holdings))
    lived = sum(what != "the port" for what, *_ in holdings) // len(host.ranges)
    refused = crowd * rounds - lived
    told.require("only rivals are refused", refused <= len(rivals) * rounds or
                 time.monotonic() - begin > LOCK_WAIT, f"{refused} of {crowd * rounds}")
    host.end(*names[1:])


# F13: calls of the same container.

def duration_of_add(host):
    """Of an undisturbed one, of a chain whose bridge is there."""
    for _ in range(2):
        begin = time.monotonic()
        host.must("ADD", "any")
        spent = time.monotonic() - begin
        host.must("DEL", "any")
    return spent


# What an ADD finds gone that its own DEL has taken away.
TAKEN_AWAY = (11, 999)


@on_a_host
def try_overtaken(told, rng, rounds):
    """DEL while ADD of the same attachment is at work."""
    host = told.host
    spent = duration_of_add(host)
    for name in numbered("c", rounds):
        host.container(name)
        added, deleted = twins.meanwhile(lambda: host.each("ADD", name),
                                         rng.uniform(0, 1.2 * spent),
                                         lambda: host.each("DEL", name))
        told.judge("ADD", name, added, TAKEN_AWAY)
        told.judge("DEL", name, deleted)
        told.judge("DEL", name, host.each("DEL", name))


# {type: what the second ADD of an attachment says}; others do the same again.
SECOND_ADD = {"bridge": r'veth name \("eth0"\) peer provided \("veth\w{8}"\) already exists',
              "host-local": r"has been allocated to \S+, duplicate allocation is not allowed"}
SECOND_ADD["ptp"] = SECOND_ADD["bridge"]


def says(outcome, pattern):
    return outcome.code == 999 and re.search(pattern, outcome.json["msg"])


@on_a_host
def try_same(told, rng, rounds):
    """ADDs of the same attachment at the same time: one of them wins."""
    host = told.host
    whole, host.chain = host.chain, host.chain[:1]
    for name in numbered("c", rounds):
        host.container(name)
        count = rng.choice((2, 3))
        outcomes = [each[0] for each in twins.at_once(
            [functools.partial(each_of, host, "ADD", name)] * count)]
        told.judge("ADD", name, outcomes, (999,))
        won = [outcome for outcome in outcomes if outcome.status == 0]
        told.require("one ADD wins", len(won) == 1, "\n".join(map(str, outcomes)))
        lost = [outcome for outcome in outcomes if outcome.status != 0]
        told.require("the others say why", all(
            says(outcome, SECOND_ADD[host.chain[0]["type"]]) for outcome in lost),
            "\n".join(map(str, lost)))
        for outcome in won:
            check(told, name, outcome.json)
        told.judge("DEL", name, host.each("DEL", name))
    host.chain = whole


@on_a_host
def try_collector(told, rng, rounds):
    """GC while those that it is told of as alive come to be."""
    host = told.host
    for number in range(rounds):
        live, dead = numbered(f"live{number}-", 4), f"dead{number}"
        host.must("ADD", dead)
        for name in live:
            host.container(name)

        def add(name, under):
            pause = rng.uniform(0, 0.05)
            outcomes = []
            for config in host.chain:
                if outcomes:
                    time.sleep(pause)
                    config = {**config, "prevResult": outcomes[-1].json}
                outcomes.append(host.call("ADD", config, name, under=under))
                if outcomes[-1].status != 0:
                    break
            return "ADD", name, outcomes

        def collect(under):
            return "GC", "all", [outcome for _ in range(4)
                                 for outcome in host.collect(live, under=under)]

        done = twins.at_once([functools.partial(add, name) for name in live] + [collect, collect])
        for verb, name, outcomes in done:
            if told.judge(verb, name, outcomes) and verb == "ADD":
                check(told, name, outcomes[-1].json)
        left = [line for line in host.reservations() if dead in line]
        told.require("GC frees the address of the dead", not left, left)
        for name in live:
            told.judge("DEL", name, host.each("DEL", name))
        host.end(dead, *live)


# F12.

@on_a_host
def try_vanished(told, rng, verb, rounds):
    """The namespace goes away while ADD or DEL is at work."""
    host = told.host
    spent = duration_of_add(host)
    for name in numbered("c", rounds):
        netns = host.container(name).path
        if verb == "DEL":
            host.must("ADD", name)
        outcomes, _ = twins.meanwhile(lambda: host.each(verb, name, netns=netns),
                                      rng.uniform(0, spent), lambda: host.end(name))
        told.judge(verb, name, outcomes, BAD_NAMESPACE if verb == "ADD" else NOTHING)
        if verb == "ADD":
            told.judge("DEL", name, host.each("DEL", name, netns=netns))
        told.judge("DEL", name, host.each("DEL", name, netns=""))


# F14.

@on_a_host
def try_again(told, _):
    """ADD and DEL once too often."""
    host = told.host
    before = host.observe()
    host.container("one")
    for netns in (None, "", "/run/netns/none"):
        told.judge("DEL", "one", host.each("DEL", "one", netns=netns))
    must_be_clean(host, "after DEL without ADD")
    host.must("ADD", "two")
    result = host.must("ADD", "one")
    before = host.observe()
    previous = None
    for config in host.chain:
        outcome = host.call("ADD", {**config, **({"prevResult": previous} if previous else {})},
                            "one")
        pattern = SECOND_ADD.get(config["type"])
        if pattern:
            told.judge("ADD", "one", [outcome], (999,))
            told.require("the second ADD is refused", says(outcome, pattern), outcome)
        else:
            told.judge("ADD", "one", [outcome])
        previous = result
        told.require("the second ADD changes nothing", host.observe() == before,
                     "\n".join(twins.difference(before, host.observe())))
    check(told, "one", result)
    for _ in range(3):
        told.judge("DEL", "one", host.each("DEL", "one"))
    told.judge("DEL", "one", host.each("DEL", "one", netns=""))
    told.judge("DEL", "two", host.each("DEL", "two"))


# F15.

def quietly(host, *command):
    """What it is to take away may be gone, or not there yet."""
    with host.place.host.entered():
        return subprocess.run(command, capture_output=True, text=True, check=False,
                              env={**os.environ, "PATH": host.path}).stdout


def flush_ruleset(host):
    quietly(host, "nft", "flush", "ruleset")


def delete_tables(host):
    for line in quietly(host, "nft", "list", "tables").splitlines():
        if "plumb" in line:
            quietly(host, "nft", "delete", *line.split())


def flush_iptables(host):
    for program in ("iptables", "ip6tables"):
        for table in ("nat", "filter"):
            # To ask for a table of iptables-legacy makes it.
            if host.name.endswith("nft") or table == "nat":
                quietly(host, program, "-w", "-t", table, "-F")


def delete_bridge(host):
    quietly(host, "ip", "link", "delete", "br0")


def take_addresses(host):
    quietly(host, "ip", "address", "flush", "dev", "br0")


def delete_ports(host):
    for link in json.loads(quietly(host, "ip", "-json", "link", "show", "type", "veth")):
        quietly(host, "ip", "link", "delete", link["ifname"])


def acts_on(chain):
    """What others can take away from it."""
    if not chain.endswith("iptables-legacy"):
        yield flush_ruleset
    yield delete_tables if chain.endswith("nftables") else flush_iptables
    if chain.startswith("bridge"):
        yield from (delete_bridge, take_addresses)
    yield delete_ports


@on_a_host
def try_robbed(told, _, act):
    """Others take something away from an attachment."""
    host = told.host
    for name in ("one", "two"):
        host.container(name)
    one, two = host.must("ADD", "one"), host.must("ADD", "two")
    act(host)
    for name, result in (("one", one), ("two", two)):
        outcomes = host.each("CHECK", name, result)
        failures = [outcome for outcome in outcomes if outcome.status != 0]
        for outcome in failures:
            told.tell(f"CHECK of {name}", wrong("CHECK", outcome, None))
        told.require("CHECK misses it", failures, "\n".join(map(str, outcomes)))
    told.judge("DEL", "one", host.each("DEL", "one"))
    # With what is left of the other around it.
    outcomes = host.each("ADD", "three")
    if told.judge("ADD", "three", outcomes):
        check(told, "three", outcomes[-1].json)
    for name in ("two", "three"):
        told.judge("DEL", name, host.each("DEL", name))
    must_be_clean(host, "after DEL")
    outcomes = host.each("ADD", "one")
    if told.judge("ADD", "one", outcomes):
        check(told, "one", outcomes[-1].json)
    told.judge("DEL", "one", host.each("DEL", "one"))


@on_a_host
def try_robbed_meanwhile(told, rng, act, verb, rounds):
    """The same while ADD or DEL is at work."""
    host = told.host
    spent = duration_of_add(host)
    for name in numbered("c", rounds):
        host.container(name)
        if verb == "DEL":
            host.must("ADD", name)
        outcomes, _ = twins.meanwhile(lambda: host.each(verb, name), rng.uniform(0, spent),
                                      lambda: act(host))
        told.judge(verb, name, outcomes, TAKEN_AWAY if verb == "ADD" else NOTHING)
        told.judge("DEL", name, host.each("DEL", name))
    outcomes = host.each("ADD", "any")
    if told.judge("ADD", "any", outcomes):
        check(told, "any", outcomes[-1].json)
    told.judge("DEL", "any", host.each("DEL", "any"))


# P15, F10, F11.

# Attachments that come and go at the same time.
LANES = 4


def put_foreign_rules(host):
    """Rules of others, in front and behind; without counters, which the plugins need not keep."""
    for program in ("iptables", "ip6tables"):
        for table, chain in others.RULES:
            for number in range(3):
                host.place.host.run(program, "-w", "-t", table, "-A", chain, "-m", "comment",
                                    "--comment", f"foreign {number}", "-j", "RETURN",
                                    env={**os.environ, "PATH": host.path})


def foreign_rules(host):
    """All of them, in their order, as often as they are there."""
    return [line.strip() for section in twins.rules(host.place.host).values() for line in section
            if "foreign" in line]


@on_a_host
def try_busy(told, rng, kind, times):
    """Others are at work on what plugins change."""
    host = told.host
    host.timeout = STORM_TIMEOUT
    duration_of_add(host)
    put_foreign_rules(host)
    told.before, foreign = host.observe(), foreign_rules(host)
    names = numbered("c", times)
    for name in numbered("lane", LANES):
        host.container(name)
    def lane(number, under):
        netns = host.containers[f"lane{number}"].path
        for name in names[number::LANES]:
            outcomes = host.each("ADD", name, under=under, netns=netns)
            if told.judge("ADD", name, outcomes, TRY_AGAIN):
                if told.host.suite.name == "ours":
                    told.judge("CHECK", name, host.each("CHECK", name, outcomes[-1].json,
                                                        netns=netns), TRY_AGAIN)
            delete(told, name, netns=netns)

    with others.busy(host, kind, rng.random(), host.path) as report:
        twins.at_once([functools.partial(lane, number) for number in range(LANES)])
    told.require("others were at work", report[0]["rounds"] > 1, report)
    told.require("nobody took anything from others", not report[0]["failures"],
                 "\n".join(report[0]["failures"][:5]))
    told.require("rules of others stay, once each", foreign_rules(host) == foreign,
                 foreign_rules(host))
    told.require("no address is left", not host.reservations(), host.reservations())


def locks_of(chain, host):
    yield f"{host.leases}/lock"
    yield "/run/cni/plumb/nf_tables-writers.lock"
    if chain.startswith("bridge"):
        yield "/run/cni/plumb/br0.lock"
    if chain.endswith("legacy"):
        yield others.XTABLES_LOCK


@on_a_host
def try_locked(told, _, number):
    """Somebody holds a lock for longer than a plugin waits."""
    host = told.host
    host.timeout = STORM_TIMEOUT
    host.must("ADD", "one")
    host.container("two")
    lock = list(locks_of(host.name, host))[number]
    before = host.observe()
    chains.clean_states(host)  # while nobody has to wait
    with open(lock, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        outcomes = host.each("ADD", "two")
        told.judge("ADD", "two", outcomes, TRY_AGAIN)
        if len(outcomes) == 1 and outcomes[0].status != 0:
            must_be_the_same(host, before, "the failed ADD")
        told.judge("DEL", "one", host.each("DEL", "one"), TRY_AGAIN)
    for name in ("one", "two"):
        told.judge("DEL", name, host.each("DEL", name))


# All of them.

GATES = {try_addresses: ("P9", "hundreds of addresses at once"),
         try_first_bridge: ("P9", "a bridge that many make at once"),
         try_storm: ("P9", "a storm of ADD, CHECK and DEL"),
         try_overtaken: ("P9", "DEL overtakes ADD"),
         try_same: ("P9", "ADDs of one container at once"),
         try_collector: ("P9", "GC during ADDs"),
         try_vanished: ("P15", "the namespace goes away meanwhile"),
         try_again: ("P15", "calls that are repeated"),
         try_robbed: ("P15", "others take away what an ADD made"),
         try_robbed_meanwhile: ("P15", "others take it away meanwhile"),
         try_busy: ("P15", "others keep links, rules and locks busy"),
         try_locked: ("P15", "a lock that is held for too long")}


def p9_trials(suite, everything):
    ours = suite == "ours"
    yield try_addresses, "host-local"
    yield try_first_bridge, "masquerade" if ours else "bridge iptables-nft", 60
    for store in STORES:
        if f"bridge {store}" in chains.chains_of(suite):
            crowd, rounds = (64, 3 if everything or store == "nftables" else 1)
            if not ours and not everything:
                crowd = 16
            yield try_storm, f"bridge {store}", crowd, rounds
    for chain in chains.chains_of(suite):
        yield try_overtaken, chain, rounds_of(suite, everything, 6)
        yield try_same, chain, rounds_of(suite, everything, 4)
        if ours:
            yield try_collector, chain, rounds_of(suite, everything, 2)


# (chain, who is busy, how many ADDs and DELs in the sample)
BUSY = [("bridge nftables", "links", 80), ("ptp nftables", "links", 20),
        ("bridge iptables-nft", "links", 20), ("bridge nftables", "rules", 40),
        ("bridge iptables-nft", "rules", 24), ("bridge iptables-legacy", "rules", 24),
        ("bridge iptables-legacy", "lock", 12)]


def p15_trials(suite, everything):
    ours = suite == "ours"
    for chain in chains.chains_of(suite):
        if chain != "host-local":
            for verb in ("ADD", "DEL"):
                yield try_vanished, chain, verb, rounds_of(suite, everything, 6)
        yield try_again, chain
        for act in acts_on(chain) if chain != "host-local" else ():
            yield try_robbed, chain, act
            for verb in ("ADD", "DEL"):
                yield try_robbed_meanwhile, chain, act, verb, rounds_of(suite, everything, 2)
    for chain, kind, times in BUSY:
        if chain in chains.chains_of(suite):
            yield try_busy, chain, kind, 200 if everything else times if ours else times // 4
    if everything and ours:
        for chain in ("bridge nftables", "bridge iptables-legacy"):
            for number in range(4 if chain.endswith("legacy") else 3):
                yield try_locked, chain, number


def rounds_of(suite, everything, few):
    if everything:
        return 40
    return few if suite == "ours" else 1


def name_of(trial):
    suite, (function, *arguments) = trial
    return words(function, suite, *arguments)


def run_all_of(trial, seed):
    suite, (function, chain, *arguments) = trial
    begin = time.monotonic()
    calls = function(suite, chain, seed, *arguments)
    return trial, calls, time.monotonic() - begin


def read_arguments():
    parser = gates.parser()
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--trial", default="")
    return parser.parse_args()


def main():
    arguments = read_arguments()
    twins.isolate()
    print(f"--seed {arguments.seed}", flush=True)
    trials = [(suite, trial) for suite in chains.VERSIONS for part in (p9_trials, p15_trials)
              for trial in part(suite, arguments.all)]
    trials = [trial for trial in trials if arguments.trial in name_of(trial)]
    counts = gates.Gates(shown=tuple(chains.VERSIONS) if arguments.trial else ("ours",))
    with chains.workers(arguments) as pool:
        run = functools.partial(run_all_of, seed=arguments.seed)
        for trial, calls, spent in pool.imap_unordered(run, trials):
            if arguments.trial:
                print(f"{name_of(trial)}: {len(calls)} calls, {spent:.1f} s", flush=True)
            for what, failure in calls:
                counts.tell(*GATES[trial[1][0]], trial[0], failure, f"{name_of(trial)}: {what}")
    return counts.finish("faults-race")


if __name__ == "__main__":
    sys.exit(main())
