#!/usr/bin/env python3
"""Spoils the directories and files in which plugins keep state, and changes suites, boots and
clocks under live attachments.

  state_test.py PLUGINS REFERENCE [--all] [--trial TEXT]

Full and read-only disks (F6), files that are torn or something else (F7), a reboot that keeps the
files (F9), processes that stop and clocks that jump (F16), and attachments of one suite that the
other deletes (F19); the numbers are those of the table in README.md. Each trial has a host of its
own. --trial gives those whose name contains TEXT. Without --all a sample of the torn files is
tried. Exits with 1 after a failure of ours.
"""

import contextlib
import itertools
import os
import pathlib
import shutil
import sys
import threading
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import chains  # noqa: E402
import gates  # noqa: E402
import twins  # noqa: E402
from chains import (  # noqa: E402
    BOOT_ID, SUITES, Failed, Host, clean_states, must_be_clean, must_be_one_answer,
    must_be_the_same, must_check, run_trial)


# F6.

# The reference suite has one code for everything.
IO_ERROR = {"ours": 5, "reference": 999}
DISK_FAULTS = ("no room", "no inodes", "read-only")


@contextlib.contextmanager
def spoilt(directory, fault):
    """The file system mounted there has what it has, and not a byte or a name more."""
    if fault == "no room":
        # A limit of nothing would be none.
        pathlib.Path(directory, "filler").write_bytes(b"x")
    status = os.statvfs(directory)
    if fault == "read-only":
        spoil, heal = "ro", "rw"
    elif fault == "no inodes":
        spoil, heal = f"nr_inodes={status.f_files - status.f_ffree}", f"nr_inodes={status.f_files}"
    else:
        used = status.f_blocks - status.f_bfree
        spoil, heal = f"size={used * status.f_bsize}", f"size={status.f_blocks * status.f_bsize}"
    twins.run("mount", "-o", f"remount,{spoil}", directory)
    try:
        yield
    finally:
        twins.run("mount", "-o", f"remount,{heal}", directory)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{directory}/filler")


class Disk:
    """A small file system for one host's data, and /run with few files."""

    def __init__(self, suite, chain):
        self.directory = f"/mnt/disk{os.getpid()}"
        os.makedirs(self.directory, exist_ok=True)
        twins.run("mount", "-t", "tmpfs", "-o", "size=1M,nr_inodes=256", "none", self.directory)
        twins.run("mount", "-o", "remount,size=1M,nr_inodes=512", "/run")
        forget_locks()
        self.host = Host(SUITES[suite], chain, f"{self.directory}/data")

    def remove(self):
        self.host.remove()
        twins.run("umount", "-l", self.directory)


def forget_locks():
    shutil.rmtree("/run/cni", ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink("/run/xtables.lock")


def disk_trials():
    for suite in ("ours", "reference"):
        for chain in chains.chains_of(suite):
            for place in ("data", "run"):
                if place == "run" and chain == "host-local":
                    continue
                for fault in DISK_FAULTS:
                    for when in ("first ADD", "ADD", "DEL"):
                        yield try_disk, suite, (chain, place, fault, when)


def try_disk(suite, chain, place, fault, when):
    disk = Disk(suite, chain)
    try:
        host = disk.host
        for name in ("one", "two"):
            host.container(name)
        clean_states(host)  # while there is room for it
        result = None if when == "first ADD" else host.must("ADD", "one")
        before = host.observe()
        if place == "run":
            forget_locks()
        with spoilt(disk.directory if place == "data" else "/run", fault):
            if when == "DEL":
                outcomes = host.each("DEL", "one", result)
                judge_del_without_disk(host, outcomes, place, fault)
            else:
                outcome = host.try_add("two")
                must_be_one_answer(outcome)
                if outcome.status != 0:
                    if outcome.code != IO_ERROR[suite]:
                        raise Failed(f"ADD has code {outcome.code}: {outcome}")
                    must_be_the_same(host, before, "after the failed ADD")
                elif place == "data":
                    raise Failed(f"ADD says it could keep its state: {outcome}")
                else:
                    must_check(host, "two", outcome.json)
        host.must("DEL", "two")
        host.must("DEL", "one")
        must_be_clean(host, "after the disk was there again")
        host.must_be_whole()
    finally:
        disk.remove()


def judge_del_without_disk(host, outcomes, place, fault):
    for outcome in outcomes:
        must_be_one_answer(outcome)
        if outcome.status != 0 and outcome.code != IO_ERROR[host.suite.name]:
            raise Failed(f"DEL has code {outcome.code}: {outcome}")
    succeeded = all(outcome.status == 0 for outcome in outcomes)
    if succeeded:
        must_be_clean(host, "after a successful DEL")
    elif place == "data":
        must_be_clean(host, "after DEL", but=["files:"])
    if succeeded and place == "data" and fault == "read-only":
        raise Failed("DEL says it could release the addresses")


# F7.

CANARY = "this file belongs to somebody else\n"


def write(content):
    def tear(path, canary):
        path.write_bytes(content)
    return tear


def tear_directory(path, canary):
    path.mkdir()
    (path / "inside").write_text(CANARY, encoding="ascii")


def tears(content, everything):
    """{name: function of the path of what it replaces, and of a file that must not change}"""
    found = {"empty": write(b""), "NULs": write(bytes(max(1, len(content)))),
             "garbage": write(b"\x01\xff garbage \r\n\r\n ../x"), "1 MiB": write(b"x" * (1 << 20)),
             "a directory": tear_directory,
             "a link": lambda path, canary: path.symlink_to(canary),
             "a FIFO": lambda path, canary: os.mkfifo(path)}
    cuts = range(1, len(content)) if everything else {len(content) // 2, len(content) - 1}
    found |= {f"{cut} bytes of {len(content)}": write(content[:cut])
              for cut in sorted(cuts) if 0 < cut < len(content)}
    return found


FOREIGN = ("a directory", "a link", "a FIFO")
LOCKS = ("/run/xtables.lock", "/run/cni")


def state_files(host):
    """Everything that attachments keep state in."""
    found = sorted(path for path in pathlib.Path(host.data).rglob("*") if path.is_file())
    found += [path for path in sorted(pathlib.Path("/run").rglob("*.lock")) if path.is_file()]
    return found


def torn_trials(everything):
    for suite in ("ours", "reference"):
        for number, chain in enumerate(chains.chains_of(suite)):
            # What a host-local alone does not show is the other plugins' part.
            share = 1 if everything or chain == "host-local" else 12
            if suite == "reference" and not everything:
                share *= 5
            yield try_torn, suite, (chain, everything, number, share)


def try_torn(suite, chain, everything, number, share):
    """As many trials as there are state files and tears, passing over some of them."""
    failures, count = [], 0
    forget_locks()
    host = Host(SUITES[suite], chain)
    host.must("ADD", "one")
    files = [(str(path).replace(host.data, "DATA"), path.read_bytes()) for path in
             state_files(host)]
    host.remove()
    for name, content in files:
        for tear, make in tears(content, everything).items():
            count += 1
            if (count + number) % share == 0:
                yield f"{name}: {tear}", run_trial(try_one_torn, suite, chain, name, tear, make)


def try_one_torn(suite, chain, name, tear, make):
    forget_locks()
    host = Host(SUITES[suite], chain)
    try:
        for container in ("one", "two"):
            host.container(container)
        one = host.must("ADD", "one")
        path = pathlib.Path(name.replace("DATA", host.data))
        if not path.exists():
            raise Failed(f"there is no {path}")
        canary = pathlib.Path(host.place.directory, "canary")
        canary.write_text(CANARY, encoding="ascii")
        path.unlink()
        make(path, canary)
        foreign = tear in FOREIGN
        before = host.observe()
        outcome = host.try_add("two")
        must_be_one_answer(outcome)
        if outcome.status == 0:
            must_check(host, "two", outcome.json)
        elif not foreign:
            raise Failed(f"ADD of another container: {outcome}")
        else:
            must_be_the_same(host, before, "after the failed ADD")
        for each in host.each("CHECK", "one", one):
            must_be_one_answer(each)
        host.each("DEL", "two")
        deleted = host.each("DEL", "one", one)
        if foreign:
            must_be_left_alone(path, tear, canary)
            for each in deleted:
                must_be_one_answer(each)
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(True)
            host.must("DEL", "two")
            host.must("DEL", "one")
        else:
            for each in deleted:
                if each.status != 0:
                    raise Failed(f"DEL: {each}")
        if suite == "ours":
            host.must_collect()
        must_be_clean(host, "after DEL and GC")
        host.must_be_whole()
    finally:
        host.remove()


def must_be_left_alone(path, tear, canary):
    if canary.read_text(encoding="ascii") != CANARY:
        raise Failed("what a link leads to was changed")
    if tear == "a directory" and path.is_dir() and \
            (path / "inside").read_text(encoding="ascii") != CANARY:
        raise Failed("what is in a directory was changed")


def many_torn_trials():
    for suite in ("ours", "reference"):
        for what, content in (("empty", b""), ("torn", b"\0\0\0\0")):
            for way in ("ADD", "GC"):
                if suite == "ours" or way == "ADD":
                    yield try_many_torn, suite, (what, content, way)


def try_many_torn(suite, _, content, way):
    """253 leases of a /24, all torn."""
    host = Host(SUITES[suite], "host-local")
    try:
        config = host.chain[0]
        config["ipam"] = {**config["ipam"], "ranges": [[{"subnet": "10.1.2.0/24"}]]}
        host.leases.mkdir(parents=True)
        for number in range(2, 255):
            (host.leases / f"10.1.2.{number}").write_bytes(content)
        if way == "GC":
            host.must_collect()
            left = host.reservations()
            if left:
                raise Failed(f"GC leaves {len(left)}")
        given = {host.must("ADD", f"c{number}")["ips"][0]["address"] for number in range(253)}
        if len(given) != 253:
            raise Failed(f"{len(given)} different addresses for 253 containers")
    finally:
        host.remove()


# F9.

@contextlib.contextmanager
def another_boot(host):
    """The same files on a host of its own, whose kernel says it started anew."""
    new = Host(host.suite, host.name, host.data)
    forget_locks()
    file = pathlib.Path(host.place.directory, "boot_id")
    file.write_text(f"{uuid.uuid4()}\n", encoding="ascii")
    twins.run("mount", "--bind", str(file), BOOT_ID)
    try:
        yield new
    finally:
        twins.run("umount", "-l", BOOT_ID)
        new.remove()


def reboot_trials():
    for suite in ("ours", "reference"):
        for chain in chains.chains_of(suite):
            for way in ("DEL", "ADD", "GC", "full"):
                if suite == "ours" or way != "GC":
                    yield try_reboot, suite, (chain, way)


def try_reboot(suite, chain, way):
    host = Host(SUITES[suite], chain)
    try:
        # As runtimes name them: no name comes twice.
        old = {name: host.must("ADD", name) for name in ("one", "two")}
        taken = {ip["address"] for result in old.values() for ip in result["ips"]}
        if way == "full":
            host.fill()
        for container in host.containers.values():
            container.remove()
        host.place.containers.clear()
        host.containers.clear()
        with another_boot(host) as new:
            for name in ("one", "two"):
                new.container(name)
            judge_reboot(new, way, old, taken)
    finally:
        host.remove()


def judge_reboot(host, way, old, taken):
    if way == "DEL":
        for name, result in old.items():
            host.must("DEL", name, result, netns="")
    elif way == "ADD":
        first, second = host.must("ADD", "new"), host.must("ADD", "newer")
        given = [ip["address"] for result in (first, second) for ip in result["ips"]]
        if len(set(given)) != 4:
            raise Failed(f"given twice: {given}")
        if host.suite.name == "reference" and taken & set(given):
            raise Failed(f"given again: {taken & set(given)}")
        for name, result in old.items():
            host.must("DEL", name, result, netns="")
        must_check(host, "new", first)
        must_check(host, "newer", second)
        host.must("DEL", "new", first)
        host.must("DEL", "newer", second)
    elif way == "GC":
        host.must_collect()
    else:
        # All addresses are those of the dead.
        host.must("DEL", "new", host.must("ADD", "new"))
    if way == "full":
        return
    must_be_clean(host, f"after {way}")
    host.must_be_whole()


# F16.

def stop_trials():
    for suite in ("ours", "reference"):
        for verb in ("ADD", "DEL"):
            for after in range(3):
                yield try_stopped, suite, (verb, after)


def clock_trials():
    for chain in chains.CHAINS:
        for first, second in ((0, 36000), (36000, 0), (100 * 86400, 0)):
            yield try_clock, "ours", (chain, first, second)


def try_stopped(suite, verb, after):
    """A call that is stopped for a second, lock held or not, and others meanwhile."""
    host = Host(SUITES[suite], "host-local")
    try:
        if verb == "DEL":
            host.must("ADD", "slow")
        host.container("slow")
        tracer = [chains.tracer(), f"{host.place.directory}/report", str(4 + 3 * after),
                  "run=sleep 1"]
        slow = []
        thread = threading.Thread(
            target=lambda: slow.extend(host.each(verb, "slow", under=tracer)))
        thread.start()
        time.sleep(0.2)
        given = [host.must("ADD", name)["ips"] for name in ("one", "two")]
        thread.join()
        if slow[0].status != 0 or (verb == "ADD" and slow[0].json is None):
            raise Failed(f"the stopped {verb}: {slow[0]}")
        if verb == "ADD":
            given.append(slow[0].json["ips"])
        addresses = [ip["address"] for ips in given for ip in ips]
        if len(set(addresses)) != len(addresses):
            raise Failed(f"given twice: {addresses}")
        for name in ("one", "two", "slow"):
            host.must("DEL", name)
        must_be_clean(host, "after DEL")
        host.must_be_whole()
    finally:
        host.remove()


def shifted(seconds):
    """The command that gives another one a clock of its own."""
    return ("unshare", "--time", "--fork", f"--boottime={seconds}", f"--monotonic={seconds}")


def try_clock(suite, chain, first, second):
    """Between two calls the clocks jump, with addresses that rest and are held."""
    host = Host(SUITES[suite], chain)
    try:
        for config in host.chain:
            if "ipam" in config:
                config["ipam"] = {**config["ipam"], "cooldown": "1h"}
        one = host.must("ADD", "one", under=shifted(first))
        host.must("CHECK", "one", one, under=shifted(second))
        # Others are alive, however long ago that seems.
        two = host.must("ADD", "two", under=shifted(second))
        if {ip["address"] for ip in one["ips"]} & {ip["address"] for ip in two["ips"]}:
            raise Failed(f"given twice: {one['ips']} {two['ips']}")
        host.must("DEL", "one", one, under=shifted(first))
        three = host.must("ADD", "three", under=shifted(second))
        if {ip["address"] for ip in two["ips"]} & {ip["address"] for ip in three["ips"]}:
            raise Failed(f"given twice: {two['ips']} {three['ips']}")
        host.must("DEL", "two", two, under=shifted(second))
        host.must("DEL", "three", three, under=shifted(second))
        must_be_clean(host, "after DEL")
        host.must_be_whole()
    finally:
        host.remove()


# F19: what swap_test.py of test/conformance shows in all versions; here with GC, and counted.

def swap_trials():
    for chain in chains.chains_of("reference"):
        for way in ("DEL", "DEL without namespace", "GC"):
            yield try_swap, "ours", (chain, "reference", way)
        # Without a namespace the reference suite leaves its own rules, too.
        yield try_swap, "ours", (chain, "ours", "DEL")


def try_swap(_, chain, adder, way):
    """ADD by one suite; DEL or GC by the other."""
    deleter = {"ours": "reference", "reference": "ours"}[adder]
    host = Host(SUITES[adder], chain)
    for config in host.chain:
        config["cniVersion"] = chains.VERSIONS["reference"]
    try:
        results = {name: host.must("ADD", name) for name in ("one", "two")}
        host.suite = SUITES[deleter]
        if way != "DEL":
            host.end("one")
        if way == "GC":
            host.must_collect(valid=["two"])
        else:
            host.must("DEL", "one", results["one"], netns=None if way == "DEL" else "")
        if deleter == "ours":
            host.must("CHECK", "two", results["two"])
        host.must("DEL", "two", results["two"])
        host.end(*host.containers)
        must_have_nothing_new(host, but=[] if deleter == "ours" else OUR_BOOKS)
        host.must_be_whole()
        # What the reference suite cannot know of, the next call of ours finds.
        host.suite = SUITES["ours"]
        host.must_collect()
        must_have_nothing_new(host)
    finally:
        host.remove()


def must_have_nothing_new(host, but=()):
    """Apart from what the reference suite never takes away."""
    before, seen = clean_states(host, "reference")[1], host.observe()
    rules = seen["host nftables"]
    for table in but:
        rules[:] = without_table(rules, table)
    left = [line for line in twins.difference(before, seen) if ": + " in line]
    if left:
        raise Failed("\n      ".join(["there is left:", *left]))


# ports-book in cni-spec/differences.md.
OUR_BOOKS = ("table ip plumb_hostports {", "table ip6 plumb_hostports {")


def without_table(rules, table):
    """A table of nft(8)'s listing ends with a brace in the first column."""
    kept, inside = [], False
    for line in rules:
        inside = inside or line == table
        if not inside:
            kept.append(line)
        inside = inside and line != "}"
    return kept


# All of them.

GATES = {try_disk: ("P10", "full and read-only disks"),
         try_torn: ("P10", "torn and foreign files"),
         try_many_torn: ("P10", "253 torn leases"),
         try_reboot: ("P10", "reboot"),
         try_stopped: ("P10", "stopped processes"),
         try_clock: ("P10", "clocks that jump"),
         try_swap: ("P16", "one suite's attachment, the other's DEL or GC")}


def all_trials(everything):
    """Of what takes long, a sample."""
    def sample(trials, stride):
        yield from itertools.islice(trials, 0, None, 1 if everything else stride)

    yield from torn_trials(everything)
    yield from many_torn_trials()
    # No stride has a divisor in common with the number of trials of one chain.
    yield from sample(disk_trials(), 5)
    yield from sample(reboot_trials(), 3)
    yield from sample(swap_trials(), 3)
    yield from stop_trials()
    yield from sample(clock_trials(), 4)


def name_of(trial):
    function, suite, arguments = trial
    words = [str(each) for each in arguments if not isinstance(each, bytes)]
    return " ".join([function.__name__.removeprefix("try_"), suite, *words])


def run_all_of(trial):
    """[(what it was, what failed or None)] of a trial, and the trial itself."""
    function, suite, arguments = trial
    if function is try_torn:
        return trial, [(f"{name_of(trial)} {what}", failure)
                       for what, failure in try_torn(suite, *arguments)]
    return trial, [(name_of(trial), run_trial(function, suite, *arguments))]


def main():
    parser = gates.parser()
    parser.add_argument("--trial", default="")
    arguments = parser.parse_args()
    twins.isolate()
    trials = [trial for trial in all_trials(arguments.all) if arguments.trial in name_of(trial)]
    counts = gates.Gates()
    with chains.workers(arguments) as pool:
        for (function, suite, _), outcomes in pool.imap_unordered(run_all_of, trials):
            for what, failure in outcomes:
                if arguments.trial:
                    print(f"{what}: {failure or 'passed'}", flush=True)
                counts.tell(*GATES[function], suite, failure, what)
    return counts.finish("faults-state")


if __name__ == "__main__":
    sys.exit(main())
