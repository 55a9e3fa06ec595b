"""What the scripts of this folder share: chains of plugins, hosts to run them on, and calls that
are measured.

Wall time is that from the start of the process to the end of its output and of itself, as runtimes
wait for it. The time of processors is that of the whole tree below it, what it left to end later
included. Everything is measured by the same means, an empty program too, whose figure shows what
the means cost.
"""

import contextlib
import ctypes
import dataclasses
import fcntl
import itertools
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import twins  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36
PIPE_SIZE = 1 << 20  # for the longest configuration
# The newest that the reference suite of Debian 12 knows.
VERSION = "1.0.0"
NETWORK = "net"
STORES = ("nftables", "iptables-nft", "iptables-legacy")
# A bridge has at most 1,023 ports (BR_MAX_PORTS of the kernel).
PORTS_OF_A_BRIDGE = 1000


def seconds(usage):
    return usage.ru_utime + usage.ru_stime


@dataclasses.dataclass
class Cost:
    """Of one call, or of the calls of a chain."""
    wall: float = 0.0       # seconds
    processor: float = 0.0  # seconds

    def __add__(self, other):
        return Cost(self.wall + other.wall, self.processor + other.processor)


class Lab:
    """Makes calls and measures them. One for a process, in its main thread."""

    def __init__(self):
        # What a plugin leaves to end later becomes a child of this process, which takes it away at
        # once, as the first process of a host does.
        if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError("prctl")
        self.ended = {}
        self.measuring = False  # otherwise others wait for their children themselves
        signal.signal(signal.SIGCHLD, lambda *_: self.measuring and self.take_away())

    def take_away(self):
        with contextlib.suppress(ChildProcessError):
            while True:
                process, status, usage = os.wait4(-1, os.WNOHANG)
                if process == 0:
                    return
                self.ended[process] = (os.waitstatus_to_exitcode(status), usage)

    def start(self, argv, text, environment):
        """(process, descriptor of its output). In the namespace of this thread."""
        input_end, feed = os.pipe()
        answer, output_end = os.pipe()
        fcntl.fcntl(feed, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        os.write(feed, text.encode())
        os.close(feed)
        process = os.posix_spawn(argv[0], argv, environment, file_actions=[
            (os.POSIX_SPAWN_DUP2, input_end, 0), (os.POSIX_SPAWN_DUP2, output_end, 1),
            (os.POSIX_SPAWN_CLOSE, answer)])
        os.close(input_end)
        os.close(output_end)
        return process, answer

    def finish(self, process, answer):
        """(its output, its exit status, what it used)."""
        pieces = []
        while piece := os.read(answer, 65536):
            pieces.append(piece)
        os.close(answer)
        try:
            _, status, usage = os.wait4(process, 0)
            return b"".join(pieces).decode(), os.waitstatus_to_exitcode(status), usage
        except ChildProcessError:
            return b"".join(pieces).decode(), *self.ended.pop(process)

    def measure(self, argv, text, environment):
        """(output, Cost)."""
        self.measuring = True
        self.take_away()
        begin = time.monotonic()
        process, answer = self.start(argv, text, environment)
        output, status, usage = self.finish(process, answer)
        wall = time.monotonic() - begin
        self.measuring = False
        if status != 0:
            raise RuntimeError(f"{' '.join(argv)} {environment.get('CNI_COMMAND', '')}: {output}")
        return output, Cost(wall, seconds(usage))

    def settle(self):
        """Waits until nothing runs below this process any more; the seconds of a processor that
        this used which was left."""
        while children_of(os.getpid()):
            self.take_away()
            time.sleep(0.001)
        used = sum(seconds(usage) for _, usage in self.ended.values())
        self.ended.clear()
        return used


def children_of(process):
    return pathlib.Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")


@dataclasses.dataclass(frozen=True)
class Chain:
    """Plugins and the store of their rules."""
    name: str
    store: str = "nftables"

    @property
    def title(self):
        return self.name if self.name == "bridge" else f"{self.name}, {self.store}"

    def configurations(self, suite, data, number, mappings=None):
        """Those of the plugins, for container `number` on a host; without `mappings` it has one
        host port, of that number."""
        key = "nftables" if self.store == "nftables" else "iptables"
        ours = suite != "reference"
        part = number // PORTS_OF_A_BRIDGE
        v4 = {"subnet": f"10.{part + 1}.0.0/16"}
        v6 = {"subnet": f"fd00:{part + 1:x}::/64"}
        store = {"ipMasq": True, **({"ipMasqBackend": key} if ours else {})}
        ipam = {"type": "host-local", "dataDir": data, "ranges": [[v4]],
                "routes": [{"dst": "0.0.0.0/0"}]}
        bridge = {"type": "bridge", "bridge": f"cni{part}", "isGateway": True, "ipam": ipam}
        port = {"hostPort": 1024 + number, "containerPort": 80, "protocol": "tcp"}
        portmap = {"type": "portmap", "snat": True,
                   "runtimeConfig": {"portMappings": mappings or [port]},
                   **({"backend": key} if ours else {})}
        chains = {
            "bridge": [bridge],
            "bridge + portmap": [{**bridge, **store, "hairpinMode": True}, portmap],
            "veth dual-stack": [{**store, "type": "ptp", "ipam": {
                **ipam, "ranges": [[v4], [v6]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}],
            "loopback": [{"type": "loopback"}]}
        name = NETWORK if part == 0 else f"{NETWORK}{part}"
        return [{**one, "cniVersion": VERSION, "name": name} for one in chains[self.name]]


class Host:
    """A host of its own for one suite, with containers."""

    numbers = itertools.count()

    def __init__(self, lab, name, folder, chain, mappings=None):
        self.lab = lab
        self.mappings = mappings
        self.name = name
        self.folder = folder
        self.chain = chain
        self.directory = tempfile.mkdtemp(dir="/mnt")
        self.host = twins.Namespace(f"h{next(self.numbers)}")
        self.host.set_sysctl("net/ipv6/conf/default/accept_dad", 0)
        multi = "legacy" if chain.store == "iptables-legacy" else "nft"
        for program in ("iptables", "ip6tables", "iptables-save", "iptables-restore",
                        "ip6tables-save", "ip6tables-restore"):
            os.symlink(f"/usr/sbin/xtables-{multi}-multi", f"{self.directory}/{program}")
        self.path = f"{self.directory}:{os.environ['PATH']}"
        self.previous = {}

    def environment(self, verb, container_id, netns, ifname):
        return {"PATH": self.path, "CNI_COMMAND": verb, "CNI_CONTAINERID": container_id,
                "CNI_NETNS": netns, "CNI_IFNAME": ifname, "CNI_PATH": self.folder}

    def calls(self, verb, number):
        """The configurations to call with, in their order."""
        all_of_them = self.chain.configurations(self.name, self.directory, number,
                                                    self.mappings)
        if verb in ("STATUS", "GC"):  # since 1.1.0
            for config in all_of_them:
                config["cniVersion"] = "1.1.0"
        if verb == "GC":
            for config in all_of_them:
                config["cni.dev/valid-attachments"] = [
                    {"containerID": f"c{valid}", "ifname": "eth0"} for valid in self.previous]
        return all_of_them[::-1] if verb == "DEL" else all_of_them

    def run(self, verb, number, netns, ifname="eth0", under=(), after=None):
        """One verb of the whole chain, as runtimes do it, each plugin by the command `under`;
        `after` is called after each. [Cost] of the plugins."""
        container_id = f"c{number}"
        costs = []
        with self.host.entered():
            for config in self.calls(verb, number):
                if number in self.previous and verb in ("ADD", "CHECK", "DEL"):
                    config = {**config, "prevResult": self.previous[number]}
                argv = [*under, os.path.join(self.folder, config["type"])]
                output, cost = self.lab.measure(
                    argv, json.dumps(config),
                    self.environment(verb, container_id, netns, ifname))
                costs.append(cost)
                if after is not None:
                    after()
                if verb == "ADD":
                    self.previous[number] = json.loads(output)
        if verb == "DEL":
            self.previous.pop(number, None)
        return costs

    def add_foreign_rules(self, count):
        """Rules of somebody else's in table nat, in chains as kube-proxy has them: one for each
        service, that one rule jumps to, and in it four more."""
        lines = ["*nat", ":KUBE-SERVICES - [0:0]", "-A PREROUTING -j KUBE-SERVICES"]
        for number in range(count // 5):
            chain = f"KUBE-SVC-{number}"
            service = f"172.{16 + number // 65536}.{number // 256 % 256}.{number % 256}"
            lines += [f":{chain} - [0:0]", f"-A KUBE-SERVICES -d {service}/32 -j {chain}"]
            lines += [f"-A {chain} -p tcp -m tcp --dport {port} -j RETURN" for port in range(1, 5)]
        self.host.run(f"{self.directory}/iptables-restore", "--noflush",
                      input="\n".join([*lines, "COMMIT", ""]))

    def remove(self):
        self.host.remove()
        subprocess.run(["rm", "-rf", self.directory], check=True)


def median(values):
    return statistics.median(values)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(value):
    return f"{value * 1000:.2f}"


def ratio(value, base):
    return f"{value / base:.1f}" if base else "-"
