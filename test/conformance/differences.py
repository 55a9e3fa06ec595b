"""Which differences between ours and the reference suite are known: those of
cni-spec/differences.md, by the ids they have there."""

import dataclasses
import pathlib
import re

import twins


@dataclasses.dataclass
class Found:
    """What two suites differ in: lines that only one side has, in a `part` of what was seen after a
    `step`. Of the answers: part `code`, one line each."""
    case: object
    step: str
    part: str
    ours: list
    theirs: list
    outcomes: list
    # Both sides tried an ADD before, and it failed.
    after_failure: bool = False

    @property
    def verb(self):
        return self.step.split()[0]


RULES = {}


def rule(name):
    def register(function):
        RULES[name] = function
        return function
    return register


@rule("own-state")
def _(found, side, line):
    return found.part == "files" and side == "ours" and line.startswith(".plumb/")


@rule("alias")
def _(found, side, line):
    return found.part == "host links" and side == "ours" and " alias=" in line


@rule("queue-length")
def _(found, side, line):
    return found.part.endswith(" links") and side == "ours" and line.endswith(" txqlen=1000")


@rule("neighbour-announcement")
def _(found, side, line):
    return side == "ours" and line == "ipv6/conf/eth0/ndisc_notify=1"


@rule("keep-addresses")
def _(found, side, line):
    return side == "ours" and line == "ipv6/conf/eth0/keep_addr_on_down=1"


@rule("codes")
def _(found, side, line):
    return found.part == "code" and found.theirs == ["999"] and found.ours != ["None"]


@rule("dns-empty")
def _(found, side, line):
    return found.part == "result" and side == "theirs" and line == ".dns={}" \
        and found.case.version == "1.0.0"


def codes(found, ours, theirs):
    """Whether ours answered one of these codes and theirs one of those."""
    return found.part == "code" and found.ours[0] in ours and found.theirs[0] in theirs


@rule("del-succeeds")
def _(found, side, line):
    return found.verb == "DEL" and found.part == "code" and found.ours == ["None"]


@rule("loopback-shape")
def _(found, side, line):
    return found.case.plugin == "loopback" and found.part == "result" \
        and found.case.version < "1.0.0" and found.case.previous is None


@rule("host-ip-family")
def _(found, side, line):
    return codes(found, ["7"], ["None"]) and "cannot be mapped" in found.outcomes[0]


@rule("bridge-mac")
def _(found, side, line):
    if found.part == "host links":
        return line.endswith((" mac=random", " mac=00:00:00:00:00:00")) and "HOSTEND" not in line
    return codes(found, ["None"], ["999"]) and " Mac doesn't match" in found.outcomes[1]


@rule("route-localnet")
def _(found, side, line):
    return side == "theirs" and line.endswith("/route_localnet=1")


@rule("route-destination")
def _(found, side, line):
    return codes(found, ["7"], ["None"]) and "a route needs a destination" in found.outcomes[0]


@rule("check-dual-stack")
def _(found, side, line):
    return found.verb == "CHECK" and codes(found, ["None"], ["999"]) \
        and re.search("could not check ipv[46] dnat: ", found.outcomes[1]) is not None


@rule("check-layer-2")
def _(found, side, line):
    return found.verb == "CHECK" and codes(found, ["None"], ["999"]) \
        and "no plugin name provided" in found.outcomes[1]


@rule("check-routes")
def _(found, side, line):
    return found.verb == "CHECK" and codes(found, ["None"], ["999"]) \
        and "Expected Route " in found.outcomes[1]


@rule("default-route-twice")
def _(found, side, line):
    return codes(found, ["None"], ["999"]) and found.case.key("isDefaultGateway") is True \
        and "failed to add route" in found.outcomes[1] and "file exists" in found.outcomes[1]


@rule("negative-mtu")
def _(found, side, line):
    return codes(found, ["7"], ["None"]) and found.case.key("mtu") == -1


@rule("unused-keys")
def _(found, side, line):
    return codes(found, ["None"], ["999"]) and "struct field DNS.dns" in found.outcomes[1]


@rule("version-1.1.0")
def _(found, side, line):
    return codes(found, ["None", "7", "999"], ["1"]) and found.case.version == "1.1.0"


NEWER_KEYS = "masqAll|portIsolation|disableContainerInterface|DisableContainerInterface|vlanTrunk" \
             "|preserveDefaultVlan|ipMasqBackend|ipmasq backend"


@rule("newer-keys")
def _(found, side, line):
    if found.part == "code":
        return found.theirs == ["None"] and re.search(NEWER_KEYS, found.outcomes[0]) is not None
    newer = {key for key in found.case.config if re.fullmatch(NEWER_KEYS, key)}
    return "portIsolation" in newer and " isolated=" in line \
        or "disableContainerInterface" in newer and "eth0 " in line


@rule("pointer-of-failed-add")
def _(found, side, line):
    return found.part == "files" and "/last_reserved_ip." in line \
        and found.after_failure


@rule("route-host-bits")
def _(found, side, line):
    return codes(found, ["None"], ["999"]) and "10.200.0.1" in found.outcomes[1]


def listed():
    """The ids of the rows in cni-spec/differences.md that name this test."""
    table = pathlib.Path(__file__).parents[2] / "cni-spec" / "differences.md"
    rows = [line.strip("| ").split("|") for line in table.read_text(encoding="utf-8").splitlines()
            if line.startswith("| `")]
    return {row[0].strip("` ") for row in rows if "differential" in row[-1]}


def known(found):
    """The ids that explain a difference, and the lines that nothing explains."""
    names, unknown = set(), []
    for side, lines in (("ours", found.ours), ("theirs", found.theirs)):
        for line in lines:
            name = next((name for name, explains in RULES.items() if explains(found, side, line)),
                        None)
            names.add(name)
            if name is None:
                unknown.append(f"{side}: {line}")
    return names - {None}, unknown
