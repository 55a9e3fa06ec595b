#!/usr/bin/env python3
"""Lets containers go away or resist before DEL, and networks be collected and asked.

  hostile_container_test.py PLUGINS REFERENCE [--all] [--trial TEXT]

P4: DEL where the namespace is gone, or is another one. P7: what a container may do between ADD and
DEL (hostile_tricks.py). P17: GC and STATUS of each plugin. After each of them the host has to be as
it was before, an ordinary container of the same network untouched, and the next ADD possible.

The trials of a chain take their turn on one host, which is made anew after a failure. --trial gives
those whose name contains TEXT. Without --all a sample of them is tried. Exits with 1 after a
failure of ours.
"""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import chains  # noqa: E402
import gates  # noqa: E402
import hostile_tricks as tricks  # noqa: E402
import twins  # noqa: E402
from chains import SUITES, Failed, must_check, run_trial  # noqa: E402

ID = "one"


def must_be_silent(outcome, verb):
    """A call that has nothing to say has succeeded, and said nothing."""
    if outcome.status != 0 or outcome.stdout:
        raise Failed(f"{verb}: {outcome}")


def address_of(result, version):
    return next(ip["address"].split("/")[0] for ip in result["ips"]
                if (":" in ip["address"]) == (version == 6))


class Host(chains.Host):
    """With an ordinary container; what it looks like `before` there are others, and `empty`."""

    def __init__(self, suite, chain, prepare):
        super().__init__(SUITES[suite], chain)
        prepare(self)
        # What all containers share comes to be with the first one.
        self.must("DEL", "other", self.must("ADD", "other"))
        self.empty = self.observe()
        self.renew()

    def renew(self):
        """What there is before another container comes."""
        self.ordinary = self.must("ADD", "other")
        self.before = self.observe()

    def observe(self):
        return {**super().observe(), "files": self.kept()}

    def must_be_as_before(self, when, but=()):
        self.must_be_as(self.before, when, but)

    def must_be_as(self, state, when, but=()):
        """Apart from sections that begin so."""
        lines = [line for line in twins.difference(state, self.observe())
                 if not line.startswith(tuple(but))]
        if lines:
            raise Failed("\n      ".join([f"{when} there has changed:", *lines]))

    def host_end(self, result):
        """The link of the host, and its alias."""
        for interface in result["interfaces"]:
            if not interface.get("sandbox") and interface["name"] != "br0":
                [link] = json.loads(self.place.host.run("ip", "-json", "link", "show",
                                                        interface["name"]))
                return link["ifname"], link.get("ifalias", "none")
        raise Failed(f"no link of the host: {result}")

    def must_delete(self, name, result, netns):
        """Twice: the second DEL has nothing to do."""
        for _ in range(2):
            for outcome in self.each("DEL", name, result, netns=netns):
                must_be_silent(outcome, "DEL")

    def must_go_on(self, when, but=()):
        """As if nothing had happened."""
        self.must_be_as_before(when, but)
        must_check(self, "other", self.ordinary)
        next_one = self.namespace()
        result = self.must("ADD", "next", netns=next_one.path)
        self.must_delete("next", result, next_one.path)
        self.let_go(next_one)

    def let_go(self, namespace):
        """Unless it is gone already. Returns the path at which it was."""
        if namespace in self.place.containers:
            self.place.containers.remove(namespace)
            namespace.remove()
        return namespace.path


@dataclasses.dataclass(frozen=True)
class Trial:
    suite: str
    chain: str
    promise: str
    what: str  # of the promise
    function: object  # (host, whether DEL gets the previous result)
    words: str = ""
    prepared: str = ""  # which of PREPARATIONS its host has
    with_result: bool = True

    def __str__(self):
        how = "" if self.with_result else ", without prevResult"
        return f"{self.suite}, {self.chain}, {self.words or self.what}{how}"


# --- P4: no namespace

@contextlib.contextmanager
def empty(_, inside):
    yield inside.path, lambda: ""


@contextlib.contextmanager
def path_gone(host, inside):
    yield inside.path, lambda: host.let_go(inside)


@contextlib.contextmanager
def path_gone_but_alive(host, inside):
    with tricks.process_of(inside):
        yield inside.path, lambda: host.let_go(inside)


@contextlib.contextmanager
def ordinary_file(host, inside):
    def go():
        # What an unmounted name is.
        pathlib.Path(host.let_go(inside)).touch()
        return inside.path
    yield inside.path, go


@contextlib.contextmanager
def process_dead(host, inside):
    with contextlib.ExitStack() as process:
        number = process.enter_context(tricks.process_of(inside))
        host.let_go(inside)

        def go():
            process.close()
            return f"/proc/{number}/ns/net"
        yield f"/proc/{number}/ns/net", go


@contextlib.contextmanager
def another(host, inside):
    """With an interface and addresses as the container has them."""
    stranger = host.namespace()
    if host.name == "loopback":
        # As after ADD and DEL.
        stranger.batch("link set lo down")
    else:
        stranger.batch("link add eth0 type veth peer name eth1", "link set eth0 up",
                       "address add 10.1.2.3/29 dev eth0", "address add fd00:1::3/125 dev eth0")
    before = twins.state(stranger)
    yield inside.path, lambda: stranger.path
    lines = twins.difference(before, twins.state(stranger))
    host.let_go(stranger)
    if lines:
        raise Failed("\n      ".join(["in another namespace has changed:", *lines]))


@contextlib.contextmanager
def another_container(host, inside):
    yield inside.path, lambda: host.containers["other"].path


# {what: how the container goes, which gives its name at ADD, and how to let it go and have the name
# at DEL}
WAYS = {"CNI_NETNS is empty": empty, "the path is gone": path_gone,
        "the path is gone, a process holds the namespace": path_gone_but_alive,
        "the path is an ordinary file": ordinary_file, "its process is dead": process_dead,
        "CNI_NETNS is another namespace": another,
        "CNI_NETNS is another container's": another_container}


def try_way(way, host, with_result):
    inside = host.namespace()
    with way(host, inside) as (netns, go):
        result = host.must("ADD", ID, netns=netns)
        host.must_delete(ID, result if with_result else None, go())
    host.let_go(inside)
    host.must_go_on("after DEL")


# --- P7: what a container does

def try_commands(lines, host, with_result):
    inside, thief = host.namespace(), host.namespace()
    result = host.must("ADD", ID, netns=inside.path)
    host_end, alias = host.host_end(host.ordinary)
    gateways = [ip["gateway"] for ip in host.ordinary["ips"]]
    words = {"thief": os.path.basename(thief.path), "host_end": host_end, "alias": alias,
             "other4": address_of(host.ordinary, 4), "other6": address_of(host.ordinary, 6),
             "gateway4": gateways[0], "gateway6": gateways[1]}
    inside.batch(*(line.format(**words) for line in lines))
    host.must_delete(ID, result if with_result else None, inside.path)
    for namespace in (inside, thief):
        host.let_go(namespace)
    host.must_go_on("after DEL")


def try_mounts(host, with_result):
    """Its own mounts where plugins write, from before ADD on."""
    inside = host.namespace()
    with tricks.process_of(inside, tricks.MOUNTS) as number:
        host.let_go(inside)
        netns = f"/proc/{number}/ns/net"
        result = host.must("ADD", ID, netns=netns)
        if host.suite.name == "ours":
            host.must("CHECK", ID, result, netns=netns)
        host.must_delete(ID, result if with_result else None, netns)
    host.let_go(inside)
    host.must_go_on("after DEL")


# Runs a command, and writes down seconds and pages. The most memory that a process has had at a
# time would be, of a small one, that of the process it was forked from.
MEASURE = """
import json, os, sys, time
begin = time.monotonic()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ), 0)
with open(sys.argv[1], "a", encoding="ascii") as report:
    print(json.dumps([time.monotonic() - begin, usage.ru_minflt]), file=report)
sys.exit(os.waitstatus_to_exitcode(status))
"""
ROUNDS = 4
# {unit: how many times as much it may be, what a machine under load may add}
LIMITS = {"seconds": (2, 0.1), "pages": (1, 50)}


def measured(host, name, result, netns):
    """Of a DEL: [seconds, pages]."""
    report = pathlib.Path(host.place.directory, "measured")
    under = (sys.executable, "-c", MEASURE, str(report))
    for outcome in host.each("DEL", name, result, netns=netns, under=under):
        must_be_silent(outcome, "DEL")
    lines = [json.loads(line) for line in report.read_text(encoding="ascii").splitlines()]
    report.unlink()
    return [sum(column) for column in zip(*lines)]


def try_crowd(many, host, with_result):
    """Its DEL costs what that of an ordinary container costs."""
    plain, crowded = host.namespace(), host.namespace()
    tricks.fill(crowded, many)
    costs = {"plain": [], "crowded": []}
    for _ in range(ROUNDS):
        for name, inside in (("plain", plain), ("crowded", crowded)):
            result = host.must("ADD", ID, netns=inside.path)
            costs[name].append(measured(host, ID, result if with_result else None, inside.path))
    for namespace in (plain, crowded):
        host.let_go(namespace)
    host.must_go_on("after DEL")
    for number, (unit, (times, slack)) in enumerate(LIMITS.items()):
        one, other = (min(round_[number] for round_ in costs[name]) for name in costs)
        if other > times * one + slack:
            raise Failed(f"with {many} links, addresses, routes and rules DEL takes "
                         f"{other:g} {unit}, without {one:g}")


# Traces of router_advertisement() in a host. Only the router's own entry as a neighbour, who is no
# one's router, is of no effect.
BELIEVED = re.compile(f"{tricks.BAD_PREFIX}|=ra\\b|hop_limit={tricks.BAD_HOPS}|gateway=fe80")


def try_advertisements(host, with_result):
    inside = host.namespace()
    with tricks.Flood(inside, tricks.router_advertisement()) as flood:
        result = host.must("ADD", ID, netns=inside.path)
        flood.wait_for(100)
        seen = {**host.observe(), "host neighbours": twins.neighbours(host.place.host),
                "result": [json.dumps(result)]}
        host.must_delete(ID, result if with_result else None, inside.path)
    host.let_go(inside)
    lines = [f"{section}: {line}" for section, lines in seen.items() for line in lines
             if not section.startswith("other ") and BELIEVED.search(line)]
    if lines:
        raise Failed("\n      ".join(["the host believes:", *lines]))
    # It is not the host who keeps advertisements away from other containers.
    host.must_go_on("after DEL", but=("other ",))


def try_loopback_service(host, with_result):
    """A service on 127.0.0.1 of the host stays the host's."""
    inside = host.namespace()
    result = host.must("ADD", ID, netns=inside.path)
    own, other = address_of(result, 4), address_of(host.ordinary, 4)
    gateway = next(ip["gateway"] for ip in result["ips"] if "." in ip["gateway"])
    port = tricks.PrivateService.PORT
    with contextlib.closing(tricks.PrivateService(host.place.host)) as service:
        tricks.reach_loopback(inside, gateway, own)
        reached = ["TCP"] if tricks.connects(inside, port) else []
        tricks.send_datagram(inside, port, "UDP")
        link, _ = host.host_end(result)
        link = "br0" if host.name.startswith("bridge") else link
        macs = tricks.mac_of(host.place.host, link), tricks.mac_of(inside, "eth0")
        tricks.send_frames(inside, *(
            tricks.udp_packet(macs, source, "127.0.0.1", port, f"UDP from {source}".encode())
            for source in (own, other, gateway, "127.0.0.1", "127.0.0.5", "198.51.100.9")))
        reached += service.heard()
        if not tricks.connects(host.place.host, port):
            raise Failed("the host itself does not reach its service")
    host.must_delete(ID, result if with_result else None, inside.path)
    host.let_go(inside)
    host.must_go_on("after DEL")
    if reached:
        raise Failed(f"127.0.0.1 of the host is reached: {', '.join(reached)}")


def try_foreign_macs(host, with_result):
    """From before ADD on frames with others' MACs arrive nowhere."""
    inside, other = host.namespace(), host.containers["other"]
    other_mac = tricks.mac_of(other, "eth0")
    gateway = host.ordinary["ips"][0]["gateway"]
    frames = [tricks.marked(tricks.FOREIGN_MAC), tricks.marked(tricks.FOREIGN_MAC, other_mac),
              tricks.marked(other_mac), tricks.arp_claim(tricks.FOREIGN_MAC, gateway)]
    with contextlib.ExitStack() as sockets:
        listening = [(kind, sockets.enter_context(tricks.frame_socket(where, link, kind)))
                     for where, link in ((host.place.host, "br0"), (other, "eth0"))
                     for kind in (tricks.MARK, tricks.ARP)]
        with tricks.Flood(inside, *frames) as flood:
            result = host.must("ADD", ID, netns=inside.path)
            flood.wait_for(100)
        own = tricks.mac_of(inside, "eth0")
        last = {tricks.MARK: tricks.marked(own),
                tricks.ARP: tricks.arp_claim(own, address_of(result, 4))}
        tricks.send_frames(inside, *last.values())
        arrived = {mac for kind, each in listening
                   for mac in tricks.sources_before(last[kind], each)} - {own.hex(":")}
    host.must_delete(ID, result if with_result else None, inside.path)
    host.let_go(inside)
    host.must_go_on("after DEL")
    if arrived:
        raise Failed(f"frames arrive from {sorted(arrived)}, its own MAC is {own.hex(':')}")


# --- P17: GC and STATUS

def must_collect(host, valid):
    for outcome in host.collect(valid):
        must_be_silent(outcome, "GC")


def try_collection(host, _):
    """Attachments whose containers died without DEL."""
    for number, way in enumerate((path_gone, ordinary_file)):
        inside = host.namespace()
        with way(host, inside) as (netns, go):
            host.must("ADD", f"dead{number}", netns=netns)
            go()
        host.let_go(inside)
    for when in ("after GC", "after another GC"):
        must_collect(host, ["other"])
        host.must_be_as_before(when)
        must_check(host, "other", host.ordinary)
    host.must_go_on("after GC")
    for when in ("after GC of all", "after another GC of all"):
        must_collect(host, [])
        host.must_be_as(host.empty, when, but=("other ",))
    host.must("DEL", "other", host.ordinary)
    host.renew()


def must_have_status(host, number, code, **how):
    """None: of success."""
    config = {**host.chain[number], "cniVersion": "1.1.0"}
    before = host.observe()
    outcome = host.call("STATUS", config, "", netns="", **how)
    if code is None:
        must_be_silent(outcome, "STATUS")
    elif outcome.code != code:
        raise Failed(f"STATUS of {config['type']}: {outcome}")
    host.must_be_as(before, "after STATUS")


def try_status(host, _):
    """The next ADD will work."""
    for number in range(len(host.chain)):
        must_have_status(host, number, None)
    host.must_go_on("after STATUS")


def try_obstacle(obstacle, number, host, _):
    """The next ADD of this plugin will not work."""
    with obstacle(host) as how:
        inside = host.namespace()
        config = dict(host.chain[number])
        if number:
            config["prevResult"] = host.ordinary
        outcome = host.call("ADD", config, ID, netns=inside.path, **how)
        if outcome.status == 0:
            raise Failed(f"ADD works: {outcome}")
        must_have_status(host, number, 50, **how)
        host.let_go(inside)
    must_have_status(host, number, None)
    host.must_go_on("afterwards")


@contextlib.contextmanager
def other_link(host):
    host.must("DEL", "other", host.ordinary)
    host.place.host.batch("link delete br0", "link add br0 type ifb")
    yield {}
    host.place.host.batch("link delete br0")
    host.renew()


@contextlib.contextmanager
def no_address(host):
    given = host.fill()
    yield {}
    host.release(given)


@contextlib.contextmanager
def file_for_directory(host):
    aside = f"{host.data}.aside"
    os.rename(host.data, aside)
    pathlib.Path(host.data).touch()
    yield {}
    os.unlink(host.data)
    os.rename(aside, host.data)


# Runs a command on a kernel without netfilter's sockets, by a filter of classic BPF (seccomp(2)):
# those of nf_tables, and those by which legacy tables are reached.
NO_NETFILTER = """
import ctypes, os, struct, sys
CALL, FAMILY, PROTOCOL = 0, 16, 32
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
SOCKET, NETLINK, NETFILTER, RAW = 41, 16, 12, 255
ALLOWED, NOT_SUPPORTED = 0x7fff0000, 0x00050000 | 93
program = [(LOAD, 0, 0, CALL), (EQUAL, 0, 7, SOCKET), (LOAD, 0, 0, FAMILY), (EQUAL, 0, 2, NETLINK),
           (LOAD, 0, 0, PROTOCOL), (EQUAL, 2, 3, NETFILTER),
           (LOAD, 0, 0, PROTOCOL), (EQUAL, 0, 1, RAW),
           (RETURN, 0, 0, NOT_SUPPORTED), (RETURN, 0, 0, ALLOWED)]
text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in program))
filter = struct.pack("HxxxxxxP", len(program), ctypes.addressof(text))
if ctypes.CDLL(None).prctl(22, 2, filter, 0, 0) != 0:
    sys.exit("no seccomp")
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextlib.contextmanager
def no_netfilter(_):
    yield {"under": (sys.executable, "-c", NO_NETFILTER)}


@contextlib.contextmanager
def no_capabilities(_):
    yield {"under": ("setpriv", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all")}


# --- All of them

def believe_routers(host):
    """As on a host whose uplink has its addresses from a router."""
    for name in ("all", "default"):
        host.place.host.set_sysctl(f"net/ipv6/conf/{name}/accept_ra", 2)


def check_macs(host):
    host.chain[0]["macspoofchk"] = True


# What is special about hosts.
PREPARATIONS = {"": lambda host: None, "routers": believe_routers, "MACs": check_macs}
# (what is in the way, how to put it there, which chains it is in the way of, plugins of them)
OBSTACLES = [
    ("the bridge's name is another link's", other_link, r"bridge|masquerade", (0,)),
    ("all addresses are given", no_address, r"bridge|ptp|host-local|masquerade", (0,)),
    ("a file in place of its data", file_for_directory, r"bridge|ptp|host-local|masquerade", (0,)),
    ("no netfilter", no_netfilter, r"bridge|ptp", (0, 1)),
    ("no netfilter", no_netfilter, r"masquerade", (1,)),
    ("no capabilities", no_capabilities, r"bridge|ptp|masquerade|loopback", (0, 1)),
]


def end_trials(suite, chain):
    for words, way in WAYS.items():
        # Nobody can tell one "lo" from another.
        if chain != "loopback" or way is not another_container:
            yield Trial(suite, chain, "P4", "the namespace is gone, or another",
                        functools.partial(try_way, way), words)


def container_trials(suite, chain, everything):
    act = functools.partial(Trial, suite, chain, "P7")
    for words, lines in tricks.COMMANDS.items():
        yield act("a hostile container", functools.partial(try_commands, lines), words)
    yield act("a hostile container", try_mounts, "has its own mounts")
    for many in (2000, 10000) if everything else (1000,):
        yield act("a crowded container", functools.partial(try_crowd, many),
                  f"has {many} links, addresses, routes and rules")
    yield act("router advertisements", try_advertisements, prepared="routers")
    yield act("127.0.0.1 of the host", try_loopback_service)
    if chain.startswith("bridge"):
        yield act("foreign MACs", try_foreign_macs, prepared="MACs")


def network_trials(suite, chain):
    act = functools.partial(Trial, suite, chain, "P17")
    yield act("GC", try_collection)
    yield act("STATUS where ADD works", try_status)
    # The reference suite of Debian 12 has no STATUS; that it cannot be asked counts once.
    for words, obstacle, of_chains, numbers in OBSTACLES if suite == "ours" else ():
        numbers = numbers[:len(chains.CHAINS[chain][0])]
        for number in numbers if re.match(of_chains, chain) else ():
            yield act("STATUS where ADD does not work",
                      functools.partial(try_obstacle, obstacle, number),
                      f"{chains.CHAINS[chain][0][number]['type']}: {words}")


def trials(suite, chain, everything):
    yield from end_trials(suite, chain)
    if chain.startswith(("bridge", "ptp")):
        yield from container_trials(suite, chain, everything)
    yield from network_trials(suite, chain)


# Of the sample: of how many chains one has a trial; GC, and STATUS where nothing is in the way, are
# tried on all.
STRIDES = {"ours": 3, "reference": 5}


def chosen(everything, text):
    """Both with the previous result and without it; of the sample, in turns."""
    for suite, stride in STRIDES.items():
        all_chains = [*chains.chains_of(suite), *chains.STATELESS[suite]]
        for column, chain in enumerate(all_chains):
            for row, trial in enumerate(trials(suite, chain, everything)):
                if text not in str(trial):
                    continue
                if everything or text:
                    yield trial
                    if trial.promise != "P17":
                        yield dataclasses.replace(trial, with_result=False)
                elif (row + column) % stride == 0 or trial.function in (try_collection, try_status):
                    yield dataclasses.replace(trial, with_result=column % 2 == 0)


def of_one_host(all_trials, most=10):
    """Lists of trials that need the same kind of host."""
    kinds = {}
    for trial in all_trials:
        kinds.setdefault((trial.suite, trial.chain, trial.prepared), []).append(trial)
    return [kind[first:first + most] for kind in kinds.values()
            for first in range(0, len(kind), most)]


def try_all(group):
    """[(trial, what failed or None)]"""
    told, host = [], None
    for trial in group:
        host = host or Host(trial.suite, trial.chain, PREPARATIONS[trial.prepared])
        failure = run_trial(trial.function, host, trial.with_result)
        told.append((trial, failure))
        if failure:
            host.remove()
            host = None
    if host:
        host.remove()
    return told


def main():
    parser = gates.parser()
    parser.add_argument("--trial", default="")
    parser.add_argument("--shown", default="ours", help="the suite whose failures are printed")
    arguments = parser.parse_args()
    twins.isolate()
    counts = gates.Gates(shown=(arguments.shown,))
    groups = of_one_host(chosen(arguments.all, arguments.trial))
    with chains.workers(arguments) as pool:
        for told in pool.imap_unordered(try_all, groups):
            for trial, failure in told:
                counts.tell(trial.promise, trial.what, trial.suite, failure, trial)
    return counts.finish("faults-hostile-container")


if __name__ == "__main__":
    sys.exit(main())
