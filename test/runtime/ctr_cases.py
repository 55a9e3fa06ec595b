"""containerd's own client with --cni: it calls the first list of /etc/cni/net.d."""

import contextlib
import ipaddress
import pathlib
import shutil
import subprocess
import time

import image
from host import (CommandFailed, cached_results, clear_state, expect_same, leases, links, ping, run,
                  snapshot)
from report import Failed, expect

HOST = pathlib.Path("/proc/self/ns/net")
_CONTAINER = "ctr-container"


def look():
    return snapshot(HOST)


@contextlib.contextmanager
def configured(conf):
    """With that list alone in /etc/cni/net.d. Takes away the bridge it made, after the case."""
    clear_state()
    directory = pathlib.Path("/etc/cni/net.d")
    for old in directory.iterdir():
        old.unlink()
    shutil.copy(conf, directory)
    before = set(links(HOST))
    try:
        yield
    finally:
        for name in set(links(HOST)) - before:
            with contextlib.suppress(CommandFailed):
                run(["ip", "link", "del", name])


def expect_released(before):
    expect_same(before, look, "left after the container has gone")
    expect(not leases(), f"leases left: {leases()}")
    expect(not cached_results(), f"cached results left: {cached_results()}")


def _ctr_run(containerd, container_id, *words, options=()):
    return containerd.ctr("run", "--snapshotter", "native", "--cni", *options, image.NAME,
                          container_id, *words)


def _eth0_addresses(text):
    """The global addresses in what `ip address` of busybox prints."""
    found = [ipaddress.ip_interface(line.split()[1]) for line in text.splitlines()
             if line.split()[:1] in (["inet"], ["inet6"])]
    return [address for address in found if not address.is_link_local]


def _prime(containerd):
    _ctr_run(containerd, "ctr-prime", "/bin/sh", "-c", "true", options=("--rm",))
    return look()


def run_to_the_end(containerd, conf):
    """A container looks at its network, pings the gateway, and ends."""
    with configured(conf):
        before = _prime(containerd)
        output = _ctr_run(containerd, _CONTAINER, "/bin/sh", "-c",
                          "ip address show eth0; ip route; ping -c 1 -W 2 10.88.0.1",
                          options=("--rm",))
        addresses = _eth0_addresses(output)
        expect({address.version for address in addresses} == {4, 6},
               f"not one address of each family:\n{output}")
        expect("default via 10.88.0.1" in output, f"no default route:\n{output}")
        expect(" 0% packet loss" in output, f"the gateway is silent:\n{output}")
        expect_released(before)


def run_until_killed(containerd, conf):
    """A container stays, is pinged from the host, and is killed."""
    with configured(conf):
        before = _prime(containerd)
        client = subprocess.Popen(
            ["ctr", "--address", containerd.socket, "run", "--rm", "--snapshotter", "native",
             "--cni", image.NAME, _CONTAINER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            for address in _addresses_when_attached(containerd):
                ping(HOST, str(address.ip))
            expect(len(leases()) == 2, f"leases of one container: {leases()}")
            expect(len(cached_results()) == 1, f"cached results: {cached_results()}")
            ports = [link for link in links(HOST).values() if link.get("master") == "cni0"]
            expect(len(ports) == 1 and _CONTAINER in ports[0].get("ifalias", ""),
                   f"no port of cni0 names {_CONTAINER}: {ports}")
            containerd.ctr("task", "kill", "--signal", "KILL", _CONTAINER)
            # The client detaches when the task has ended: without a namespace, that went with it.
            client.wait(timeout=30)
        finally:
            client.kill()
            client.wait()
        expect_released(before)


def _addresses_when_attached(containerd, patience=20):
    end = time.monotonic() + patience
    output = ""
    while time.monotonic() < end:
        try:
            output = containerd.ctr("task", "exec", "--exec-id", "look", _CONTAINER, "/bin/ip",
                                    "address", "show", "eth0")
        except CommandFailed as failure:
            output = str(failure)
        addresses = _eth0_addresses(output)
        if {address.version for address in addresses} == {4, 6}:
            return addresses
        time.sleep(0.1)
    raise Failed(f"the container has not one address of each family:\n{output}")


# By name; each takes the daemon and the list.
CASES = {"ctr run --cni: to the end": run_to_the_end,
         "ctr run --cni: until killed": run_until_killed}
