"""containerd's CRI plugin, called as kubelet calls it. It runs `loopback` by itself."""

import concurrent.futures
import contextlib
import ipaddress
import time

import ctr_cases
from host import leases, links, ping, run_in
from report import Failed, expect
from traffic import ask, server

_RANGES = [ipaddress.ip_network("10.88.0.0/16"), ipaddress.ip_network("fd00:88::/64")]


def _wait_for_network(client, patience=15):
    end = time.monotonic() + patience
    ready, message = client.network_condition()
    while not ready:
        if time.monotonic() > end:
            raise Failed(f"the runtime finds no network: {message}")
        time.sleep(0.1)
        ready, message = client.network_condition()


@contextlib.contextmanager
def pods(client, names, host_port=None):
    """Pods of these names, all started at once; stopped and removed at once after the case."""
    sandboxes = {}

    def start(name):
        sandboxes[name] = client.run_pod(name, host_port=host_port)
        return client.look_at(name, sandboxes[name])

    def finish(sandbox):
        client.stop_pod(sandbox)
        client.remove_pod(sandbox)

    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        try:
            yield list(pool.map(start, names))
        finally:
            list(pool.map(finish, list(sandboxes.values())))


def expect_addresses(pod):
    expect(len(pod.addresses) == len(_RANGES), f"{pod.name} has {pod.addresses}")
    for text, network in zip(pod.addresses, _RANGES):
        expect(ipaddress.ip_address(text) in network, f"{pod.name}: {text} is not of {network}")


def _prime(client):
    """One pod comes and goes; the bridge it leaves is meant to stay."""
    _wait_for_network(client)
    with pods(client, ["prime"]):
        pass
    return ctr_cases.look()


def two_pods(client, conf):
    with ctr_cases.configured(conf):
        before = _prime(client)
        with pods(client, ["one", "two"]) as (one, two):
            for pod in (one, two):
                expect_addresses(pod)
                expect("UP" in links(pod.netns)["lo"]["flags"], f"{pod.name}: lo is not up")
                ping(pod.netns, "127.0.0.1")
            for address in two.addresses:
                ping(one.netns, address)
                ping(ctr_cases.HOST, address)
            aliases = [link.get("ifalias", "") for link in links(ctr_cases.HOST).values()
                       if link.get("master") == "cni0"]
            for pod in (one, two):
                expect(sum(f"tests/{pod.name}#" in alias for alias in aliases) == 1,
                       f"not one port of cni0 names tests/{pod.name}: {aliases}")
        ctr_cases.expect_released(before)


def stop_is_repeated(client, conf):
    """kubelet stops a pod until it is told of success, and again before it removes the pod."""
    with ctr_cases.configured(conf):
        before = _prime(client)
        with pods(client, ["again"]) as (pod,):
            client.stop_pod(pod.sandbox)
            ctr_cases.expect_released(before)
            client.stop_pod(pod.sandbox)
        ctr_cases.expect_released(before)


def link_is_lost(client, conf):
    """Somebody deletes the link of a pod: stopping it still gives all back."""
    with ctr_cases.configured(conf):
        before = _prime(client)
        with pods(client, ["lost"]) as (pod,):
            run_in(pod.netns, ["ip", "link", "del", "eth0"])
            expect(len(leases()) == 2, f"leases of one pod: {leases()}")
        ctr_cases.expect_released(before)


def host_port(client, conf):
    """kubelet's hostPort: it leads to the pod, to its successor, and then to nobody."""
    with ctr_cases.configured(conf):
        before = _prime(client)
        for name in ("first", "second"):
            with pods(client, [name], host_port=8080) as (pod,):
                with server(pod.netns, name, 80):
                    answer = ask(ctr_cases.HOST, "127.0.0.1", 8080)
                expect(answer == f"{name} saw 10.88.0.1", f"host port of {name}: {answer}")
            answer = ask(ctr_cases.HOST, "127.0.0.1", 8080)
            expect(answer == "nothing", f"host port after the end of {name}: {answer}")
        ctr_cases.expect_released(before)


def many_pods_at_once(client, conf):
    with ctr_cases.configured(conf):
        before = _prime(client)
        with pods(client, [f"pod-{number}" for number in range(10)]) as started:
            addresses = [address for pod in started for address in pod.addresses]
            for pod in started:
                expect_addresses(pod)
            expect(len(set(addresses)) == len(addresses), f"an address twice: {addresses}")
            expect(len(leases()) == len(addresses), f"leases of {addresses}: {leases()}")
            for pod in started[1:]:
                for address in pod.addresses:
                    ping(started[0].netns, address)
        ctr_cases.expect_released(before)


# By name; each takes a client of the daemon and the list.
CASES = {"CRI: two pods": two_pods,
         "CRI: a pod stopped twice": stop_is_repeated,
         "CRI: a pod without its link": link_is_lost,
         "CRI: a host port": host_port,
         "CRI: ten pods at once": many_pods_at_once}
