"""The inputs of hostile_input_test.py: what a plugin is given, and what has to come of it."""

import dataclasses
import json
import os
import pathlib
import socket
import subprocess

MAIN = ("bridge", "ptp")
CHAINED = ("masquerade", "portmap")
ALLOCATING = (*MAIN, "host-local")
ENTERING = (*MAIN, "loopback", *CHAINED)
ALL = (*ENTERING, "host-local")

ACCEPTED = "accepted"
REMOVED = object()
# What stands for the folder of a trial, the container and the host.
DATA, NETNS, HOST = "@DATA@", "@NETNS@", "@HOST@"
# In each configuration, its prevResult and CNI_ARGS: not for logs or errors.
CANARY = "canary-5ec7e7"
MEBIBYTE = 1 << 20

IPAM = {"type": "host-local", "dataDir": f"{DATA}/state", "token": CANARY,
        "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}]}
PREVIOUS = {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": NETNS}],
            "ips": [{"address": "10.1.2.5/24", "interface": 0}], "dns": {"domain": CANARY}}
NEWEST = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
PORT = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
OWN_KEYS = {"bridge": {"bridge": "br0", "isGateway": True, "ipMasq": True, "ipam": IPAM},
            "ptp": {"ipMasq": True, "ipam": IPAM},
            "loopback": {},
            "masquerade": {"prevResult": PREVIOUS},
            "portmap": {"prevResult": PREVIOUS, "runtimeConfig": {"portMappings": [PORT]}},
            "host-local": {"ipam": IPAM}}


@dataclasses.dataclass(frozen=True)
class Row:
    id: str
    plugins: tuple
    expect: object  # a code, ACCEPTED, None for "either"
    change: dict = dataclasses.field(default_factory=dict)  # {"dotted.key": value}
    text: object = None  # makes what is given on stdin of the configuration as text
    env: dict = dataclasses.field(default_factory=dict)
    says: tuple = ()  # what the message or the details have to hold
    verb: str = "ADD"
    added: bool = False  # the attachment is there before
    # Another plugin finds out what is wrong: what containers share has come to be by then.
    late: bool = False
    prepare: object = None  # called with the host
    check: object = None  # called with the host after ADD, for what has to be so
    seconds: float = 1.0
    stdout: str = ""  # "closed", "full" or "gone": where stdout leads
    process: str = ""  # "inheritable", "restricted": how the plugin is started
    group: str = ""


def config(plugin, change):
    """As JSON text; DATA and such are for the host to replace."""
    made = {"cniVersion": "1.0.0", "name": "net", "type": plugin, "token": CANARY,
            **json.loads(json.dumps(OWN_KEYS[plugin]))}
    for path, value in change.items():
        *parents, last = path.split(".")
        place = made
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is REMOVED:
            place.pop(last, None)
        else:
            place[last] = value
    return json.dumps(made)


def member(text):
    """One more member of the configuration, as raw JSON."""
    raw = text if isinstance(text, bytes) else text.encode()
    return lambda config: config[:-1].encode() + b', ' + raw + b'}'


def first_member(text):
    return lambda config: b'{' + text.encode() + b', ' + config[1:].encode()


def instead(raw):
    return lambda config: raw


def repeated(head, unit, times, tail):
    """Chunks of a text too long to hold."""
    def chunks(config):
        yield head.encode()
        together = max(1, min(times, (1 << 20) // len(unit)))
        for _ in range(times // together):
            yield unit * together
        yield tail.encode()
    return chunks


def padded(unit, size, head="", tail=""):
    """The configuration with an unused member `head`, `unit` again and again, `tail`."""
    def chunks(config):
        yield config[:-1].encode() + b', "unused": ' + head.encode()
        yield from repeated("", unit, size // len(unit), "")(config)
        yield tail.encode() + b'}'
    return chunks


def json_rows():
    broken = {
        "empty": instead(b""), "blanks": instead(b" \n\t"), "not JSON": instead(b"hello"),
        "truncated": lambda text: text[:-1].encode(),
        "truncated string": lambda text: text[:-3].encode(),
        "trailing text": lambda text: text.encode() + b" x",
        "trailing brace": lambda text: text.encode() + b"}",
        "two documents": lambda text: (text + text).encode(),
        "byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
        "UTF-16": lambda text: text.encode("utf-16"),
        "control byte in a string": member(b'"unused": "a\x01b"'),
        "newline in a string": member(b'"unused": "a\nb"'),
        "NUL": lambda text: text.encode() + b"\0",
        "NaN": member('"unused": NaN'), "Infinity": member('"unused": -Infinity'),
        "hex": member('"unused": 0x10'), "+1": member('"unused": +1'),
        "leading zero": member('"unused": 01'), "comment": member('/* */ "unused": 1'),
        "trailing comma": lambda text: text[:-1].encode() + b",}",
        "single quotes": member("'unused': 1"),
        "array": instead(b"[]"), "string": instead(b'"net"'), "number": instead(b"1"),
        "true": instead(b"true"),
        "nested deeper than 10 000": member('"unused": ' + "[" * 10001 + "]" * 10001),
        "5 million [": repeated("", b"[", 5_000_000, ""),
        "5 million [ in a member": repeated('{"unused": ', b"[", 5_000_000, ""),
        "5 million {": repeated("", b'{"":', 1_250_000, ""),
        "100 MiB of blanks": repeated("", b" ", 100 * MEBIBYTE, "{}"),
        "100 MiB of NUL": repeated("", b"\0", 100 * MEBIBYTE, ""),
        "100 MiB of [": repeated("", b"[", 100 * MEBIBYTE, ""),
        "100 MiB in a string": padded(b"a", 100 * MEBIBYTE, '"', '"'),
        "100 MiB of numbers": padded(b"1,", 100 * MEBIBYTE, "[", "1]"),
        "100 MiB of members": padded(b'"a":1,', 100 * MEBIBYTE, "{", '"a":1}'),
    }
    for name, text in broken.items():
        yield Row(f"JSON, {name}", ALL, 6, text=text)
    yield Row("JSON, null", ALL, 7, text=instead(b"null"), says=("missing network name",))
    # Within the limit of input, though not of what may be made of it.
    for name, text in {
            "numbers": padded(b"1,", 16_000_000, "[", "1]"),
            "lists": padded(b"[],", 16_000_000, "[", "1]"),
            "empty strings": padded(b'"",', 16_000_000, "[", "1]"),
            "members": padded(b'"a":1,', 16_000_000, "{", '"a":1}'),
            "escapes": padded(b"\\u0041", 16_000_000, '"', '"'),
            "bad UTF-8": padded(b"\xff", 16_000_000, '"', '"'),
            "long strings": padded(b'"' + b"a" * 4_000_000 + b'",', 16_000_000, "[", "1]"),
            "a string": padded(b"a", 16_000_000, '"', '"'),
            "blanks": lambda text: [text.encode(), b" " * 16_000_000]}.items():
        yield Row(f"JSON, 16 MB of {name}", ("loopback", "host-local"), (6, ACCEPTED), text=text)
    accepted = {
        "nesting of 10 000": member('"unused": ' + "[" * 9999 + "]" * 9999),
        "nesting of 10 000 objects": member('"unused": ' + '{"a":' * 9999 + "1" + "}" * 9999),
        "1e400": member('"unused": 1e400'), "10^30": member('"unused": 1' + "0" * 30),
        "-1e-400": member('"unused": -1e-400'),
        "invalid UTF-8": member(b'"unused": "\xff\xc0\xaf\xed\xa0\x80"'),
        "invalid UTF-8 in a key": member(b'"un\xffused": 1'),
        "lone surrogate": member('"unused": "\\ud800 \\udc00 \\ud800\\u0041"'),
        "NUL in an unused string": member('"unused": "a\\u0000b"'),
        "the first of two keys": first_member('"name": "../x"'),
        "the first of two keys, other letters": first_member('"NAME": "../x"'),
        "keys of other letters": lambda text: text.replace('"name"', '"nAmE"').encode(),
    }
    for name, text in accepted.items():
        yield Row(f"JSON, {name}", ALL, ACCEPTED, text=text)
    yield Row("JSON, the last of two keys, other letters", ALL, 7, text=member('"NAME": "../x"'),
              says=("network name", "../x"))


def name_rows():
    yield Row("name missing", ALL, 7, {"name": REMOVED}, says=("missing network name",))
    yield Row("name empty", ALL, 7, {"name": ""}, says=("missing network name",))
    for name in ("../x", "a/b", "/a", ".a", "..", "a\nb", "a\n", "a b", "a\0b", "ä", "-a",
                 "a\u200b"):
        yield Row(f"name {name!r}", ALL, 7, {"name": name}, says=("network name",))
    yield Row("name of invalid UTF-8", ALL, 7, {"name": REMOVED}, text=member(b'"name": "a\xff"'),
              says=("network name", "a"))
    yield Row("name of 256 bytes", ALL, 7, {"name": "n" * 256}, says=("network name",))
    yield Row("name of 100 KiB", ALL, 7, {"name": "n" * 102400}, says=("network name",))
    yield Row("name of 255 bytes", ALL, ACCEPTED, {"name": "n" * 255})
    for version in ("9.9.9", "a.b.c", "1.0", "1." + "9" * 4000 + ".0", "99999999999999999999.0.0",
                    "-1.0.0", "1.0.0\n", " 1.0.0"):
        yield Row(f"cniVersion {version[:20]!r}", ALL, 1, {"cniVersion": version},
                  says=("incompatible CNI versions", version.strip()[:20]))
    yield Row("cniVersion missing", (*MAIN, "loopback", "host-local"), ACCEPTED,
              {"cniVersion": REMOVED})


def delegate_type_rows():
    def prepare(host):
        os.mkdir(f"{host.fakes}/folder")
        pathlib.Path(host.fakes, "data").write_text("not a program", encoding="ascii")
        os.mkfifo(f"{host.fakes}/fifo")
        os.symlink("/nowhere", f"{host.fakes}/dangling")
        pathlib.Path(host.fakes, "script").write_text("echo hello\n", encoding="ascii")
        os.chmod(f"{host.fakes}/script", 0o755)

    for name in ("../x", "../../bin/true", "/bin/true", "a/b", ".", "..", "absent", "folder",
                 "data", "fifo", "dangling", "a\0b", "a\nb", "x" * 300, "$(touch x)"):
        yield Row(f"ipam.type {name[:20]!r}", MAIN, 7, {"ipam.type": name}, prepare=prepare,
                  says=("ipam.type",))
    # To bridge it means that there are no addresses.
    yield Row("ipam.type empty", ("ptp",), 7, {"ipam.type": ""}, says=("ipam.type",))
    yield Row("ipam.type of a script without #!", MAIN, 999, {"ipam.type": "script"},
              prepare=prepare, late=True, says=("script",))
    for name in (5, ["host-local"], {"a": 1}, True):
        yield Row(f"ipam.type {name!r}", MAIN, 7, {"ipam.type": name}, says=("ipam.type",))
    for value in ("host-local", 5, [IPAM]):
        yield Row(f"ipam {str(value)[:12]!r}", ALLOCATING, 7, {"ipam": value}, says=("ipam",))
    # Each would call itself again without end.
    for name in MAIN:
        for verb in ("ADD", "DEL", "STATUS", "GC"):
            yield Row(f"ipam.type {name} in {verb}", MAIN, None, verb=verb, late=True, seconds=2,
                      change={"ipam.type": name, **({} if verb in ("ADD", "DEL") else NEWEST)})
    # As it undoes what it did, it sets lo down.
    yield Row("ipam.type loopback", MAIN, None, {"ipam.type": "loopback"}, late=True,
              prepare=lambda host: host.container.run("ip", "link", "set", "lo", "down"))
    for name in ("../x", "a/b", ".", ".."):
        yield Row(f"type {name!r}", ALL, 7, {"type": name}, says=("type", name))


def link_rows():
    for name in ("b" * 16, "b" * 70000, "a/b", "a:b", "a b", "a\tb", "a\nb", ".", "..", "all",
                 "default", "lo", "br%d", "b\0c", "", "é\x7f"):
        yield Row(f"bridge {name[:20]!r}", ("bridge",), 7, {"bridge": name}, says=("bridge",))
    yield Row("bridge that is none", ("bridge",), 7, {"bridge": "other"}, says=("other",),
              prepare=lambda host: host.place.host.batch("link add other type veth peer name end"))
    for key, plugins, values in (
            ("mtu", MAIN, (-1, 65536, 10 ** 30, -10 ** 30, 1 << 32, 1 << 63, 1.5, "1500", True, [],
                           {"a": 1}, 1e9)),
            ("vlan", ("bridge",), (-1, 4095, 65536 + 5, 1 << 63, 2.5, "5", [])),
            ("isGateway", ("bridge",), ("true", 1, [])), ("ipMasq", MAIN, ("true", 1, [])),
            ("hairpinMode", ("bridge",), ("no", 0)), ("promiscMode", ("bridge",), ("no", 0))):
        for value in values:
            yield Row(f"{key} {value!r}", plugins, 7, {key: value}, says=(key,))
    for name, trunk in {"min > max": {"minID": 20, "maxID": 10}, "min 0": {"minID": 0, "maxID": 10},
                        "max 4095": {"minID": 10, "maxID": 4095}, "no max": {"minID": 10},
                        "no min": {"maxID": 10}, "id 5000": {"id": 5000}, "id -1": {"id": -1},
                        "id 'x'": {"id": "x"}, "a number": 5}.items():
        yield Row(f"vlanTrunk {name}", ("bridge",), 7, {"vlanTrunk": [trunk]}, says=("vlanTrunk",))
    yield Row("vlanTrunk no list", ("bridge",), 7, {"vlanTrunk": {"id": 5}}, says=("vlanTrunk",))
    for value in ("garbage", "00:00:00:00:00:00", "01:00:5e:00:00:01", "aa:bb:cc:dd:ee",
                  "aa:bb:cc:dd:ee:ff:00:11", "gg:bb:cc:dd:ee:ff"):
        yield Row(f"runtimeConfig.mac {value}", ("bridge",), 7, {"runtimeConfig.mac": value},
                  says=("runtimeConfig.mac", value))


def host_local_rows():
    def ranges(*sets):
        return {"ipam.ranges": list(sets)}

    bad = {
        "bad CIDR": [[{"subnet": "10.1.2/24"}]], "no prefix": [[{"subnet": "10.1.2.0"}]],
        "prefix 33": [[{"subnet": "10.1.2.0/33"}]], "prefix -1": [[{"subnet": "10.1.2.0/-1"}]],
        "prefix +24": [[{"subnet": "10.1.2.0/+24"}]], "octet 256": [[{"subnet": "10.1.256.0/24"}]],
        "leading zero": [[{"subnet": "10.01.2.0/24"}]],
        "host bits": [[{"subnet": "10.1.2.7/24"}]], "/31": [[{"subnet": "10.1.2.0/31"}]],
        "/32": [[{"subnet": "10.1.2.1/32"}]], "/127": [[{"subnet": "fd00::/127"}]],
        "start > end": [[{"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9",
                          "rangeEnd": "10.1.2.5"}]],
        "start outside": [[{"subnet": "10.1.2.0/24", "rangeStart": "10.1.3.9"}]],
        "end outside": [[{"subnet": "10.1.2.0/24", "rangeEnd": "10.1.3.9"}]],
        "start of the other family": [[{"subnet": "10.1.2.0/24", "rangeStart": "fd00::1"}]],
        "bad start": [[{"subnet": "10.1.2.0/24", "rangeStart": "x"}]],
        "bad gateway": [[{"subnet": "10.1.2.0/24", "gateway": "x"}]],
        "overlap in a set": [[{"subnet": "10.1.2.0/24"}, {"subnet": "10.1.2.0/25"}]],
        "overlap of sets": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.1.0.0/16"}]],
        "mixed families": [[{"subnet": "10.1.2.0/24"}, {"subnet": "fd00::/64"}]],
        "none": [], "empty set": [[]], "no subnet": [[{}]], "a string": ["10.1.2.0/24"],
        "a number": [[{"subnet": 5}]], "no list": {"subnet": "10.1.2.0/24"},
    }
    for name, value in bad.items():
        yield Row(f"ranges, {name}", ALLOCATING, 7, {"ipam.ranges": value}, late=True,
                  says=("range",) if name != "none" else ("no IP ranges",))
    yield Row("ranges missing", ALLOCATING, 7, {"ipam.ranges": REMOVED}, late=True,
              says=("ranges",))
    # The first address of ::/0 and of 0.0.0.0/0 is none that a link can have.
    for subnet, plugins in {"::/0": ("host-local",), "0.0.0.0/0": ("host-local",),
                            "10.0.0.0/8": ALLOCATING, "8000::/1": ALLOCATING}.items():
        yield Row(f"ranges, {subnet}", plugins, ACCEPTED, ranges([{"subnet": subnet}]))
    for name, route in {"no dst": {}, "bad dst": {"dst": "x"}, "bad gw": {"dst": "::/0", "gw": "x"},
                        "a string": "0.0.0.0/0"}.items():
        yield Row(f"routes, {name}", ALLOCATING, 7, {"ipam.routes": [route]}, late=True,
                  says=("ipam.routes",))
    yield Row("dataDir a number", ALLOCATING, 7, {"ipam.dataDir": 5}, late=True, says=("dataDir",))
    yield Row("dataDir with ..", ALLOCATING, ACCEPTED, {"ipam.dataDir": f"{DATA}/state/../state"})
    yield Row("dataDir relative", ALLOCATING, ACCEPTED, {"ipam.dataDir": "relative/state"})
    yield Row("dataDir that is a file", ALLOCATING, 5, {"ipam.dataDir": f"{DATA}/file"}, late=True,
              says=("file",),
              prepare=lambda host: pathlib.Path(host.folder, "file").write_text("", "ascii"))
    yield from followed_links()

    def prepare(host):
        os.mkfifo(f"{host.folder}/fifo")
        os.mkdir(f"{host.folder}/folder")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{host.folder}/socket")
        with open(f"{host.folder}/huge", "wb") as file:
            file.truncate(1 << 30)
    for name in ("fifo", "folder", "huge", "absent", "socket"):
        yield Row(f"resolvConf {name}", ALLOCATING, 5, {"ipam.resolvConf": f"{DATA}/{name}"},
                  late=True, prepare=prepare, says=(name,))
    for name in ("/dev/zero", "/dev/random", "/proc/kmsg", "/proc/self/mem", "/dev/tty"):
        yield Row(f"resolvConf {name}", ALLOCATING, 5, {"ipam.resolvConf": name}, late=True,
                  says=(name,))
    for value in ("x", "10.1.2.300", "", 5):
        yield Row(f"runtimeConfig.ips {value!r}", ALLOCATING, 7, {"runtimeConfig.ips": [value]},
                  late=True, says=("runtimeConfig.ips",))


def followed_links():
    """Links in the place of files of the state: where they lead to stays untouched."""
    def outside(host):
        return pathlib.Path(host.folder, "outside")

    def link(name):
        def prepare(host):
            outside(host).write_text("mine", encoding="ascii")
            os.makedirs(f"{host.folder}/state/net")
            os.symlink(outside(host), f"{host.folder}/state/net/{name}")
        return prepare

    def check(host):
        return None if outside(host).read_text(encoding="ascii") == "mine" \
            else "what a link led to was written"
    for name in ("lock", "last_reserved_ip.0", "10.1.2.2", "10.1.2.1"):
        yield Row(f"a link in the place of {name}", ALLOCATING, ACCEPTED, prepare=link(name),
                  check=check)


def portmap_rows():
    def port(**change):
        return {"runtimeConfig.portMappings": [{**PORT, **change}]}

    for key in ("hostPort", "containerPort"):
        for value in (0, -1, 65536, 65536 + 80, 1 << 63, 10 ** 30, 8.5, "80", [], None):
            yield Row(f"portmap, {key} {value!r}", ("portmap",), 7, port(**{key: value}),
                      says=(f"portMappings[0].{key}",))
    for value in ("", "icmp", "tcp ", "tcp\n", "tcp; drop", 6, "udplite"):
        yield Row(f"portmap, protocol {value!r}", ("portmap",), 7, port(protocol=value),
                  says=("portMappings[0].protocol",))
    for value in ("UDP", "Tcp", "sctp"):
        yield Row(f"portmap, protocol {value}", ("portmap",), ACCEPTED, port(protocol=value))
    for value in ("x", "10.1.2", "10.1.2.3/24", "1.2.3.4 ", "::g", "010.1.2.3", 5, "fe80::1%eth0"):
        yield Row(f"portmap, hostIP {value!r}", ("portmap",), 7, port(hostIP=value),
                  says=("portMappings[0].hostIP",))
    yield Row("portmap, hostIP of another family", ("portmap",), 7, port(hostIP="fd00::1"),
              says=("portMappings[0].hostIP", "fd00::1"))
    for value in (-1, 32, 1 << 63, "13", 1.5):
        yield Row(f"portmap, markMasqBit {value!r}", ("portmap",), 7, {"markMasqBit": value},
                  says=("markMasqBit",))
    for value in (5, {"a": 1}, [5], ["x"], [[PORT]]):
        yield Row(f"portmap, portMappings {value!r}", ("portmap",), 7,
                  {"runtimeConfig.portMappings": value}, says=("portMappings",))
    for key, value in {"snat": "yes", "backend": "netsh", "externalSetMarkChain": 5,
                       "conditionsV4": "-s", "conditionsV6": [5]}.items():
        yield Row(f"portmap, {key} {value!r}", ("portmap",), 7, {key: value}, says=(key,))


def previous_result_rows():
    def ip(**change):
        return {**PREVIOUS, "ips": [{**PREVIOUS["ips"][0], **change}]}

    yield Row("prevResult missing", CHAINED, 7, {"prevResult": REMOVED}, says=("prevResult",))
    yield Row("prevResult null", CHAINED, 7, {"prevResult": None}, says=("prevResult",))
    for name, value in {
            "a string": "x", "a list": [], "a number": 5, "true": True,
            "bad address": ip(address="x"), "address without prefix": ip(address="10.1.2.5"),
            "prefix 33": ip(address="10.1.2.5/33"), "no address": ip(address=None),
            "bad gateway": ip(gateway="x"), "interface past the end": ip(interface=1),
            "interface 99": ip(interface=99), "interface -2": ip(interface=-2),
            "interface 1e30": ip(interface=10 ** 30), "interface '0'": ip(interface="0"),
            "ips no list": {**PREVIOUS, "ips": {}}, "an ip a string": {**PREVIOUS, "ips": ["x"]},
            "interfaces no list": {**PREVIOUS, "interfaces": 5},
            "route without dst": {**PREVIOUS, "routes": [{}]},
            "unknown version": {**PREVIOUS, "cniVersion": "9.9.9"},
            "version a number": {**PREVIOUS, "cniVersion": 1}}.items():
        yield Row(f"prevResult, {name}", ENTERING, 7, {"prevResult": value}, says=("prevResult",))


def environment_rows():
    yield Row("CNI_COMMAND missing", ALL, "about", env={"CNI_COMMAND": None})
    for value in ("add", "Add", "FROB", "ADD ", "ADD\n", "\udcff\udcfe", "ADD" * 20000,
                  "CHECK DEL"):
        yield Row(f"CNI_COMMAND {value[:12]!r}", ALL, 4, env={"CNI_COMMAND": value},
                  says=("CNI_COMMAND",))
    for verb, names in {"ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
                        "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
                        "DEL": ("CNI_CONTAINERID", "CNI_IFNAME")}.items():
        for value in (None, ""):
            for name in names:
                yield Row(f"{verb}, {name} {value!r}", ALL, 4, env={name: value}, verb=verb,
                          says=(name,))
            yield Row(f"{verb}, all of them {value!r}", ALL, 4, verb=verb, says=names,
                      env=dict.fromkeys(names, value))
    yield Row("CNI_PATH missing", MAIN, 4, env={"CNI_PATH": None}, says=("CNI_PATH",))
    yield Row("CNI_PATH of colons", MAIN, 4, env={"CNI_PATH": ":::"}, says=("CNI_PATH",))
    for name, value in {"relative": "bin", "empty parts": f"::{DATA}::", "100 KiB": "/x:" * 34000,
                        "a file": "/etc/passwd", "invalid UTF-8": "/\udcff\udcfe",
                        "a newline": "/a\nb", "one long part": "/" + "x" * 5000}.items():
        yield Row(f"CNI_PATH {name}", MAIN, 7, env={"CNI_PATH": value}, says=("host-local",))
    for value in ("../x", "a b", "a\n", "\na", "a\nb", "ä", ".a", "-a", "_a", "a/b", "\udcff",
                  "a:b", "$(reboot)", "a;b", "%s%n"):
        yield Row(f"CNI_CONTAINERID {value!r}", ALL, 4, env={"CNI_CONTAINERID": value},
                  says=("CNI_CONTAINERID",))
    yield Row("CNI_CONTAINERID of 4096 letters", ALL, (4, ACCEPTED),
              env={"CNI_CONTAINERID": "c" * 4096})
    names = ["i" * 16, "i" * 4096, "a/b", "../x", "a:b", "a b", "a\tb", "a\n", ".", "..", "eth%d",
             "%s", "all", "default", "a'b", 'a"b', "a\x01", "a\x7f", "\udcff", "a\u00a0b"]
    for value in names:
        yield Row(f"CNI_IFNAME {value[:12]!r}", ALL, 4, env={"CNI_IFNAME": value},
                  says=("CNI_IFNAME",))
    yield Row("CNI_IFNAME lo", MAIN, 4, env={"CNI_IFNAME": "lo"}, says=("CNI_IFNAME",))


def namespace_rows():
    def prepare(host):
        pathlib.Path(host.folder, "file").write_text("", encoding="ascii")
        os.mkfifo(f"{host.folder}/fifo")
        os.symlink("loop", f"{host.folder}/loop")
        os.mkdir(f"{host.folder}/folder")

    for value in (f"{DATA}/absent", f"{DATA}/file", f"{DATA}/folder", f"{DATA}/fifo",
                  f"{DATA}/loop", f"{DATA}/file/x", "/dev/null", "/dev/zero", "/dev/tty",
                  "/dev/random", "nowhere", "/proc/self/ns/mnt",
                  "/proc/self/ns/uts", "/proc/self/ns/user", "/proc/self/ns/pid", "/proc/self/mem",
                  "/proc/self/ns", "/proc/self/root", "/proc/999999999/ns/net", "/" + "x" * 300,
                  "/x" * 3000, "/a\nb", "\udcff"):
        for verb in ("ADD", "CHECK"):
            yield Row(f"{verb}, CNI_NETNS {value[:24]!r}", ENTERING, 8, env={"CNI_NETNS": value},
                      verb=verb, prepare=prepare, says=("netns",))
    # The chained ones have nothing to do there.
    yield Row("CNI_NETNS that may not be entered", (*MAIN, "loopback"), 8, process="restricted",
              says=("netns",))
    for verb in ("ADD", "CHECK"):
        for path in (HOST, "/proc/self/ns/net"):
            yield Row(f"{verb}, CNI_NETNS the host's own as {path}", ENTERING, 8, verb=verb,
                      env={"CNI_NETNS": path}, says=("CNI_NETNS",))


def deletion_rows():
    """What the attachment has on the host goes without its namespace."""
    for name, value in {"missing": None, "empty": "", "gone": f"{DATA}/absent"}.items():
        yield Row(f"DEL, CNI_NETNS {name}", (*MAIN, *CHAINED, "host-local"), ACCEPTED, verb="DEL",
                  env={"CNI_NETNS": value}, added=True)
    for path in (HOST, "/proc/self/ns/net"):
        own = {"verb": "DEL", "env": {"CNI_NETNS": path}, "says": ("CNI_NETNS",),
               "prepare": lambda host: host.place.host.batch(
                   "link add eth0 type veth peer name end", "link set eth0 up")}
        yield Row(f"DEL, CNI_NETNS the host's own as {path}", (*MAIN, *CHAINED), 8, added=True,
                  **own)
        yield Row(f"DEL, CNI_NETNS the host's own as {path}, lo", ("loopback",), 8, **own)

    def foreign(host):
        """A namespace that belongs to another user namespace."""
        path = "/run/netns/foreign"
        subprocess.run(["umount", "--quiet", path], check=False,
                       capture_output=True)
        pathlib.Path(path).touch()
        with subprocess.Popen(["unshare", "--user", "--map-root-user", "--net", "sh", "-c",
                               "echo; read end"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as owner:
            owner.stdout.readline()
            subprocess.run(["mount", "--bind", f"/proc/{owner.pid}/ns/net", path], check=True)
    yield Row("CNI_NETNS of another user namespace", ENTERING, ACCEPTED, prepare=foreign,
              env={"CNI_NETNS": "/run/netns/foreign"})


def argument_rows():
    for value in ("garbage", ";;", ";", "a=b=c", "IgnoreUnknown=maybe", "FOO=bar",
                  "IgnoreUnknown=0;FOO=bar", "FOO=bar;IgnoreUnknown=false", "=;=", "\udcff",
                  "IgnoreUnknown=1;garbage", "A" * 100000):
        yield Row(f"CNI_ARGS {value[:24]!r}", ("bridge", "host-local"), 7, env={"CNI_ARGS": value},
                  late=True, says=("ARGS",))
    for value in ("IgnoreUnknown=1;FOO=bar", "FOO=bar;IgnoreUnknown=true", "IgnoreUnknown=TRUE;=",
                  "IgnoreUnknown=1;K8S_POD_NAME=x'\"\n$(a)\udcff;K8S_POD_NAMESPACE=%n",
                  "IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=" + "b" * 100000):
        yield Row(f"CNI_ARGS {value[:34]!r}", ALLOCATING, ACCEPTED, env={"CNI_ARGS": value})
    for value in ("x", "00:00:00:00:00:00", "01:00:5e:00:00:01", "aa:bb:cc:dd:ee", "a" * 100000):
        yield Row(f"CNI_ARGS MAC={value[:20]}", ("bridge",), 7,
                  env={"CNI_ARGS": f"IgnoreUnknown=1;MAC={value}"}, says=("ARGS", "MAC"))
    for value in ("x", "10.1.2.300", "10.1.2.3/99", "10.1.2.3 ", "\x01", "a" * 100000):
        yield Row(f"CNI_ARGS IP={value[:20]!r}", ALLOCATING, 7, late=True,
                  env={"CNI_ARGS": f"IgnoreUnknown=1;IP={value}"}, says=("ARGS", "IP"))


def stdout_rows():
    for where in ("closed", "full", "gone"):
        yield Row(f"stdout {where}, ADD", ALL, "unwritten", stdout=where, late=True)
        yield Row(f"stdout {where}, an error", ALL, "unwritten", {"name": "../x"}, stdout=where)


GOOD = json.dumps({"cniVersion": "1.0.0",
                   "ips": [{"address": "10.1.2.7/24", "gateway": "10.1.2.1"}]})


def fake(body, verb="ADD"):
    """A delegate `fake` that does `body` in ADD, and nothing else."""
    def prepare(host):
        path = pathlib.Path(host.fakes, "fake")
        path.write_text(f"#!/bin/sh\n[ $CNI_COMMAND = {verb} ] || exit 0\nfolder='{host.fakes}'\n"
                        f"{body}\n", encoding="utf-8")
        path.chmod(0o755)
    return prepare


def sleeper_is_gone(host):
    """The process whose number the delegate wrote down."""
    pid = pathlib.Path(host.fakes, "sleeper").read_text(encoding="ascii").strip()
    state = pathlib.Path("/proc", pid, "stat")
    # One that ended waits for the first process of the namespace, which may not look for it.
    if state.exists() and state.read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z":
        return f"process {pid} is alive"
    return None


SLEEPER = 'sleep 100 & echo $! >"$folder/sleeper"'
LIMIT = {"CNI_DELEGATE_TIMEOUT": "1"}


def delegate_rows():
    def row(name, expect, body, says=(), **more):
        return Row(f"delegate, {name}", MAIN, expect, {"ipam.type": "fake"}, prepare=fake(body),
                   says=says, late=True, **more)

    def answers(text):
        return f"cat <<'END'\n{text}\nEND"
    for name, text, says in (
            ("empty", "", "unmarshal raw result"), ("garbage", "hello", "unmarshal raw result"),
            ("a list", "[]", "unmarshal raw result"), ("truncated", GOOD[:-3], "raw result"),
            ("two documents", GOOD + GOOD, "unmarshal raw result"),
            ("unknown version", GOOD.replace("1.0.0", "9.9.9"), "9.9.9"),
            ("no addresses", '{"cniVersion": "1.0.0"}', "missing IP config"),
            ("empty addresses", '{"cniVersion": "1.0.0", "ips": []}', "missing IP config"),
            ("null", "null", "IP"), ("{}", "{}", "missing IP config"),
            ("bad address", GOOD.replace("10.1.2.7/24", "x"), "ips[0].address"),
            ("no prefix", GOOD.replace("/24", ""), "ips[0].address"),
            ("prefix 99", GOOD.replace("/24", "/99"), "ips[0].address"),
            ("ips no list", GOOD.replace("[", "").replace("]", ""), "ips"),
            ("nested too deep", '{"a": ' + "[" * 10001 + "]" * 10001 + "}", "raw result")):
        yield row(f"result {name}", 999, f"cat >/dev/null\n{answers(text)}", says=(says, "fake"))
    yield row("result of 15 MB of lists", 999,
              f"cat >/dev/null\necho '{GOOD[:-1]}, \"a\": ['\n"
              "yes '[],' | head -c 15000000\necho 1]}",
              says=("raw result", "fake"), seconds=2)
    yield row("good result", ACCEPTED, f"cat >/dev/null\n{answers(GOOD)}")
    yield row("does not read stdin", ACCEPTED, answers(GOOD))
    yield row("closes stdin", ACCEPTED, f"exec <&-\n{answers(GOOD)}")
    yield row("talks on stderr", ACCEPTED, f"echo hello >&2; {answers(GOOD)}")
    yield row("hangs", 11, f"{SLEEPER}; wait", env=LIMIT, seconds=3, check=sleeper_is_gone,
              says=("fake",))
    yield row("hangs without stdout", 11, f"exec >&- 2>&-\n{SLEEPER}; wait", env=LIMIT, seconds=3,
              check=sleeper_is_gone, says=("fake",))
    yield row("hangs, deaf to SIGTERM", 11, f"trap '' TERM INT HUP\n{SLEEPER}; wait", env=LIMIT,
              seconds=3, check=sleeper_is_gone, says=("fake",))
    yield Row("delegate, hangs in ADD and in DEL", MAIN, 11, {"ipam.type": "fake"}, late=True,
              prepare=fake("sleep 100", "$CNI_COMMAND"), env={"CNI_DELEGATE_TIMEOUT": "3"},
              seconds=5, says=("fake",))
    yield Row("delegate, hangs in DEL", MAIN, 11, {"ipam.type": "fake"}, verb="DEL", added=True,
              prepare=fake(f"[ $CNI_COMMAND = DEL ] && sleep 100\necho '{GOOD}'", "$CNI_COMMAND"),
              env=LIMIT, seconds=3, says=("fake",))
    yield row("drips", 11, "while :; do echo x; sleep 0.2; done", env=LIMIT, seconds=3,
              says=("fake",))
    yield row("its child keeps stdout", ACCEPTED, f"{SLEEPER}\n{answers(GOOD)}", seconds=3)
    yield row("its child of another session keeps stdout", ACCEPTED,
              f"setsid {SLEEPER}\n{answers(GOOD)}", seconds=3)
    yield row("floods stdout", 999, "exec cat /dev/zero", says=("fake",), seconds=2)
    yield row("floods stdout with a good start", 999, f"{answers(GOOD)}\nexec yes", says=("fake",),
              seconds=2)
    yield row("floods stderr", 999, "exec cat /dev/zero >&2", says=("fake",), seconds=2)
    for signal in ("KILL", "SEGV", "TERM", "PIPE"):
        yield row(f"dies by {signal}", 999, f"kill -{signal} $$; sleep 9", says=("fake", "signal"))
    yield row("exit 1 without output", 999, "exit 1", says=("fake", "exit status 1"))
    yield row("exit 77 without output", 999, "exit 77", says=("fake", "exit status 77"))
    yield row("exit 1 after garbage", 999, "echo hello; exit 1", says=("fake", "hello"))
    yield row("exit 1 after a number", 999, "echo 5; exit 1", says=("fake",))
    yield row("an error of code 0", 999, """echo '{"code": 0, "msg": "no"}'; exit 1""",
              says=("no",))
    yield row("an error of a bad type", 999, """echo '{"code": "x", "msg": 5}'; exit 1""",
              says=("fake",))
    yield row("an error of its own", 123, """echo '{"code": 123, "msg": "no \\ud800"}'; exit 1""",
              says=("no",))


def inheritance_rows():
    reporter = ("cat >/dev/null\n"
                "ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> .*/\\1/p' >\"$folder/fds\"\n"
                "cp /proc/self/status \"$folder/status\"\n"
                "cut -d' ' -f5 /proc/self/stat >\"$folder/group\"; echo $$ >>\"$folder/group\"\n"
                "tr '\\0' '\\n' </proc/$$/cmdline >\"$folder/argv\"\n"
                f"echo '{GOOD}'")

    def read(host, name):
        return pathlib.Path(host.fakes, name).read_text(encoding="utf-8")

    def descriptors(host):
        # 3 is the folder that ls lists.
        seen = sorted(map(int, read(host, "fds").split()))
        return None if seen == [0, 1, 2, 3] else f"descriptors {seen}"

    def status(*wanted):
        def check(host):
            fields = dict(line.split(":\t") for line in read(host, "status").splitlines()
                          if ":\t" in line)
            bad = [f"{key} {fields[key]}" for key in wanted if int(fields[key], 16) != 0]
            return " ".join(bad)
        return check

    def group(host):
        own, leader = read(host, "group").split()
        return None if own == leader else f"its process group is {own}, it is {leader}"

    def arguments(host):
        seen = read(host, "argv").splitlines()[1:]
        return None if seen == [f"{host.fakes}/fake"] else f"arguments {seen}"
    for name, check, process in (
            ("descriptors", descriptors, "descriptors"),
            ("inheritable capabilities", status("CapInh", "CapAmb"), "inheritable"),
            ("signals", status("SigBlk", "SigIgn"), "signals"),
            ("a process group of its own", group, ""), ("arguments", arguments, "")):
        yield Row(f"delegate is given {name}", MAIN, ACCEPTED, {"ipam.type": "fake"},
                  prepare=fake(reporter), check=check, process=process)


GROUPS = {
    ("P6", "hostile stdin"): (json_rows, name_rows, delegate_type_rows, link_rows, host_local_rows,
                              portmap_rows, previous_result_rows),
    ("P6", "hostile environment"): (environment_rows, namespace_rows, deletion_rows, argument_rows,
                                    stdout_rows),
    ("P8", "delegate behaviour"): (delegate_rows,),
    ("P8", "what a delegate inherits"): (inheritance_rows,),
}


def all_rows():
    return [dataclasses.replace(row, group=group) for group, makers in GROUPS.items()
            for make in makers for row in make()]
