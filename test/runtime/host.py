"""Network namespaces as hosts and containers, and what is in them."""

import ipaddress
import json
import os
import pathlib
import shutil
import subprocess
import time

from report import Failed

_NETNS = pathlib.Path("/run/netns")


class CommandFailed(Failed):
    pass


def run(words, timeout=60, **options):
    """Runs a command. Returns what it prints. Throws CommandFailed with stdout and stderr."""
    words = [str(word) for word in words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, **options)
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(words)}: exit status {done.returncode}\n"
                            f"{done.stdout}{done.stderr}")
    return done.stdout


def run_in(netns, words, **options):
    """The same in a network namespace. Unlike `ip netns exec`, the mounts stay as they are."""
    return run(["nsenter", f"--net={netns}", "--", *words], **options)


class Namespace:
    """A network namespace with a name, for the length of a with statement."""

    def __init__(self, name, loopback_up=False):
        self.path = _NETNS / name
        self._name = name
        self._loopback_up = loopback_up

    def __enter__(self):
        run(["ip", "netns", "add", self._name])
        if self._loopback_up:
            run_in(self.path, ["ip", "link", "set", "lo", "up"])
        return self

    def __exit__(self, *_):
        self.delete_if_exists()

    def delete_if_exists(self):
        if self.path.exists():
            run(["ip", "netns", "del", self._name])


def ip_json(netns, *words):
    return json.loads(run_in(netns, ["ip", "-json", *words]) or "[]")


def links(netns):
    """The links by name; each as `ip -details -json link` tells it."""
    return {link["ifname"]: link for link in ip_json(netns, "-details", "link")}


def _made_by_kernel(text):
    """Whether the kernel adds that by itself: as a bridge gains carrier, or as lo goes up."""
    if text in ("default", "all"):
        return False
    network = ipaddress.ip_network(text, strict=False)
    return network.is_loopback or (network.version == 6 and
                                   (network.is_link_local or network.is_multicast))


def _describe_link(link):
    kind = link.get("linkinfo", {}).get("info_kind", "-")
    # The MTU of a bridge follows that of its ports.
    mtu = "-" if kind == "bridge" else link["mtu"]
    return (f"link {link['ifname']} {kind} {link.get('address')} mtu {mtu} "
            f"master {link.get('master', '-')} alias {link.get('ifalias', '-')} "
            f"{'UP' if 'UP' in link['flags'] else 'DOWN'}")


def _filter_rules(netns):
    """The rule sets of nf_tables and of legacy iptables, which is asked only if it is in use."""
    lines = run_in(netns, ["nft", "--stateless", "list", "ruleset"]).splitlines()
    for family in ("ip", "ip6"):
        names = run_in(netns, ["cat", f"/proc/net/{family}_tables_names"]) \
            if pathlib.Path(f"/proc/net/{family}_tables_names").exists() else ""
        for table in names.split():
            lines += run_in(netns, [f"{family}tables-legacy", "-t", table, "-S"]).splitlines()
    return [f"filter {line.strip()}" for line in lines if line.strip(" \t{}")]


def snapshot(netns):
    """Links, addresses, routes and rules as sorted lines, without what changes by itself."""
    lines = []
    for link in ip_json(netns, "-details", "address"):
        lines.append(_describe_link(link))
        for address in link["addr_info"]:
            text = f"{address['local']}/{address['prefixlen']}"
            if not _made_by_kernel(text):
                lines.append(f"address {link['ifname']} {text}")
    for family in ("-4", "-6"):
        for route in ip_json(netns, family, "route", "show", "table", "all"):
            if not _made_by_kernel(route["dst"]):
                lines.append(f"route {family} {route.get('table', 'main')} {route['dst']} "
                             f"via {route.get('gateway', '-')} dev {route.get('dev', '-')}")
        for rule in ip_json(netns, family, "rule"):
            # The kernel's own three; it makes those of IPv6 only with the first address.
            if rule["priority"] not in (0, 32766, 32767):
                lines.append(f"rule {family} {json.dumps(rule, sort_keys=True)}")
    return sorted(lines + _filter_rules(netns))


def differences(before, after):
    lines = [f"- {line}" for line in before if line not in after]
    return "\n".join(lines + [f"+ {line}" for line in after if line not in before])


def expect_same(before, look, what, patience=5):
    """Waits until look() returns before: the kernel dismantles namespaces in the background."""
    end = time.monotonic() + patience
    while True:
        after = look()
        if after == before:
            return
        if time.monotonic() > end:
            raise Failed(f"{what}:\n{differences(before, after)}")
        time.sleep(0.05)


def files_below(directory):
    """Paths of all files below it, relative and sorted."""
    found = []
    for parent, _, names in os.walk(directory):
        found += [os.path.relpath(os.path.join(parent, name), directory) for name in names]
    return sorted(found)


def leases(directory="/var/lib/cni/networks"):
    """The reservations of host-local: its files that are named like an address."""
    def is_address(name):
        try:
            ipaddress.ip_address(name)
            return True
        except ValueError:
            return False
    return [path for path in files_below(directory) if is_address(os.path.basename(path))]


def cached_results(directory="/var/lib/cni/results"):
    return files_below(directory)


def clear_state():
    """Nothing of an earlier case, failed or not, is known to the next one."""
    for entry in pathlib.Path("/var/lib/cni").iterdir():
        shutil.rmtree(entry)


def ping(netns, address):
    """Throws unless one of a few requests is answered."""
    for attempt in range(3):
        try:
            run_in(netns, ["ping", "-n", "-q", "-c", "1", "-W", "1", address])
            return
        except CommandFailed:
            if attempt == 2:
                raise
