"""Every verb of every chain: ours, the reference suite, the kernel's floor, whose DEL either waits
for the kernel's grace period or only until the link is gone, and empty programs in their place; in
turn, so that what disturbs the machine disturbs all of them."""

import os
import pathlib

from lab import Chain, Cost, Host, median, percentile
import twins

CHAINS = (Chain("bridge"),
          Chain("bridge + portmap", "nftables"), Chain("bridge + portmap", "iptables-nft"),
          Chain("bridge + portmap", "iptables-legacy"),
          Chain("veth dual-stack", "nftables"), Chain("veth dual-stack", "iptables-nft"),
          Chain("veth dual-stack", "iptables-legacy"))
# What comes first is slower: pages of the programs are not in memory yet, tables are made.
WARMING = 2
OUR_VERBS = ("ADD", "CHECK", "DEL")
THEIR_VERBS = ("ADD", "DEL")


def summary(samples):
    """Medians of a list of [Cost of each plugin], in milliseconds."""
    sums = [sum(costs, Cost()) for costs in samples]
    return {"wall": median(one.wall for one in sums) * 1000,
            "p95": percentile([one.wall for one in sums], 0.95) * 1000,
            "processor": median(one.processor for one in sums) * 1000,
            "plugins": [median(costs[at].wall for costs in samples) * 1000
                        for at in range(len(samples[0]))]}


def processes_of(chain):
    """How many programs a call of the chain starts, delegates included."""
    return {"bridge": 2, "bridge + portmap": 3, "veth dual-stack": 2}[chain.name]


def measure_chain(lab, chain, folders, programs, samples):
    """{verb: {subject: summary}} of a chain with one attachment at a time."""
    hosts = {name: Host(lab, name, folder, chain) for name, folder in folders.items()}
    floor = twins.Namespace(f"floor{next(Host.numbers)}")
    prepare_floor(floor, chain)
    found = {verb: {} for verb in OUR_VERBS}
    containers = []

    def container_of_its_own():
        containers.append(twins.Namespace(f"x{next(Host.numbers)}"))
        return containers[-1]

    for turn in range(samples + WARMING):
        for name, host in hosts.items():
            container = container_of_its_own()
            for verb in OUR_VERBS if name == "ours" else THEIR_VERBS:
                costs = host.run(verb, turn, container.path)
                costs[-1].processor += lab.settle()
                if turn >= WARMING:
                    found[verb].setdefault(name, []).append(costs)
        for deletion, subject in (("DEL", "floor"), ("VANISH", "floor until gone")):
            container = container_of_its_own()
            for verb, call in (("ADD", "ADD"), ("DEL", deletion)):
                with floor.entered():
                    _, cost = lab.measure(
                        [programs["floor"], call, chain.name, container.path, str(turn)], "", {})
                    cost.processor += lab.settle()
                    empty = [lab.measure([programs["empty"]], "{}", {})[1]
                             for _ in range(processes_of(chain))]
                if turn >= WARMING:
                    found[verb].setdefault(subject, []).append([cost])
                    found[verb].setdefault("start", []).append(empty)
    # At the end: the kernel needs its lock of interfaces for a while to take namespaces away.
    for container in [*containers, floor]:
        container.remove()
    summaries = {verb: {subject: summary(taken) for subject, taken in found[verb].items()}
                 for verb in OUR_VERBS}
    for name, host in hosts.items():
        for verb, counts in count(host, programs).items():
            summaries[verb][name].update(counts)
        host.remove()
    return summaries


def prepare_floor(host, chain):
    """What is there before the first container comes."""
    host.set_sysctl("net/ipv6/conf/default/accept_dad", 0)
    if chain.name != "veth dual-stack":
        host.batch("link add cni0 type bridge", "address add 10.1.0.1/16 dev cni0",
                   "link set cni0 up")
    prepare_floor_rules(host, chain)


def prepare_floor_rules(host, chain):
    """Rules that look into maps."""
    families = ("ip", "ip6") if chain.name == "veth dual-stack" else ("ip",)
    for family in families if chain.name != "bridge" else ():
        address = "ipv4_addr" if family == "ip" else "ipv6_addr"
        host.run("nft", "-f", "-", input=f"""table {family} floor {{
            map sources {{ type {address} : verdict; }}
            map ports {{ type inet_proto . inet_service : {address} . inet_service; }}
            chain masquerading {{ masquerade; }}
            chain postrouting {{ type nat hook postrouting priority 100;
              {family} saddr vmap @sources; }}
            chain prerouting {{ type nat hook prerouting priority -100;
              dnat {family} to meta l4proto . th dport map @ports; }}
            }}""")


def measure(lab, folders, programs, samples, chains=CHAINS):
    """{chain: {verb: {subject: summary}}}."""
    return {chain.title: measure_chain(lab, chain, folders, programs, samples)
            for chain in chains}


def count(host, programs):
    """{verb: counts} of system calls, programs started and KiB of the largest process, each in a
    run of its own: to count takes time."""
    found = {}
    log = os.path.join(host.directory, "log")
    container = twins.Namespace(f"x{next(Host.numbers)}")
    for verb in OUR_VERBS if host.name == "ours" else THEIR_VERBS:
        host.run(verb, 0, container.path, under=("/usr/bin/strace", "-f", "-qq", "-A", "-o", log))
        with open(log, encoding="utf-8", errors="replace") as file:
            calls = [line for line in file if "(" in line and "resumed>" not in line]
        os.unlink(log)
        found[verb] = {"calls": len(calls), "programs": sum(" execve(" in line for line in calls)}
    for verb in OUR_VERBS if host.name == "ours" else THEIR_VERBS:
        sizes = []
        host.run(verb, 0, container.path, under=(programs["launch"], log),
                 after=lambda: sizes.append(int(pathlib.Path(log).read_text(encoding="ascii"))))
        found[verb]["memory"] = max(sizes)
    container.remove()
    return found
