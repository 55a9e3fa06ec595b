#!/usr/bin/env python3
"""Checks the #include lines of the product against the picture of its layers.

  layers_test.py SOURCE_DIRECTORY

Each folder of common/ may include itself and what UNDER says is below it. Plugins and tools may
include all of common/ and their own folder. Headers of libnl, libiptc and the kernel are for .cpp
files only. cni-conformance includes nothing of ours. First the check proves on a made-up tree that
it can fail.

Prints "layers: N passed, N failed, 0 skipped", one count per rule and self-test.
"""

import pathlib
import re
import sys
import tempfile

# Direct arrows; what lies below that follows.
ARROWS = {
    "base": [],
    "inet": ["base"],
    "json": ["inet"],
    "netns": ["base"],
    "netlink": ["netns", "inet"],
    "exec": ["base"],
    "state": ["base"],
    "protocol": ["json", "netns"],
    "delegation": ["protocol", "exec"],
    "attachment": ["delegation", "netlink", "state"],
    "nftables": ["netlink"],
    "xtables": ["nftables", "state"],
    "netfilter": ["xtables", "json"],
    "masquerade": ["attachment", "netfilter"],
    "forward_accept": ["attachment", "netfilter"],
}

PROGRAM_ROOTS = ["plugins", "ipam", "tools"]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
KERNEL = re.compile(r"^(netlink|libiptc|libipq|libnetfilter\w*|linux|asm|asm-generic)/|^xtables\.h$")


def below(layer):
    """The layer itself and all that it may include."""
    reached = {layer}
    for lower in ARROWS[layer]:
        reached |= below(lower)
    return reached


def includes(path):
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if match := INCLUDE.match(line):
            yield number, match[1] == '"', match[2]


def sources(directory):
    return sorted(p for p in directory.rglob("*") if p.suffix in {".h", ".cpp"})


def common_findings(root):
    """Arrows that point up or sideways, and folders that the picture does not have."""
    common = root / "common"
    for path in sources(common):
        layer = path.relative_to(common).parts[0]
        if layer not in ARROWS:
            yield f"{path.relative_to(root)}: common/{layer} is not in the picture of the layers"
            continue
        for number, own, name in includes(path):
            where = f"{path.relative_to(root)}:{number}"
            if not own:
                if (common / name).exists():
                    yield f"{where}: <{name}> is ours and wants quotes"
                continue
            if not (common / name).exists():
                yield f'{where}: "{name}" is not a path below common/'
            elif name.split("/")[0] not in below(layer):
                yield f"{where}: {layer} lies below {name}"


def program_findings(root):
    """Plugins and tools that include each other."""
    for top in PROGRAM_ROOTS:
        for path in sources(root / top):
            # The folder of the program: <top>/[main|meta/]<name>.
            folder = path.parent
            for number, own, name in includes(path):
                if not own or (root / "common" / name).exists():
                    continue
                if ".." not in name and (folder / name).exists():
                    continue
                yield (f'{path.relative_to(root)}:{number}: "{name}" is neither below common/ '
                       "nor in the same folder")


def black_box_findings(root):
    """Code of ours in cni-conformance, which judges it."""
    folder = root / "test" / "conformance"
    for path in sources(folder):
        for number, own, name in includes(path):
            if own and not (folder / name).exists():
                yield f'{path.relative_to(root)}:{number}: "{name}" is not of cni-conformance'


def header_findings(root):
    """Kernel headers that our own headers pass on."""
    for top in ["common", *PROGRAM_ROOTS]:
        for path in sources(root / top):
            if path.suffix != ".h":
                continue
            for number, own, name in includes(path):
                if not own and KERNEL.match(name):
                    yield f"{path.relative_to(root)}:{number}: <{name}> belongs into a .cpp file"


def name_findings(root):
    """Folders and files whose names say nothing."""
    for top in ["common", *PROGRAM_ROOTS]:
        for path in (root / top).rglob("*"):
            if re.search(r"(^|_)(util|utils|misc|core)(_|$)", path.stem):
                yield f"{path.relative_to(root)}: what is in it? The name does not say"


RULES = [common_findings, program_findings, black_box_findings, header_findings,
         name_findings]

# A line that one rule has to find, and where. None: it is fine.
SELF_TESTS = [
    ("common/base/file.h", '#include "inet/address.h"', common_findings),
    ("common/netns/netns.cpp", '#include "inet/address.h"', common_findings),
    ("common/netlink/link.cpp", '#include "protocol/result.h"', common_findings),
    ("common/exec/child.cpp", '#  include "netns/netns.h"', common_findings),
    ("common/state/file_lock.h", '#include "exec/child.h"', common_findings),
    ("common/delegation/ipam.cpp", '#include "state/file_lock.h"', common_findings),
    ("common/base/log.cpp", '#include "file.h"', common_findings),
    ("common/base/log.cpp", "#include <base/file.h>", common_findings),
    ("common/inet/mac.cpp", '#include "bridge/config.h"', common_findings),
    ("common/extra/new.cpp", "#include <string>", common_findings),
    ("plugins/main/bridge/bridge.cpp", '#include "host-local-ipam/range.h"', program_findings),
    ("tools/cnictl/cnictl.cpp", '#include "../../plugins/main/bridge/config.h"', program_findings),
    ("ipam/static/static.cpp", '#include "config.h"', program_findings),
    ("test/conformance/bench.cpp", '#include "json/reader.h"', black_box_findings),
    ("common/netlink/link.h", "#include <netlink/netlink.h>", header_findings),
    ("common/netlink/link.h", "#include <linux/if_link.h>", header_findings),
    ("plugins/main/bridge/config.h", "#include <libiptc/libiptc.h>", header_findings),
    ("common/base/string_util.h", "", name_findings),
    ("common/base/file.cpp", '#include "base/file.h"\n#include <linux/close_range.h>', None),
    ("common/attachment/owner.cpp", '#include "state/file_lock.h"\n#include "json/reader.h"', None),
    ("plugins/main/bridge/bridge.cpp", '#include "config.h"\n#include "attachment/owner.h"', None),
]

FIXTURE = ["common/base/file.h", "common/inet/address.h", "common/netns/netns.h",
           "common/protocol/result.h", "common/exec/child.h", "common/state/file_lock.h",
           "common/json/reader.h", "common/attachment/owner.h", "plugins/main/bridge/config.h",
           "ipam/host-local-ipam/range.h"]


def self_test_failures():
    for path, text, expected in SELF_TESTS:
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            for name in FIXTURE:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).touch()
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text + "\n")
            found = [rule for rule in RULES if list(rule(root))]
            if found != ([expected] if expected else []):
                names = [rule.__name__ for rule in found]
                yield f"self-test: {path} with {text!r}: found by {names}"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    passed = failed = 0
    failures = list(self_test_failures())
    passed += len(SELF_TESTS) - len(failures)
    failed += len(failures)
    if not sources(root / "common"):
        failures.append(f"{root}/common: no sources there")
        failed += 1
    for rule in RULES:
        findings = list(rule(root))
        failures += findings
        passed += not findings
        failed += bool(findings)
    for failure in failures:
        print(failure)
    print(f"layers: {passed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
