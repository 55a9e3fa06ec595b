"""What the benchmarks are to show, as ratios within one run."""

# {chain: {verb: times faster than the reference}}
FASTER = {"bridge": {"ADD": 6, "DEL": 10},
          "bridge + portmap": {"ADD": 25, "DEL": 40},
          "veth dual-stack": {"ADD": 300}}
TIMES_THE_FLOOR = 3
LESS_PROCESSOR = 25
MEMORY_MIB = 4
INSTALLED_MIB = 10
FLAT = 1.3
PARALLEL_ADDS = 20
P99_OF_SERIAL = 20
THROUGH_MANY_PORTS = 0.95


def targets(found):
    """[(what, wanted, measured, "met" or "not met")]."""
    rows = []

    def at_least(what, wanted, measured):
        rows.append((what, f">= {wanted}", f"{measured:.2f}",
                     "met" if measured >= wanted else "not met"))

    def at_most(what, wanted, measured):
        rows.append((what, f"<= {wanted}", f"{measured:.2f}",
                     "met" if measured <= wanted else "not met"))

    for title, verbs in found.get("verbs", {}).items():
        for verb, wanted in FASTER[title.split(",")[0]].items():
            ours, theirs = verbs[verb]["ours"], verbs[verb]["reference"]
            at_least(f"{title}, {verb}: times faster", wanted, theirs["wall"] / ours["wall"])
        for verb in ("ADD", "DEL"):
            ours, theirs = verbs[verb]["ours"], verbs[verb]["reference"]
            at_least(f"{title}, {verb}: times less CPU", LESS_PROCESSOR,
                     theirs["processor"] / ours["processor"])
        floor = verbs["ADD"]["floor"]["wall"] + verbs["ADD"]["start"]["wall"]
        at_most(f"{title}, ADD: times floor and start", TIMES_THE_FLOOR,
                verbs["ADD"]["ours"]["wall"] / floor)
    if "verbs" in found:
        at_most("memory of a process, MiB", MEMORY_MIB,
                max(verbs[verb]["ours"]["memory"] for verbs in found["verbs"].values()
                    for verb in verbs) / 1024)
    for store, by_kind in found.get("scale", {}).items():
        sizes = sorted(by_kind["attachments"], key=int)
        for verb in ("ADD", "DEL"):
            first, last = (by_kind["attachments"][size]["ours"][verb]["wall"]
                           for size in (sizes[0], sizes[-1]))
            if store != "iptables-legacy":  # its kernel interface is linear
                at_most(f"{store}, {verb} at {int(sizes[-1]):,} attachments: times that at 1", FLAT,
                        last / first)
    if "parallel" in found:
        ours, theirs = found["parallel"]["ours"]["ADD"], found["parallel"]["reference"]["ADD"]
        at_least("parallel ADDs: times the throughput", PARALLEL_ADDS,
                 ours["per_second"] / theirs["per_second"])
        at_most("parallel ADDs: p99 in serial ADDs", P99_OF_SERIAL, ours["p99"] / ours["serial"])
    for kind, by_ports in found.get("datapath", {}).get("nftables", {}).items():
        first, last = by_ports[min(by_ports, key=int)], by_ports[max(by_ports, key=int)]
        at_least(f"nftables, {kind} through {int(max(by_ports, key=int)):,} host ports: of that "
                 "through 1", THROUGH_MANY_PORTS, last / first)
    if "footprint" in found:
        at_most("installed programs, MiB", INSTALLED_MIB,
                sum(found["footprint"].values()) / 2**20)
    return rows
