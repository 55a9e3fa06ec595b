#!/usr/bin/env python3
"""Runs each plugin, in each store of rules, with as few capabilities as it is said to need.

  privilege_test.py PLUGINS REFERENCE [--all] [--chain TEXT]

CAP_NET_ADMIN, CAP_SYS_ADMIN and, for legacy xtables, CAP_NET_RAW have to do for ADD, CHECK, DEL,
STATUS and GC. Then each of them is taken away: the verb works without it, or fails with an error
that names it, and nothing is changed. Prints which of them each plugin needs. Exits with 1 after a
failure of ours.
"""

import pathlib
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import chains  # noqa: E402
import gates  # noqa: E402
import twins  # noqa: E402
from chains import SUITES, Host  # noqa: E402

VERBS = ("ADD", "CHECK", "STATUS", "GC", "DEL")


def enough(chain):
    """The capabilities that have to do."""
    return {"net_admin", "sys_admin"} | ({"net_raw"} if chain.endswith("legacy") else set())


def with_only(capabilities):
    """The command that runs another one with these."""
    return ("setpriv", "--inh-caps=-all", "--ambient-caps=-all",
            "--bounding-set=" + ",".join(["-all", *(f"+{name}" for name in
                                                    sorted(capabilities))]))


def trials():
    for suite in ("ours", "reference"):
        for chain in [*chains.chains_of(suite), *chains.STATELESS[suite]]:
            for plugin in range(len(chains.CHAINS[chain][0])):
                for verb in VERBS if suite == "ours" else ("ADD", "DEL"):
                    yield suite, chain, plugin, verb


def call(host, verb, plugin, result, capabilities):
    config = host.chain[plugin]
    if result is not None:
        config = {**config, "prevResult": result}
    under = with_only(capabilities)
    if verb == "GC":
        return host.call("GC", {**config, chains.LIVE: []}, "", netns="", under=under)
    return host.call(verb, config, "one", under=under)


def try_with(suite, chain, plugin, verb, capabilities):
    """(outcome, what is the matter or None)"""
    host = Host(SUITES[suite], chain)
    try:
        host.container("one")
        # What the first of all changes is not undone.
        host.must("DEL", "one", host.must("ADD", "one"))
        clean = host.observe()
        result = None
        for config in host.chain[:plugin] if verb == "ADD" else host.chain:
            config = {**config, "prevResult": result} if result else config
            result = host.call("ADD", config, "one").json
        before = host.observe()
        outcome = call(host, verb, plugin, result, capabilities)
        if outcome.status != 0:
            # What these two can do they do, whatever became of the rest.
            lines = twins.left(before, host.observe()) if verb not in ("DEL", "GC") else []
            return outcome, "\n      ".join(["it has changed:", *lines]) if lines else None
        if verb == "ADD" and suite == "ours":
            config = {**host.chain[plugin], "prevResult": outcome.json}
            checked = host.call("CHECK", config, "one")
            if checked.status != 0:
                return outcome, f"CHECK afterwards: {checked}"
        if verb == "DEL":
            host.must("DEL", "one", result)
            left = [line for line in twins.difference(clean, host.observe()) if ": + " in line]
            if left:
                return outcome, "\n      ".join(["DEL leaves:", *left])
        return outcome, None
    finally:
        host.remove()


def try_one(trial):
    """(trial, what failed or None, what is needed, what failed without it)"""
    suite, chain, plugin, verb = trial
    needed, failures = [], []
    try:
        outcome, failure = try_with(suite, chain, plugin, verb, enough(chain))
        if outcome.status != 0:
            failure = str(outcome)
        for capability in sorted(enough(chain)) if suite == "ours" else []:
            outcome, changed = try_with(suite, chain, plugin, verb, enough(chain) - {capability})
            if outcome.status == 0 and not changed:
                continue
            needed.append(capability)
            failures.append((capability, changed or unclear(outcome, capability), str(outcome)))
        return trial, failure, needed, failures
    except Exception:  # of the test itself
        return trial, traceback.format_exc(), needed, failures


def unclear(outcome, capability):
    """What an error lacks, or None."""
    if not isinstance(outcome.json, dict):
        return "no JSON error"
    said = outcome.json.get("msg", "") + outcome.json.get("details", "")
    return None if f"CAP_{capability.upper()}" in said else "the error does not name it"


def main():
    parser = gates.parser()
    parser.add_argument("--chain", default="")
    arguments = parser.parse_args()
    twins.isolate()
    counts, needs = gates.Gates(), {}
    with chains.workers(arguments) as pool:
        todo = [trial for trial in trials() if arguments.chain in trial[1]]
        for (suite, chain, plugin, verb), failure, needed, failures in pool.imap(try_one, todo):
            name = chains.CHAINS[chain][0][plugin]["type"]
            what = f"{verb} of {name}, {chain}"
            counts.tell("P10", "with the least capabilities", suite, failure, what)
            for capability, problem, outcome in failures:
                counts.tell("P10", "without a capability it needs", suite,
                            problem and f"{problem}: {outcome}", f"{what}, {capability}")
            if suite == "ours":
                needs.setdefault((name, chain), {})[verb] = needed
    for (name, chain), verbs in needs.items():
        print(f"  {name}, {chain}: " + "; ".join(
            f"{verb} {', '.join(needed) or 'nothing'}" for verb, needed in verbs.items()))
    return counts.finish("faults-privilege")


if __name__ == "__main__":
    sys.exit(main())
