#!/usr/bin/env python3
"""Takes the power from a machine that adds and deletes containers, and looks what becomes of the
addresses.

  power_loss_test.py PLUGINS REFERENCE [--all] [--cycles N]

The machine is user-mode-linux with an ext4 file system in a file, where host-local keeps its state;
its processes are killed at a random moment, so what its kernel has not written is lost. In the next
boot nothing is alive: DEL of every old container must succeed, every address can be had, once, and
GC frees all (inside.py). Each suite has its own machine. 2 cycles, with --all 100. Exits with 1
after a failure of ours.
"""

import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import gates  # noqa: E402
from inside import POOL  # noqa: E402

LIMIT = 120  # seconds for a boot and what is looked at
# Where sizes, data and names reach the disk in another order.
MOUNTS = ("data=ordered", "data=writeback", "data=writeback,nodelalloc", "data=ordered,nodelalloc")


class Machine:
    def __init__(self, suite, plugins, build):
        self.suite, self.plugins, self.build = suite, os.path.abspath(plugins), build
        self.running = None
        self.job = tempfile.mkdtemp(prefix="plumb-power-")
        self.disk = f"{self.job}/disk"
        subprocess.run(["truncate", "-s", "64M", self.disk], check=True)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", self.disk], check=True)

    def boot(self, cycle):
        """Boots, lets the storm begin, takes the power. What inside.py found of the last cycle."""
        result, twice = pathlib.Path(self.job, "result"), pathlib.Path(self.job, "twice")
        for file in (result, twice):
            file.unlink(missing_ok=True)
        script = " ".join(["exec", "python3", str(HERE / "inside.py"), self.job, self.plugins,
                           self.suite, str(cycle), MOUNTS[cycle % len(MOUNTS)]])
        with subprocess.Popen([str(HERE.parents[1] / "uml/run"), self.build, str(LIMIT),
                               f"ubd0={self.disk}"], stdin=subprocess.PIPE, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as machine:
            self.running = machine
            machine.stdin.write(script)
            machine.stdin.close()
            while not result.exists() and machine.poll() is None:
                time.sleep(0.02)
            if result.exists():
                time.sleep(random.uniform(0.2, 2.5))
            # Kills all of it at once.
            machine.terminate()
            said = machine.stdout.read()
        if not result.exists():
            raise RuntimeError(f"the machine ended: {said}")
        found = json.loads(result.read_text(encoding="utf-8"))
        found["twice"] += len(twice.read_text(encoding="utf-8").splitlines()) if twice.exists() \
            else 0
        return found

    def remove(self):
        shutil.rmtree(self.job, ignore_errors=True)


MACHINES = []


def give_up(*_):
    for machine in MACHINES:
        if machine.running:
            machine.running.terminate()
        machine.remove()
    os._exit(1)


def failure_of(found):
    problems = list(found["failed"])
    if found["twice"]:
        problems.append(f"{found['twice']} addresses given twice")
    # Without a GC what was to be had at first is all there is.
    lost = POOL - found.get("second", found["first"])
    if lost:
        problems.append(f"{lost} addresses lost; on the disk were {found['torn']}")
    if "second" in found and found["left"]:
        problems.append(f"GC leaves {found['left']}")
    return "\n    ".join(problems)


def run(suite, plugins, build, cycles):
    """[what was found] after each loss of power."""
    machine = Machine(suite, plugins, build)
    MACHINES.append(machine)
    try:
        found = []
        for cycle in range(cycles + 1):
            found.append(machine.boot(cycle))
            if cycle % 10 == 0 and cycle:
                print(f"  {suite}: {cycle} of {cycles}", flush=True)
        return found[1:]
    finally:
        machine.remove()


def main():
    parser = gates.parser()
    parser.add_argument("--cycles", type=int)
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, give_up)
    cycles = arguments.cycles or (100 if arguments.all else 2)
    build = str(pathlib.Path(arguments.plugins).resolve().parent)
    counts = gates.Gates()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        machines = {suite: pool.submit(run, suite, plugins, build, cycles)
                    for suite, plugins in (("ours", arguments.plugins),
                                           ("reference", arguments.reference))}
        for suite, machine in machines.items():
            found = machine.result()
            for cycle, each in enumerate(found, 1):
                counts.tell("P11", "loss of power", suite, failure_of(each), f"cycle {cycle}")
            print(f"  {suite}: {len(found)} losses of power, {sum(each['old'] for each in found)} "
                  f"containers, {sum(len(each['torn']) for each in found)} torn files of "
                  f"{sum(len(each['torn']) + each['whole'] for each in found)}, "
                  f"{sum(POOL - each['first'] for each in found)} addresses not to be had before "
                  f"a GC, {sum(POOL - each.get('second', each['first']) for each in found)} lost, "
                  f"{sum(each['twice'] for each in found)} given twice")
    return counts.finish("faults-power-loss")


if __name__ == "__main__":
    sys.exit(main())
