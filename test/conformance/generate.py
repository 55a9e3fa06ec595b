"""Configurations and situations for differential_test.py, made from a number: keys of the reference
suite's plugins with values that are right, unusual and wrong, in all versions."""

import dataclasses
import random

VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"]
# What stands for the folder in which a side keeps its files, and for the container.
DATA = "@DATA@"
NETNS = "@NETNS@"


@dataclasses.dataclass
class Case:
    number: int
    config: dict
    cni_args: str = ""
    # Lines for `ip -batch` before the first ADD, on the host and in the first container.
    host: list = dataclasses.field(default_factory=list)
    container: list = dataclasses.field(default_factory=list)
    # The addresses, [address, gateway], that somebody before in the chain has given eth0.
    previous: list | None = None
    containers: int = 2

    @property
    def plugin(self):
        return self.config["type"]

    def key(self, name, default=None):
        """Of the configuration, whatever the letters' case."""
        return next((value for key, value in self.config.items() if key.lower() == name.lower()),
                    default)

    @property
    def version(self):
        return self.key("cniVersion", "0.1.0")


class Dice:
    """Random choices that follow from a number. One value of ten is a wrong one."""

    def __init__(self, number):
        self.random = random.Random(number)

    def chance(self, of_hundred):
        return self.random.randrange(100) < of_hundred

    def one(self, *values):
        return self.random.choice(values)

    def put(self, target, key, of_hundred, good, bad=()):
        """Perhaps gives `target` a `key`."""
        if self.chance(of_hundred):
            target[key] = self.value(good, bad)

    def value(self, good, bad=()):
        return self.random.choice(bad) if bad and self.chance(8) else self.random.choice(good)


NOT_BOOL = ("true", 1, "")
NOT_INT = ("1500", 1.5, True, [])
NOT_STRING = (1, True, {}, [])


def case(number, plugin):
    dice = Dice(number)
    made = Case(number, {"cniVersion": dice.value(VERSIONS, ("0.5.0", "1.1.0", "9.9.9", "1.0", 1)),
                         "name": dice.value(("n", "net-1", "A_b.c"), ("", "-n", "a/b", "a b", 7)),
                         "type": plugin})
    {"bridge": _bridge, "ptp": _ptp, "loopback": _loopback, "host-local": _host_local,
     "portmap": _portmap}[plugin](dice, made)
    _common(dice, made)
    return made


def _common(dice, made):
    config = made.config
    if dice.chance(10):
        del config["cniVersion"]
    dice.put(config, "unknown", 10, [1, {"deep": [None]}, "x"])
    dice.put(config, "capabilities", 5, [{"mac": True}, {}, None])
    dice.put(config, "dns", 20,
             [{"nameservers": ["10.9.9.9"], "domain": "d", "search": ["s"], "options": ["o"]},
              {"nameservers": ["10.9.9.9"]}, {"search": ["a", "b"]}, {"nameservers": []}, {}, None,
              {"options": ["ndots:5"], "domain": ""}],
             ["x", {"nameservers": "10.9.9.9"}, {"domain": 1}])
    # Keys are known in any letter case.
    if dice.chance(10):
        key = dice.one(*config)
        if key not in ("type", "name"):
            config[dice.one(key.upper(), key.capitalize())] = config.pop(key)
    if dice.chance(25):
        arguments = ["IgnoreUnknown=1;K8S_POD_NAME=p", "IgnoreUnknown=true", "IgnoreUnknown=0"]
        wrong = ["FOO=1", "X", "A=b=c", "IgnoreUnknown=maybe", "IgnoreUnknown=1;", "mac=1"]
        more = {"bridge": ["MAC=0a:00:00:00:00:0b", "IgnoreUnknown=1;MAC=0A-00-00-00-00-0C"],
                "host-local": ["IP=10.1.2.77", "IgnoreUnknown=1;IP=10.1.2.78/24", "IP="]}
        bad = {"bridge": ["MAC=zz"], "host-local": ["IP=xx", "IP=10.1.2.300", "IP=10.9.9.9"]}
        made.cni_args = dice.value(arguments + more.get(made.plugin, []),
                                   wrong + bad.get(made.plugin, []))


def _ipam(dice, version="1.0.0"):
    ipam = {"type": dice.value(["host-local"], ["", "nope", "host-local/", 1])}
    _ranges(dice, ipam, version)
    ipam["dataDir"] = DATA
    dice.put(ipam, "routes", 45,
             [[{"dst": "0.0.0.0/0"}], [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}], [], None,
              [{"dst": "10.200.0.0/16", "gw": "10.1.2.9"}], [{"dst": "192.0.2.0/24"}],
              [{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}],
              [{"dst": "10.200.0.0/16"}, {"dst": "10.200.0.0/16", "gw": "10.1.2.3"}]],
             [[{"dst": "10.200.0.1/16"}], [{"gw": "10.1.2.1"}], [{"dst": "x"}], [{"dst": 1}], {},
              [{"dst": "10.200.0.0/16", "gw": "nope"}], [{"dst": "10.200.0.0"}],
              [{"dst": "10.200.0.0/16", "gw": "172.16.0.1"}],
              [{"dst": "192.0.2.0/24"}, {"dst": "192.0.2.0/24"}]])
    return ipam


V4 = [{"subnet": "10.1.2.0/24"}, {"subnet": "10.1.2.0/29"},
      {"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.10", "rangeEnd": "10.1.2.20"},
      {"subnet": "10.1.2.0/24", "gateway": "10.1.2.254"}, {"subnet": "10.1.2.0/30"},
      {"subnet": "10.1.0.0/16", "rangeStart": "10.1.2.250", "gateway": "10.1.0.1"}]
BAD_V4 = [{"subnet": "10.1.2.0/31"}, {"subnet": "10.1.2.1/24"}, {"subnet": "10.1.2.0"}, {},
          {"subnet": "10.1.2.0/24", "rangeStart": "10.1.3.1"}, {"subnet": ""},
          {"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.8"},
          {"subnet": "10.1.2.0/24", "rangeEnd": "nope"}, {"subnet": 10},
          {"subnet": "10.1.02.0/24"}, {"subnet": "10.1.2.0/24", "gateway": "x"}]
V6 = [{"subnet": "fd00:1::/64"}, {"subnet": "fd00:1::/120", "gateway": "fd00:1::ff"},
      {"subnet": "fd00:1:0:0::/64", "rangeStart": "fd00:1::10", "rangeEnd": "fd00:1::1:0"},
      {"subnet": "FD00:1::/126"}]
BAD_V6 = [{"subnet": "fd00:1::/127"}, {"subnet": "fd00:1::1/64"},
          {"subnet": "fd00:1::/64", "rangeEnd": "fd00:2::1"}]


def _ranges(dice, ipam, version):
    kind = dice.one("old", "four", "four", "both", "both", "six", "alternatives")
    four, six = dice.value(V4, BAD_V4), dice.value(V6, BAD_V6)
    if kind == "old":
        ipam.update(four)
    elif kind == "alternatives":
        ipam["ranges"] = [[{"subnet": "10.1.2.0/30"}, {"subnet": "10.1.3.0/24"}]]
    else:
        ipam["ranges"] = {"four": [[four]], "six": [[six]], "both": [[four], [six]]}[kind]
    if dice.chance(4):
        ipam["ranges"] = dice.one([], [[]], None, {}, "x", [[four], [four]], [[four, six]],
                                  [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.7.0.0/24"}]])


def _bridge(dice, made):
    config = made.config
    dice.put(config, "bridge", 50, ["br0", "cni0", "br-x.1"],
             ["", "a/b", "lo", "a234567890123456", *NOT_STRING])
    dice.put(config, "isGateway", 50, [True, False], NOT_BOOL)
    dice.put(config, "isDefaultGateway", 30, [True, False], NOT_BOOL)
    dice.put(config, "forceAddress", 15, [True, False], NOT_BOOL)
    dice.put(config, "ipMasq", 20, [True, False], NOT_BOOL)
    dice.put(config, "mtu", 25, [0, 1280, 1400, 9000, None], [-1, 67, 70000, *NOT_INT])
    dice.put(config, "hairpinMode", 20, [True, False], NOT_BOOL)
    dice.put(config, "promiscMode", 10, [True, False], NOT_BOOL)
    dice.put(config, "enabledad", 3, [True], NOT_BOOL)
    dice.put(config, "macspoofchk", 4, [True, False], NOT_BOOL)
    dice.put(config, "vlan", 4, [0, 100], [-1, 4095, 5000, *NOT_INT])
    dice.put(config, "vlanTrunk", 3, [None], [[{"minID": 5}], [{"id": 4095}], "x"])
    dice.put(config, "preserveDefaultVlan", 3, [True, False], NOT_BOOL)
    dice.put(config, "portIsolation", 5, [True, False], NOT_BOOL)
    dice.put(config, "disableContainerInterface", 3, [True, False], NOT_BOOL)
    dice.put(config, "ipMasqBackend", 4, ["iptables", "nftables"], ["x", 1])
    dice.put(config, "args", 10, [{"cni": {"mac": "0a:00:00:00:00:0d"}}, {}, None, {"cni": {}}],
             [{"cni": {"mac": "nope"}}, "x", {"cni": 1}])
    dice.put(config, "runtimeConfig", 10, [{"mac": "0a:00:00:00:00:0e"}, {}, None],
             [{"mac": "zz"}, {"mac": 1}, []])
    if dice.chance(88):
        config["ipam"] = _ipam(dice)
    else:
        dice.put(config, "ipam", 50, [{}, None], ["x"])
    bridge = config.get("bridge", "cni0")
    if isinstance(bridge, str) and bridge in ("br0", "cni0") and dice.chance(30):
        made.host = dice.one(
            [f"link add {bridge} type bridge"],
            [f"link add {bridge} mtu 1300 type bridge"],
            [f"link add {bridge} type bridge", f"address add 10.1.2.1/24 dev {bridge}"],
            [f"link add {bridge} type bridge", f"address add 10.55.0.1/16 dev {bridge}"],
            [f"link add {bridge} type bridge", f"address add fd00:1::7/64 dev {bridge} nodad"],
            [f"link add {bridge} type bridge", f"address add fd00:99::1/64 dev {bridge} nodad"],
            [f"link add {bridge} type bridge", f"link set {bridge} up promisc on"],
            [f"link add {bridge} type veth peer name other"])
    if dice.chance(5):
        made.container = ["link add eth0 type bridge"]


def _ptp(dice, made):
    config = made.config
    dice.put(config, "ipMasq", 20, [True, False], NOT_BOOL)
    dice.put(config, "mtu", 40, [0, 1280, 1400, 9000], [-1, 67, 70000, *NOT_INT])
    if dice.chance(96):
        config["ipam"] = _ipam(dice)
    if dice.chance(5):
        made.container = ["link add eth0 type bridge"]


def _loopback(dice, made):
    if dice.chance(30):
        made.container = dice.one(["link set lo down"], ["address add 127.0.0.2/8 dev lo"],
                                  ["address add 10.0.0.1/32 dev lo"],
                                  ["address add fd00::1/128 dev lo"])
    if dice.chance(30):
        made.previous = [["10.1.2.3/24", "10.1.2.1"]]


def _host_local(dice, made):
    config = made.config
    config["ipam"] = _ipam(dice)
    config["ipam"]["type"] = "host-local"
    dice.put(config, "runtimeConfig", 15,
             [{"ips": ["10.1.2.50"]}, {"ips": ["10.1.2.51/24", "fd00:1::51"]}, {"ips": []}, {},
              {"ipRanges": [[{"subnet": "10.8.0.0/24"}]]}, None],
             [{"ips": [""]}, {"ips": ["x"]}, {"ips": ["10.1.2.1"]}, {"ips": ["10.99.0.1"]},
              {"ipRanges": [[{}]]}, {"ips": "10.1.2.5"}])
    dice.put(config, "args", 10, [{"cni": {"ips": ["10.1.2.60"]}}, {"cni": {}}, None, {}],
             [{"cni": {"ips": [None]}}, {"cni": {"ips": ["zz"]}}])
    dice.put(config["ipam"], "resolvConf", 15, [f"{DATA}/resolv.conf", ""],
             ["/nonexistent", 1])
    made.containers = dice.one(1, 2, 3, 8)


def _portmap(dice, made):
    config = made.config
    dice.put(config, "snat", 25, [True, False, None], NOT_BOOL)
    dice.put(config, "masqAll", 30, [True, False], NOT_BOOL)
    dice.put(config, "markMasqBit", 15, [0, 5, 31, None], [-1, 32, 100, "1"])
    dice.put(config, "externalSetMarkChain", 5, ["KUBE-MARK-MASQ"], [1])
    if "externalSetMarkChain" in config and dice.chance(30):
        config["markMasqBit"] = 5
    dice.put(config, "conditionsV4", 10, [["-s", "192.0.2.0/24"], ["!", "-i", "up0"], [], None],
             ["x", [1]])
    dice.put(config, "conditionsV6", 10, [["-s", "2001:db8::/32"], []], [{}])
    mapping = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
               {"hostPort": 8053, "containerPort": 53, "protocol": "udp"},
               {"hostPort": 8080, "containerPort": 80, "protocol": "TCP"},
               {"hostPort": 8081, "containerPort": 81, "protocol": "tcp", "hostIP": "127.0.0.1"},
               {"hostPort": 8082, "containerPort": 82, "protocol": "tcp", "hostIP": "0.0.0.0"},
               {"hostPort": 8083, "containerPort": 83, "protocol": "tcp", "hostIP": "::"},
               {"hostPort": 8084, "containerPort": 84, "protocol": "tcp", "hostIP": "fd00::9"},
               {"hostPort": 8085, "containerPort": 85, "protocol": "tcp", "hostIP": ""},
               {"hostPort": 8086, "containerPort": 86, "protocol": "sctp"}]
    bad = [{"hostPort": 70000, "containerPort": 80, "protocol": "tcp"},
           {"hostPort": 0, "containerPort": 80, "protocol": "tcp"},
           {"hostPort": 8080, "protocol": "tcp"}, {"containerPort": 80, "protocol": "tcp"},
           {"hostPort": 8080, "containerPort": 80},
           {"hostPort": 8080, "containerPort": 80, "protocol": "icmp"},
           {"hostPort": -1, "containerPort": 80, "protocol": "tcp"},
           {"hostPort": "8080", "containerPort": 80, "protocol": "tcp"},
           {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "zz"}, "x"]
    count = dice.one(0, 1, 1, 2, 3)
    config["runtimeConfig"] = {"portMappings": [dice.value(mapping, bad) for _ in range(count)]}
    if dice.chance(8):
        config["runtimeConfig"] = dice.one({}, None, {"portMappings": None}, {"portMappings": {}})
    config["backend"] = "iptables"
    made.previous = dice.one([["10.1.2.5/24", "10.1.2.1"]], [["fd00:1::5/64", "fd00:1::1"]],
                             [["10.1.2.5/24", "10.1.2.1"], ["fd00:1::5/64", "fd00:1::1"]])
    if dice.chance(4):
        made.previous = dice.one(None, [])
    made.host = ["link add br0 type bridge", "address add 10.1.2.1/24 dev br0",
                 "address add fd00:1::1/64 dev br0 nodad", "link set br0 up"]
    made.containers = 1


def result(addresses, version):
    """A result as a plugin before gives it, eth0 of the container with these addresses."""
    dns = {"nameservers": ["10.9.9.9"]}
    if version in ("0.1.0", "0.2.0"):
        return {"dns": dns,
                **{f"ip{6 if ':' in address else 4}": {"ip": address, "gateway": gateway}
                   for address, gateway in addresses}}
    ips = [{"interface": 2, "address": address, "gateway": gateway}
           for address, gateway in addresses]
    if version in ("0.3.0", "0.3.1", "0.4.0"):
        for one in ips:
            one["version"] = "6" if ":" in one["address"] else "4"
    return {"interfaces": [{"name": "br0"}, {"name": "veth1"},
                           {"name": "eth0", "sandbox": NETNS}],
            "ips": ips, "routes": [{"dst": "0.0.0.0/0"}], "dns": dns}


def _simple(plugin, ranges=(V4[0],), routes=(), **keys):
    ipam = {"type": "host-local", "dataDir": DATA, "ranges": [[one] for one in ranges],
            "routes": list(routes)}
    return {"cniVersion": "1.0.0", "name": "n", "type": plugin, "ipam": ipam, **keys}


# Known differences that chance brings seldom.
SELDOM = [
    Case(-1, _simple("ptp", routes=[{"dst": "0.0.0.0/0"}, {"dst": "192.0.2.0/24"}])),
    Case(-2, _simple("bridge", isDefaultGateway=True, routes=[{"dst": "0.0.0.0/0"}])),
    Case(-3, _simple("bridge", mtu=-1)),
    Case(-4, _simple("bridge", portIsolation="yes")),
    Case(-5, _simple("host-local", ranges=[V4[0], {"subnet": "fd00:1::/126"}]), containers=4),
    Case(-6, _simple("host-local", routes=[{"gw": "10.1.2.1"}])),
    Case(-7, _simple("bridge", isGateway=True, routes=[{"dst": "10.200.0.1/16"}])),
    Case(-8, {"cniVersion": "1.0.0", "name": "n", "type": "bridge"}),
    Case(-9, {"cniVersion": "1.0.0", "name": "n", "type": "loopback", "dns": {"domain": 1}}),
    Case(-10, _simple("ptp") | {"cniVersion": "1.1.0"}),
]
