#!/usr/bin/env python3
"""Measures what attachments cost, beside the reference suite and beside the kernel's own floor.

  bench.py BIN TEST [PART...] [--json] [--quick] [--markdown] [--chart FILE] [--reference DIRECTORY]

BIN has our plugins, TEST the programs bench_floor, bench_empty, bench_launch and bench_traffic.
Parts: verbs, scale, leases, ports, parallel, datapath, footprint; all of them if none is given.
--quick takes few samples and small sizes, and is good for trying it out. Prints tables, and whether
each target is met; exits with 0 in any case that could be measured.
"""

import argparse
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import twins  # noqa: E402
import chart  # noqa: E402
import datapath  # noqa: E402
import footprint  # noqa: E402
from lab import Lab  # noqa: E402
import leases  # noqa: E402
import parallel  # noqa: E402
import ports  # noqa: E402
import report  # noqa: E402
import scale  # noqa: E402
import verbs  # noqa: E402

PARTS = ("verbs", "scale", "leases", "ports", "parallel", "datapath", "footprint")


def parse_arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("bin")
    parser.add_argument("test")
    parser.add_argument("--reference", default="/usr/lib/cni")
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--chart")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return arguments


def main():
    arguments = parse_arguments()
    chart_file = arguments.chart and os.path.abspath(arguments.chart)
    twins.isolate()
    lab = Lab()
    folders = {"ours": os.path.abspath(arguments.bin),
               "reference": os.path.abspath(arguments.reference)}
    programs = {name: os.path.abspath(f"{arguments.test}/bench_{name}")
                for name in ("floor", "empty", "launch", "traffic")}
    parts = arguments.parts or PARTS
    quick = arguments.quick
    found = {}
    if "verbs" in parts:
        found["verbs"] = verbs.measure(lab, folders, programs, 10 if quick else 60)
    if "scale" in parts:
        found["scale"] = scale.measure(lab, folders["ours"], programs["floor"], quick)
    if "leases" in parts:
        found["leases"] = leases.measure(lab, folders, quick)
    if "ports" in parts:
        found["ports"] = ports.measure(lab, folders["ours"], quick)
    if "parallel" in parts:
        found["parallel"] = parallel.measure(lab, folders, 20 if quick else 100)
    if "datapath" in parts:
        found["datapath"] = datapath.measure(lab, folders["ours"], programs["traffic"], quick)
    if "footprint" in parts:
        found["footprint"] = footprint.measure(folders["ours"])
    if chart_file and "scale" in found:
        pathlib.Path(chart_file).write_text(chart.draw(found["scale"]), encoding="utf-8")
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        report.show(found, arguments.markdown)


if __name__ == "__main__":
    main()
