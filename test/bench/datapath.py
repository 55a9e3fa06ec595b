"""What traffic through a host port costs with many of them in place."""

import contextlib
import subprocess

from lab import Chain, Host, STORES, median
import twins

SIZES = (1, 100, 5000)
ROUNDS = 9
SECONDS = "0.4"
FIRST_PORT = 1024
HOST_ADDRESS = "192.0.2.1"
KINDS = ("connect", "packets")


class Street:
    """A host with a neighbour that sends, and one container that answers at `ports` host ports."""

    def __init__(self, lab, folder, store, ports, program):
        mappings = [{"hostPort": FIRST_PORT + at, "containerPort": 80, "protocol": protocol}
                    for at in range(ports) for protocol in ("tcp", "udp")]
        self.host = Host(lab, "ours", folder, Chain("bridge + portmap", store), mappings)
        self.container = twins.Namespace(f"x{next(Host.numbers)}")
        self.neighbour = twins.Namespace(f"n{next(Host.numbers)}")
        self.program = program
        # Connections that are over would fill the kernel's table otherwise.
        self.host.host.set_sysctl("net/netfilter/nf_conntrack_tcp_timeout_close", 1)
        name = self.neighbour.path.rpartition("/")[2]
        self.host.host.batch(
            f"link add name uplink type veth peer name eth0 netns {name}",
            f"address add {HOST_ADDRESS}/24 dev uplink", "link set uplink up")
        self.neighbour.batch("address add 192.0.2.2/24 dev eth0", "link set eth0 up")
        self.host.run("ADD", 0, self.container.path)
        with self.container.entered():
            self.server = subprocess.Popen([program, "serve", "80"], stdout=subprocess.PIPE)
        self.server.stdout.readline()
        # Rules are asked one after the other in some stores: the last has the longest way.
        self.port = str(FIRST_PORT + ports - 1)

    def rate(self, kind):
        return float(self.neighbour.run(self.program, kind, HOST_ADDRESS, self.port, SECONDS))

    def remove(self):
        self.server.kill()
        self.server.wait()
        self.server.stdout.close()
        self.host.remove()
        self.container.remove()
        self.neighbour.remove()


def measure(lab, folder, program, quick):
    """{store: {kind: {ports: a second}}}."""
    found = {}
    for store in STORES:
        with contextlib.ExitStack() as stack:
            streets = {}
            for ports in SIZES[:2] if quick else SIZES:
                streets[ports] = Street(lab, folder, store, ports, program)
                stack.callback(streets[ports].remove)
            samples = {kind: {ports: [] for ports in streets} for kind in KINDS}
            for turn in range(ROUNDS + 1):
                for kind in KINDS:
                    for ports, street in streets.items():
                        taken = street.rate(kind)
                        if turn > 0:
                            samples[kind][ports].append(taken)
        found[store] = {kind: {ports: median(taken) for ports, taken in by_ports.items()}
                        for kind, by_ports in samples.items()}
    return found
