"""Prints what was measured, and which targets are met."""

from footprint import TOOLS
from targets import targets

# Subjects in the table of verbs.
REFERENCE = "reference"


def show(found, markdown):
    for part, print_part in (("verbs", show_verbs), ("scale", show_scale),
                             ("leases", show_leases), ("ports", show_ports),
                             ("parallel", show_parallel), ("datapath", show_datapath),
                             ("footprint", show_footprint)):
        if part in found:
            print_part(found[part], markdown)
    judged = targets(found)
    if judged:
        table(("target", "wanted", "measured", ""), judged, markdown)


def table(head, rows, markdown):
    rows = [[str(cell) for cell in row] for row in rows]
    if markdown:
        print("| " + " | ".join(head) + " |")
        print("|" + "---|" * len(head))
        for row in rows:
            print("| " + " | ".join(row) + " |")
    else:
        widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
        for row in [head, *rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print()


def show_verbs(found, markdown):
    """Medians of a whole chain. "At most" is how many times faster it would be if it took no longer
    than floor and start."""
    rows = []
    for chain, verbs in found.items():
        for verb, by_subject in verbs.items():
            ours, theirs = by_subject["ours"], by_subject.get(REFERENCE)
            floor, start = by_subject.get("floor"), by_subject.get("start")
            gone = by_subject.get("floor until gone") if verb == "DEL" else None
            lowest = (gone or floor)["wall"] + start["wall"] if floor else None
            rows.append((
                chain, verb, f"{ours['wall']:.2f}", f"{ours['p95']:.2f}",
                f"{theirs['wall']:.2f}" if theirs else "-",
                f"{theirs['wall'] / ours['wall']:.1f}" if theirs else "-",
                f"{theirs['wall'] / lowest:.1f}" if theirs else "-",
                f"{ours['processor']:.2f}",
                f"{theirs['processor'] / ours['processor']:.1f}" if theirs else "-",
                f"{floor['wall']:.2f} + {start['wall']:.2f}" if floor else "-",
                f"{gone['wall']:.2f} + {start['wall']:.2f}" if gone else "-",
                f"{ours['memory'] / 1024:.1f}", both(ours, theirs, "calls"),
                both(ours, theirs, "programs")))
    table(("chain", "verb", "ours ms", "p95", "reference ms", "times faster", "at most", "CPU ms",
           "times less CPU", "floor + start ms", "until gone ms", "MiB", "system calls",
           "programs"), rows, markdown)


def both(ours, theirs, key):
    return f"{ours[key]} / {theirs[key]}" if theirs else str(ours[key])


def show_scale(found, markdown):
    for kind, what in (("attachments", "in place"), ("foreign rules", "rules of others in nat")):
        rows = [(store, f"{int(size):,}",
                 *(f"{costs[subject][verb][key]:.2f}" for verb in ("ADD", "DEL")
                   for subject, key in (("ours", "wall"), ("ours", "processor"),
                                        ("floor", "wall"))))
                for store, by_kind in found.items() for size, costs in by_kind[kind].items()]
        table(("store", what, "ADD ms", "CPU ms", "floor ms", "DEL ms", "CPU ms", "floor ms"), rows,
              markdown)


def show_leases(found, markdown):
    """Of host-local, called alone."""
    rows = []
    for size, ours in found["ours"].items():
        theirs = found[REFERENCE][size]
        rows.append((f"{int(size):,}",
                     *(cell for verb in ("ADD", "DEL")
                       for cell in (f"{ours[verb]:.2f}", f"{theirs[verb]:.2f}",
                                    f"{theirs[verb] / ours[verb]:.1f}"))))
    table(("leases in place", "ADD ms", "reference ms", "times faster", "DEL ms", "reference ms",
           "times faster"), rows, markdown)


def show_ports(found, markdown):
    """Of portmap, called alone."""
    columns = ("ADD alone", "ADD beside", "DEL alone", "DEL beside", "ADD of all", "DEL of all")
    table(("store", "host ports", *(f"{column} ms" for column in columns)),
          [(store, f"{taken['ports']:,}", *(f"{taken[column]:.2f}" for column in columns))
           for store, taken in found.items()], markdown)


def show_datapath(found, markdown):
    """A second, and how much that is of what goes through a single host port."""
    rows = []
    for store, kinds in found.items():
        for kind, by_ports in kinds.items():
            first = next(iter(by_ports.values()))
            rows.append((store, kind, *(f"{taken:,.0f} ({taken / first * 100:.0f} %)"
                                        for taken in by_ports.values())))
    sizes = next(iter(next(iter(found.values())).values()))
    table(("store", "a second", *(f"{int(size):,} host ports" for size in sizes)), rows, markdown)


def show_parallel(found, markdown):
    table(("at once", "", "a second", "p99 ms", "one alone ms"),
          [(verb, suite, f"{cost['per_second']:.1f}", f"{cost['p99']:.1f}",
            f"{cost['serial']:.1f}")
           for suite, verbs in found.items() for verb, cost in verbs.items()], markdown)


def show_footprint(found, markdown):
    plugins = sum(size for name, size in found.items() if name not in TOOLS)
    table(("program", "KiB"),
          [*((name, size // 1024) for name, size in found.items()),
           ("plugins together", plugins // 1024), ("all", sum(found.values()) // 1024)], markdown)
