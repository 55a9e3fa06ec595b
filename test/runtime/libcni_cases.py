"""Every list of conf-examples under libcni, and beside cnictl."""

import ipaddress
import json
import pathlib

from host import (CommandFailed, Namespace, cached_results, clear_state, expect_same, ip_json,
                  leases, links, ping, run_in, snapshot)
from libcni import Attachment, Cnictl, Libcni
from report import Failed, Skipped, expect
from traffic import ask, server


class Example:
    """One list, and what follows from its text."""

    def __init__(self, path):
        self.path = path
        self.list = json.loads(path.read_text())
        self.plugins = self.list["plugins"]

    def needs_vlan(self):
        return any(key.startswith("vlan") for plugin in self.plugins for key in plugin)

    def only_loopback(self):
        return all(plugin["type"] == "loopback" for plugin in self.plugins)

    def has_gateway(self):
        return any(plugin.get("isGateway") or plugin.get("isDefaultGateway")
                   for plugin in self.plugins)

    def bridges(self):
        return {plugin["bridge"] for plugin in self.plugins if "bridge" in plugin}

    def _first_subnet(self):
        for plugin in self.plugins:
            ipam = plugin.get("ipam", {})
            for ranges in ipam.get("ranges", [[ipam]] if "subnet" in ipam else []):
                return ipaddress.ip_network(ranges[0]["subnet"])
        return None

    def capabilities(self, number):
        """Arguments for the container of that number, of the capabilities that the list has."""
        has = {name for plugin in self.plugins
               for name, on in plugin.get("capabilities", {}).items() if on}
        arguments = {}
        if "ips" in has:
            subnet = self._first_subnet()
            arguments["ips"] = [f"{subnet[100 + number]}/{subnet.prefixlen}"]
        if "mac" in has:
            arguments["mac"] = f"02:00:00:00:00:{number:02x}"
        if "portMappings" in has:
            arguments["portMappings"] = [{"hostPort": 8080 + number, "containerPort": 80,
                                          "protocol": "tcp"}]
        return arguments


class Bench:
    """A host, the world outside, two containers, and everything DEL must bring back."""

    def __init__(self, example):
        self.example = example
        self.host = Namespace("host", loopback_up=True)
        self.world = Namespace("world")
        self.containers = [Namespace("one"), Namespace("two")]
        self.attachments = []
        ifname = "lo" if example.only_loopback() else "eth0"
        for number, container in enumerate(self.containers, 1):
            self.attachments.append(Attachment(container.path, f"container-{number}", ifname,
                                               example.capabilities(number)))

    def __enter__(self):
        clear_state()
        self.host.__enter__()
        self.world.__enter__()
        self._add_uplink()
        for container in self.containers:
            container.__enter__()
        return self

    def __exit__(self, *_):
        for namespace in (*self.containers, self.world, self.host):
            namespace.delete_if_exists()

    def _add_uplink(self):
        """A way to the world, whose MTU lists can ask for."""
        for words in ("link add uplink mtu 1400 type veth peer name eth0 mtu 1400 netns world",
                      "address add 198.51.100.2/24 dev uplink", "link set uplink up",
                      "route add default via 198.51.100.1"):
            run_in(self.host.path, ["ip", *words.split()])
        for words in ("address add 198.51.100.1/24 dev eth0", "link set eth0 up"):
            run_in(self.world.path, ["ip", *words.split()])

    def look(self):
        """All that an attachment may change, but what is in files."""
        lines = []
        for namespace in (self.host, *self.containers):
            if namespace.path.exists():
                lines += [f"{namespace.path.name}: {line}" for line in snapshot(namespace.path)]
        return lines

    def prime(self, runtime):
        """Attaches once and detaches: the bridge stays, that is meant. Returns the look then."""
        before = [snapshot(container.path) for container in self.containers]
        runtime.add(self.attachments[0])
        runtime.delete(self.attachments[0])
        left = set(links(self.host.path)) - {"lo", "uplink"}
        expect(left <= self.example.bridges(), f"left on the host: {left}")
        expect_same(before, lambda: [snapshot(container.path) for container in self.containers],
                    "the containers' namespaces are not as they were")
        return self.look()

    def expect_nothing_left(self, before):
        expect_same(before, self.look, "left after DEL")
        expect(not leases(), f"leases left: {leases()}")
        expect(not cached_results(), f"cached results left: {cached_results()}")


def skip_without_kernel_support(example):
    if example.needs_vlan():
        with Namespace("probe") as probe:
            try:
                run_in(probe.path, ["ip", "link", "add", "b0", "type", "bridge",
                                    "vlan_filtering", "1"])
            except CommandFailed:
                raise Skipped("this kernel has no VLAN filtering of bridges") from None


def expect_result_is_true(attachment, result):
    """The container has the interface, addresses and routes that the result tells of."""
    addresses = {f"{each['local']}/{each['prefixlen']}"
                 for link in ip_json(attachment.netns, "address", "show", attachment.ifname)
                 for each in link["addr_info"]}
    told = {each["address"] for each in result.get("ips", [])}
    expect(told <= addresses, f"the result has {told}, {attachment.ifname} has {addresses}")
    for wanted in attachment.capabilities.get("ips", []):
        expect(wanted in told, f"{wanted} was asked for, the result has {told}")
    wanted = attachment.capabilities.get("mac")
    mac = links(attachment.netns)[attachment.ifname]["address"]
    expect(wanted in (None, mac), f"{wanted} was asked for, {attachment.ifname} has {mac}")
    destinations = {route["dst"] for family in ("-4", "-6")
                    for route in ip_json(attachment.netns, family, "route")}
    for route in result.get("routes", []):
        network = ipaddress.ip_network(route["dst"])
        name = "default" if network.prefixlen == 0 else str(network)
        expect(name in destinations, f"no route to {name} in {destinations}")


def expect_reachable(bench, results):
    one, two = bench.attachments
    if bench.example.only_loopback():
        ping(one.netns, "127.0.0.1")
        return
    addresses = [each["address"].split("/")[0] for each in results[1].get("ips", [])]
    if not addresses:
        # A network without addresses carries frames: addresses of our own show it.
        for number, attachment in enumerate((one, two), 1):
            run_in(attachment.netns, ["ip", "address", "add", f"192.0.2.{number}/24",
                                      "dev", attachment.ifname])
        addresses = ["192.0.2.2"]
    for address in addresses:
        ping(one.netns, address)
    if bench.example.has_gateway():
        for each in results[0].get("ips", []):
            ping(one.netns, each["gateway"])
            ping(bench.host.path, each["address"].split("/")[0])


def expect_translated(bench):
    """Host ports lead to their containers, and masquerading hides these from the world."""
    for number, attachment in enumerate(bench.attachments, 1):
        if "portMappings" in attachment.capabilities:
            with server(attachment.netns, f"container-{number}", 80):
                answer = ask(bench.world.path, "198.51.100.2", 8080 + number)
            expect(answer == f"container-{number} saw 198.51.100.1",
                   f"host port {8080 + number}: {answer}")
    if any(plugin.get("ipMasq") for plugin in bench.example.plugins):
        with server(bench.world.path, "world", 80):
            answer = ask(bench.attachments[0].netns, "198.51.100.1", 80)
        expect(answer == "world saw 198.51.100.2", f"masquerading: {answer}")


def expect_check_fails(runtime, attachment):
    try:
        runtime.check(attachment)
    except CommandFailed:
        return
    raise Failed("CHECK does not see that the interface is down")


def attach_ping_detach(driver, example):
    skip_without_kernel_support(example)
    with Bench(example) as bench:
        libcni = Libcni(driver, example.path, bench.host.path)
        libcni.validate()
        before = bench.prime(libcni)
        results = [libcni.add(attachment) for attachment in bench.attachments]
        for attachment, result in zip(bench.attachments, results):
            expect_result_is_true(attachment, result)
        expect_reachable(bench, results)
        expect_translated(bench)
        for attachment in bench.attachments:
            libcni.check(attachment)
        one = bench.attachments[0]
        run_in(one.netns, ["ip", "link", "set", one.ifname, "down"])
        expect_check_fails(libcni, one)
        for attachment in bench.attachments:
            libcni.delete(attachment)
        bench.expect_nothing_left(before)
        # A runtime that lost the answer asks again, and has no cached result then.
        libcni.delete(one)
        bench.expect_nothing_left(before)


def detach_without_namespace(driver, example):
    skip_without_kernel_support(example)
    with Bench(example) as bench:
        libcni = Libcni(driver, example.path, bench.host.path)
        bench.prime(libcni)
        one = bench.attachments[0]
        bench.containers[1].delete_if_exists()
        before = [line for line in bench.look() if not line.startswith("one: ")]
        libcni.add(one)
        bench.containers[0].delete_if_exists()
        libcni.delete(one)
        bench.expect_nothing_left(before)
        libcni.delete(one)
        bench.expect_nothing_left(before)


def share_the_cache(driver, cnictl_program, example):
    skip_without_kernel_support(example)
    with Bench(example) as bench:
        # libcni 1.1.2 cannot read results of a version above 1.0.0, which cnictl would choose.
        directory = pathlib.Path("/etc/cni/net.d")
        plain = directory / "shared.conflist"
        plain.write_text(json.dumps({key: value for key, value in example.list.items()
                                     if key != "cniVersions"}))
        libcni = Libcni(driver, plain, bench.host.path)
        before = bench.prime(libcni)
        cnictl = Cnictl(cnictl_program, plain, bench.host.path)
        newer_cnictl = Cnictl(cnictl_program, example.path, bench.host.path)
        one = bench.attachments[0]
        for adder, other in ((libcni, cnictl), (cnictl, libcni), (libcni, newer_cnictl)):
            adder.add(one)
            expect(len(cached_results()) == 1, f"cached: {cached_results()}")
            other.check(one)
            run_in(one.netns, ["ip", "link", "set", one.ifname, "down"])
            expect_check_fails(other, one)
            other.delete(one)
            bench.expect_nothing_left(before)


def run_cases(report, driver, cnictl_program, examples):
    paths = sorted(examples.glob("*.conflist"))
    report.case("libcni: there are examples", expect, paths, f"no *.conflist in {examples}")
    for path in paths:
        example = Example(path)
        report.case(f"libcni: {path.stem}: attach, ping, check, detach", attach_ping_detach,
                    driver, example)
        report.case(f"libcni: {path.stem}: detach without a namespace", detach_without_namespace,
                    driver, example)
        report.case(f"libcni: {path.stem}: one cache with cnictl", share_the_cache, driver,
                    cnictl_program, example)
