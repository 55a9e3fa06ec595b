"""Many ADDs at once, then as many DELs, of chain bridge + portmap."""

import concurrent.futures
import json
import os
import subprocess
import time

from lab import Chain, Host, median, percentile
import twins

WORKERS = 100
SERIAL = 9  # samples of a call that is alone


def call_chain(host, verb, number, netns):
    """The seconds it took. Not in the main thread, and measured from here."""
    environment = host.environment(verb, f"c{number}", netns, "eth0")
    begin = time.monotonic()
    for config in host.calls(verb, number):
        if number in host.previous:
            config = {**config, "prevResult": host.previous[number]}
        with host.host.entered():
            done = subprocess.run([os.path.join(host.folder, config["type"])],
                                  input=json.dumps(config), capture_output=True, text=True,
                                  check=False, env=environment)
        if done.returncode != 0:
            raise RuntimeError(f"{verb} {number}: {done.stdout}")
        if verb == "ADD":
            host.previous[number] = json.loads(done.stdout)
    return time.monotonic() - begin


def measure(lab, folders, count):
    """{suite: {verb: {"per_second", "p99", "serial"}}}, the last two in milliseconds."""
    found = {}
    for name, folder in folders.items():
        host = Host(lab, name, folder, Chain("bridge + portmap", "nftables"))
        containers = [twins.Namespace(f"x{next(Host.numbers)}") for _ in range(count + 1)]
        found[name] = {}
        serial = {"ADD": [], "DEL": []}
        for _ in range(SERIAL):
            for verb, taken in serial.items():
                taken.append(call_chain(host, verb, count, containers[count].path) * 1000)
        for verb in ("ADD", "DEL"):
            begin = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
                times = list(pool.map(
                    lambda number, verb=verb: call_chain(host, verb, number,
                                                         containers[number].path),
                    range(count)))
            found[name][verb] = {"per_second": count / (time.monotonic() - begin),
                                 "p99": percentile(times, 0.99) * 1000,
                                 "serial": median(serial[verb])}
            lab.settle()
        host.remove()
        for container in containers:
            container.remove()
    return found
