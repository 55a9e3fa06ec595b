"""Chains of plugins that keep state, on hosts whose state can be spoilt between two calls; for the
scripts of this folder."""

import json
import multiprocessing
import os
import pathlib
import subprocess
import traceback

import twins

DATA = "@DATA@"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
LIVE = "cni.dev/valid-attachments"
RANGES = [[{"subnet": "10.1.2.0/29"}], [{"subnet": "fd00:1::/125"}]]
# For hundreds of containers.
WIDE_RANGES = [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00:1::/112"}]]
# Without network, gateway and, of IPv4, broadcast.
POOL = {"10.1.2.": 5, "fd00:1::": 6}
ROUTES = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
PORTS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
         {"hostPort": 8053, "containerPort": 53, "protocol": "udp"}]
IPAM = {"type": "host-local", "dataDir": DATA, "ranges": RANGES, "routes": ROUTES}
# What takes longer hangs, on the slowest of machines. Only what waits for a lock may take longer.
TIMEOUT = 15
# The reference suite of Debian 12 knows no newer one.
VERSIONS = {"ours": "1.1.0", "reference": "1.0.0"}


def _chain(main, backend):
    keys = {"bridge": {"bridge": "br0", "isGateway": True}, "ptp": {}}[main]
    store = {"ipMasq": True, "ipMasqBackend": backend}
    return [{**keys, **store, "type": main, "ipam": IPAM},
            {"type": "portmap", "backend": backend, "runtimeConfig": {"portMappings": PORTS}}]


# {name: (configurations, flavour of iptables)}
CHAINS = {
    "bridge nftables": (_chain("bridge", "nftables"), "nft"),
    "bridge iptables-nft": (_chain("bridge", "iptables"), "nft"),
    "bridge iptables-legacy": (_chain("bridge", "iptables"), "legacy"),
    "ptp nftables": (_chain("ptp", "nftables"), "nft"),
    "ptp iptables-nft": (_chain("ptp", "iptables"), "nft"),
    "ptp iptables-legacy": (_chain("ptp", "iptables"), "legacy"),
    "host-local": ([{"type": "host-local", "ipam": IPAM}], "nft"),
    "loopback": ([{"type": "loopback"}], "nft"),
    "masquerade": ([{"type": "bridge", "bridge": "br0", "isGateway": True, "ipam": IPAM},
                    {"type": "masquerade"}], "nft"),
}
# No chains of their own where the state is what matters.
STATELESS = {"ours": ["loopback", "masquerade"], "reference": ["loopback"]}


class Failed(Exception):
    pass


def chains_of(suite):
    """The chains with state that a suite ("ours" or "reference") can run."""
    return [name for name in CHAINS if name not in STATELESS["ours"]
            and (suite == "ours" or not name.endswith("nftables"))]


class Host:
    """A host, and a chain on it, whose addresses lie in `data` and come out of `ranges`."""

    UNSEEN = "br0 "  # how lines of links begin that are not observed

    def __init__(self, suite, chain, data=None, ranges=None):
        self.suite, self.name = suite, chain
        self.ranges = ranges or RANGES
        self.timeout = TIMEOUT
        self.place = twins.Workplace()
        self.data = data or f"{self.place.directory}/data"
        configs, flavour = CHAINS[chain]
        self.chain = [{"cniVersion": VERSIONS[suite.name], "name": "net", **config} for config in
                      json.loads(json.dumps(configs).replace(DATA, self.data)
                                 .replace(json.dumps(RANGES), json.dumps(self.ranges)))]
        programs = f"{self.place.directory}/bin"
        os.mkdir(programs)
        for program in ("iptables", "ip6tables"):
            os.symlink(f"/usr/sbin/xtables-{flavour}-multi", f"{programs}/{program}")
        self.path = f"{programs}:{os.environ['PATH']}"
        self.place.host.set_sysctl("net/ipv6/conf/default/accept_dad", 0)
        self.containers = {}
        self.numbers = {}

    @property
    def leases(self):
        return pathlib.Path(self.data, "net")

    def namespace(self):
        """A container's that is not observed."""
        namespace = self.place.container()
        namespace.set_sysctl("net/ipv6/conf/default/accept_dad", 0)
        return namespace

    def container(self, name):
        if name not in self.containers:
            self.containers[name] = self.namespace()
        return self.containers[name]

    def call(self, verb, config, name, netns=None, suite=None, **how):
        config = dict(config)
        if "runtimeConfig" in config:
            number = self.numbers.setdefault(name, len(self.numbers))
            config["runtimeConfig"] = {"portMappings": [
                {**port, "hostPort": port["hostPort"] + number} for port in PORTS]}
        if netns is None:
            netns = self.container(name).path
        return (suite or self.suite).call(verb, config, self.place.host, name, netns,
                                          path=self.path, timeout=self.timeout, **how)

    def each(self, verb, name, result=None, **how):
        """The outcomes of a verb for a container, over the whole chain; ADD and CHECK end at the
        first that failed."""
        outcomes = []
        chain = reversed(self.chain) if verb == "DEL" else self.chain
        for config in chain:
            if result is not None:
                config = {**config, "prevResult": result}
            outcomes.append(self.call(verb, config, name, **how))
            if verb == "ADD":
                result = outcomes[-1].json
            if verb in ("ADD", "CHECK") and outcomes[-1].status != 0:
                break
        return outcomes

    def try_add(self, name, **how):
        """The last outcome. As runtimes do, a DEL of the chain follows a failure."""
        outcome = self.each("ADD", name, **how)[-1]
        if outcome.status != 0 and len(self.chain) > 1:
            self.each("DEL", name, **how)
        return outcome

    def must(self, verb, name, result=None, **how):
        """The last outcome's JSON."""
        outcomes = self.each(verb, name, result, **how)
        for outcome in outcomes:
            if outcome.status != 0:
                raise Failed(f"{verb} of {name}: {outcome}")
        return outcomes[-1].json

    def collect(self, valid=(), **how):
        """GC of the whole chain with these containers alive."""
        alive = [{"containerID": name, "ifname": "eth0"} for name in valid]
        # No older version has this verb.
        return [self.call("GC", {**config, "cniVersion": "1.1.0", LIVE: alive}, "", netns="",
                          **how) for config in self.chain]

    def must_collect(self, valid=()):
        for outcome in self.collect(valid):
            if outcome.status != 0:
                raise Failed(f"GC: {outcome}")

    def observe(self):
        """Everything but a bridge, hints and the caches of ours."""
        seen = {f"host {part}": lines
                for part, lines in (twins.state(self.place.host) |
                                    twins.rules(self.place.host)).items()}
        seen["host links"] = [line for line in seen["host links"]
                              if not line.startswith(self.UNSEEN)]
        seen["host neighbours"] = twins.fixed_neighbours(self.place.host)
        for name, container in self.containers.items():
            seen |= {f"{name} {part}": lines for part, lines in twins.state(container).items()}
        seen["files"] = self.reservations()
        return seen

    def kept(self):
        """What there is of files but hints, as lines; of the caches of ours the names only."""
        return [name if name.startswith(".plumb/") else f"{name}: {content!r}"
                for name, content in twins.files(self.data).items()
                if not name.startswith(("net/last_reserved_ip.", ".plumb/net/used/"))]

    def reservations(self):
        found = twins.files(self.leases) if self.leases.is_dir() else {}
        return [f"{name}: {content!r}" for name, content in found.items()
                if name.startswith(("10.1.", "fd00:1::"))]

    def host_local(self, subnets, **more):
        """A configuration of host-local alone, on the addresses of this host's network."""
        return {"cniVersion": "1.0.0", "name": "net", "type": "host-local",
                "ipam": {"type": "host-local", "dataDir": self.data,
                         "ranges": [[{"subnet": subnet}] for subnet in subnets], **more}}

    def fill(self):
        """Takes all addresses that the network can still give, by calls of host-local alone:
        {address: container}."""
        given = {}
        for [subnet] in RANGES:
            config = self.host_local([subnet["subnet"]])
            # Ends with an error, unless the plugin has gone mad.
            for _ in range(100):
                name = f"fill{len(given)}"
                outcome = self.call("ADD", config, name, netns="/run/netns/none")
                if outcome.status != 0:
                    break
                address = outcome.json["ips"][0]["address"].split("/")[0]
                if address in given:
                    raise Failed(f"{address} is given twice")
                given[address] = name
        return given

    def must_be_whole(self):
        """Fails if an address cannot be had."""
        given = self.fill()
        if len(given) != sum(POOL.values()):
            raise Failed(f"of {sum(POOL.values())} addresses only {len(given)} can be had: "
                         f"{sorted(given)}")
        self.release(given)

    def release(self, given):
        """What fill() took."""
        for name in given.values():
            config = self.host_local([each["subnet"] for [each] in RANGES])
            outcome = self.call("DEL", config, name, netns="")
            if outcome.status != 0:
                raise Failed(f"DEL of {name}: {outcome}")

    def end(self, *names):
        """Containers that are over, with their namespaces."""
        for name in names:
            container = self.containers.pop(name)
            self.place.containers.remove(container)
            container.remove()

    def remove(self):
        self.place.remove()


# Of this process: its suites by name, and by suite and chain a host before anything happened and
# as undisturbed ADDs and DELs leave it.
SUITES, CLEAN = {}, {}


def clean_states(host, suite=None):
    """Both states of a host like this one, all of whose containers are alike."""
    key = suite or host.suite.name, host.name, str(host.ranges)
    if key not in CLEAN:
        like = Host(SUITES[key[0]], host.name, ranges=host.ranges)
        like.container("any")
        CLEAN[key] = [like.observe()]
        like.must("DEL", "any", like.must("ADD", "any"))
        CLEAN[key].append(like.observe())
        like.remove()
    states = []
    for state in CLEAN[key]:
        states.append({})
        for section, lines in state.items():
            for name in host.containers if section.startswith("any ") else ["any"]:
                states[-1][section.replace("any ", f"{name} ")] = lines
    return states


def is_in(line, states):
    """Whether a line of a difference, "section: + text", is of one of the states."""
    section, _, text = line.partition(": + ")
    return any(text in state.get(section, []) for state in states)


def must_be_clean(host, when, but=()):
    """Nothing is there that an undisturbed ADD and DEL would not leave, sections in `but` apart."""
    states = clean_states(host)
    left = [line for line in twins.difference(states[1], host.observe())
            if ": + " in line and not is_in(line, states) and not line.startswith(tuple(but))]
    if left:
        raise Failed("\n      ".join([f"{when} there is left:", *left]))


def must_be_the_same(host, before, when):
    """Apart from empty tables and chains that all containers share."""
    states = clean_states(host)
    lines = [line for line in twins.left(before, host.observe()) if not is_in(line, states)]
    if lines:
        raise Failed("\n      ".join([f"{when} has changed:", *lines]))


def must_check(host, name, result):
    # The reference suite's portmap fails with two families: swap_test.py of test/conformance.
    if host.suite.name == "ours":
        host.must("CHECK", name, result)


def must_be_one_answer(outcome):
    if outcome.status != 0 and not isinstance(outcome.json, dict):
        raise Failed(f"no JSON error: {outcome}")


def _start_worker(suites):
    twins.isolate_worker()
    SUITES.update(suites)


def workers(arguments):
    """Processes that find the suites of the command line in SUITES."""
    suites = {name: twins.Suite(name, folder) for name, folder in
              (("ours", arguments.plugins), ("reference", arguments.reference))}
    return multiprocessing.Pool(os.cpu_count(), _start_worker, (suites,))


def tracer():
    """The program, which is built beside our plugins."""
    return str(pathlib.Path(SUITES["ours"].folder, "../test/tracer").resolve())


def run_trial(function, *arguments):
    """What failed, or None."""
    try:
        function(*arguments)
        return None
    except Failed as failure:
        return str(failure)
    except subprocess.TimeoutExpired as late:
        return f"hangs: {late}"
    except Exception:  # of the test itself
        return traceback.format_exc()
