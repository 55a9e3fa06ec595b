"""What root of a container, with all rights in namespaces of its own, can do there to a plugin's
work; for hostile_container_test.py.

All of it acts from inside of the container: `inside` is its twins.Namespace, and its interface is
eth0.
"""

import contextlib
import ipaddress
import socket
import struct
import subprocess
import threading
import time

RENAMED = ["link set eth0 down", "link set eth0 name evil"]
FLUSHED = ["address flush dev eth0"]
# {what: commands of ip(8)}, in whose words {thief} is another namespace, {other4} and {other6} are
# the addresses of an ordinary container, {gateway4} and {gateway6} the host's for all of them, and
# {host_end}, {alias} name the host's end of the ordinary one.
COMMANDS = {
    "renames its interface": RENAMED,
    "deletes its interface": ["link delete eth0"],
    "has a bridge in its place": [*RENAMED, "link add eth0 type bridge"],
    "has a veth pair in its place": [*RENAMED, "link add eth0 type veth peer name eth1"],
    "has an ifb in its place": ["link delete eth0", "link add eth0 type ifb"],
    "gives its name to another": [*RENAMED, "link add b0 type bridge",
                                  "link property add dev b0 altname eth0"],
    "has another container's names": ["link set eth0 alias {alias}",
                                      "link property add dev eth0 altname {host_end}",
                                      "link add evil type bridge", "link set evil alias {alias}"],
    "has a link named as the host's end": ["link add {host_end} type veth peer name eth1",
                                           "link set {host_end} alias {alias}"],
    "flushes its addresses": FLUSHED,
    "takes another's addresses": [*FLUSHED, "address add {other4}/29 dev eth0",
                                  "address add {other6}/125 dev eth0 nodad"],
    "takes the gateway's addresses": [*FLUSHED, "address add {gateway4}/29 dev eth0",
                                      "address add {gateway6}/125 dev eth0 nodad"],
    "takes addresses of loopback": [*FLUSHED, "address add 127.0.0.2/8 dev eth0"],
    "moves its interface": ["link set eth0 netns {thief}"],
    "renames and moves its interface": [*RENAMED, "link set evil netns {thief}"],
    "deletes its routes": ["route flush table main", "route flush table local"],
    "sets its interface down": ["link set eth0 down"],
    "has other settings": ["link set eth0 down", "link set eth0 address 02:00:00:00:00:77",
                           "link set eth0 mtu 1280", "link set eth0 txqueuelen 7",
                           "link set eth0 alias rubbish",
                           "link property add dev eth0 altname one altname two"],
    "puts its interface under a bridge": ["link add b0 type bridge", "link set eth0 master b0"],
}

# Where plugins write, or read what they write.
MOUNTS = """
for place in /proc/sys/net /var/lib/cni /run; do mount -t tmpfs none $place || exit; done
mkfifo /var/lib/cni/networks /run/cni /proc/sys/net/ipv4
ln -s /etc /proc/sys/net/ipv6
ln -s /dev/zero /run/xtables.lock
mkdir /run/netns && ln -s /proc/1/ns/net /run/netns/evil
echo ready
exec sleep 3600
"""


@contextlib.contextmanager
def process_of(inside, script="echo ready; exec sleep 3600"):
    """A process that holds the namespace, with mounts of its own; gives its number."""
    with inside.entered():
        # pylint: disable-next=consider-using-with  # ends below
        process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], text=True,
                                   stdout=subprocess.PIPE)
    try:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("a container's process does not start")
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def fill(inside, many):
    """As many links, addresses, routes and rules."""
    inside.batch(*(f"link add l{number} type ifb" for number in range(many // 4)),
                 *(f"address add 172.16.{number >> 8}.{number & 255}/32 dev lo"
                   for number in range(many)),
                 *(f"route add 172.17.{number >> 8}.{number & 255}/32 dev lo"
                   for number in range(many)))
    lines = [f"ip saddr 172.18.{number >> 8}.{number & 255} counter" for number in range(many)]
    inside.run("nft", "-f", "-",
               input="\n".join(["table ip many {", "chain many {", *lines, "}", "}\n"]))


# --- Frames

FOREIGN_MAC = bytes.fromhex("020000000077")
BROADCAST = b"\xff" * 6
MARK = 0x88b5  # an Ethernet type for experiments (IEEE 802)
ARP = 0x0806


def frame_socket(namespace, link=None, kind=0):
    """Gets frames of that type from the link; without one it sends only, to links that are named
    when it does."""
    with namespace.entered():
        frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        if link:
            frames.bind((link, kind))
    return frames


def marked(source, target=BROADCAST):
    return target + source + struct.pack("!H", MARK) + bytes(46)


def arp_claim(source, address):
    """An answer to everybody: this address has that MAC."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
    own = ipaddress.ip_address(address).packed
    return BROADCAST + source + struct.pack("!H", ARP) + body + source + own + BROADCAST + own + \
        bytes(18)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def udp_packet(macs, source, target, port, text):
    """A frame between (target, source) MACs with a datagram of IPv4."""
    datagram = struct.pack("!HHHH", 1024, port, 8 + len(text), 0) + text
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17)
    return b"".join([*macs, b"\x08\x00", head,
                     struct.pack("!H", checksum(head + b"\0\0" + addresses)), addresses, datagram])


# What shows in a host that believed one of the advertisements.
BAD_PREFIX = "fd00:bad"
BAD_HOPS = 77
BAD_ROUTER = "fe80::bad:1"


def router_advertisement():
    """RFC 4861, section 4.2: a default router, with a prefix for addresses, a route (RFC 4191), an
    MTU and a server of names (RFC 8106)."""
    prefix = ipaddress.ip_address(f"{BAD_PREFIX}::").packed
    options = [struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 86400, 14400, 0) + prefix,
               struct.pack("!BBBBI", 24, 3, 48, 0, 86400) + prefix,
               struct.pack("!BBHI", 5, 1, 0, 1280),
               struct.pack("!BBHI", 25, 3, 0, 86400) + prefix]
    body = struct.pack("!BBHII", BAD_HOPS, 0, 1800, 0, 0) + b"".join(options)
    addresses = ipaddress.ip_address(BAD_ROUTER).packed + ipaddress.ip_address("ff02::1").packed
    pseudo = addresses + struct.pack("!II", len(body) + 4, 58)
    message = struct.pack("!BBH", 134, 0, checksum(pseudo + b"\x86\0\0\0" + body)) + body
    return b"".join([bytes.fromhex("333300000001"), FOREIGN_MAC, b"\x86\xdd",
                     struct.pack("!IHBB", 0x60000000, len(message), 58, 255), addresses, message])


class Flood:
    """Frames out of eth0, again and again, from before there is one; `sent` counts them."""

    PAUSE = 0.0005

    def __init__(self, inside, *frames):
        self.socket = frame_socket(inside)
        self.frames = frames
        self.sent = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        while not self.over.is_set():
            for frame in self.frames:
                # There is no interface yet, or none any more; or its queue is full.
                with contextlib.suppress(OSError):
                    self.socket.sendto(frame, ("eth0", 0))
                    self.sent += 1
            time.sleep(self.PAUSE)

    def wait_for(self, more):
        """Until so many more are sent, or it is clear that none will be."""
        end, limit = self.sent + more, time.monotonic() + 5
        while self.sent < end and time.monotonic() < limit:
            time.sleep(0.001)
        if self.sent < end:
            raise RuntimeError("no frames can be sent")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.socket.close()


def mac_of(namespace, link):
    with frame_socket(namespace, link) as any_socket:
        return any_socket.getsockname()[4]


def sources_before(last, frames):
    """The MACs of the senders of what has arrived before a frame; raises if that does not come."""
    found = set()
    frames.settimeout(5)
    try:
        while (frame := frames.recv(2048)) != last:
            found.add(frame[6:12].hex(":"))
    except TimeoutError as late:
        raise RuntimeError(f"frames arrive from {found}, and not the last one") from late
    return found


# --- The host's own services

class PrivateService:
    """Listens on an address of loopback, with UDP and TCP."""

    PORT = 7000

    def __init__(self, namespace):
        with namespace.entered():
            self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for each in (self.datagrams, self.stream):
            each.bind(("127.0.0.1", self.PORT))
        self.stream.listen()

    def heard(self):
        """All datagrams that come within a moment."""
        found = []
        self.datagrams.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while True:
                found.append(self.datagrams.recv(2048).decode())
        return found

    def close(self):
        self.datagrams.close()
        self.stream.close()


def reach_loopback(inside, gateway, own):
    """Whatever it sends to 127.0.0.1 leaves the container."""
    inside.set_sysctl("net/ipv4/conf/all/route_localnet", 1)
    inside.batch("address del 127.0.0.1/8 dev lo",
                 f"route replace 127.0.0.1/32 via {gateway} dev eth0 src {own}")


def connects(inside, port):
    """Whether a service at 127.0.0.1 answers."""
    with inside.entered(), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(0.4)
        return client.connect_ex(("127.0.0.1", port)) == 0


def send_datagram(inside, port, text):
    with inside.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(text.encode(), ("127.0.0.1", port))


def send_frames(inside, *frames):
    with frame_socket(inside) as out:
        for frame in frames:
            out.sendto(frame, ("eth0", 0))
