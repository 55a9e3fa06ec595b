"""What the kernel has in the network namespace of this thread, asked by netlink: as lines, apart
from what changes by itself, such as indexes, counters, timers and operational state.

ip(8) and tc(8) say the same, but tests ask so often that to start these is most of what they do.
Numbers are those of linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h, neighbour.h, fib_rules.h,
pkt_sched.h, netfilter/nfnetlink.h and netfilter/nf_tables.h.
"""

import fcntl
import os
import socket
import struct

NLMSG_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
ATTRIBUTE = struct.Struct("=HH")        # length, type
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x1, 0x300, 0x10
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_TYPE_MASK = 0x3fff
RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH, RTM_GETRULE, RTM_GETQDISC = \
    18, 22, 26, 30, 34, 38
IFINFO, IFADDR, RTMSG, NDMSG, RULE, TCMSG, NEXTHOP = map(struct.Struct, (
    "=BxHiII", "=BBBBI", "=BBBBBBBBI", "=BxxxiHBB", "=BBBBBxxBI", "=BxxxiIII", "=HBBi"))

# ip(8) shows them in this order.
FLAGS = {0x8: "LOOPBACK", 0x2: "BROADCAST", 0x10: "POINTOPOINT", 0x1000: "MULTICAST", 0x80: "NOARP",
         0x200: "ALLMULTI", 0x100: "PROMISC", 0x400: "MASTER", 0x800: "SLAVE", 0x1: "UP"}
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
PROTOCOLS = {0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 9: "ra"}
TYPES = {1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole",
         7: "unreachable", 8: "prohibit", 9: "throw"}
TABLES = {253: "default", 254: "main", 255: "local"}
BRIDGE = {7: "vlan_filtering", 5: "stp_state", 4: "ageing_time", 9: "group_fwd_mask",
          23: "mcast_snooping"}
PORT = {4: "hairpin", 33: "isolated", 8: "learning", 9: "flood", 5: "guard", 6: "root_block",
        7: "fastleave"}
IFLA_AF_SPEC = 26
# IFLA_INET_CONF, IFLA_INET6_CONF
IFLA_CONF = {socket.AF_INET: 1, socket.AF_INET6: 2}
RTM_F_CLONED = 0x200
NTF_PROXY = 0x8
NUD_NOARP, NUD_PERMANENT = 0x40, 0x80


def seen():
    """{section: [line]}"""
    with _route_socket() as route:
        links = _links(route)
        names = {index: text(found[3]) for index, _, found in links}
        return {"links": sorted(line for _, flags, found in links
                                for line in _link(flags, found, names)),
                "addresses": _lines(_address, names, dump(route, RTM_GETADDR, IFADDR)),
                "routes": _lines(_route, names, dump(route, RTM_GETROUTE, RTMSG)),
                "policies": [_policy(*header) for header in dump(route, RTM_GETRULE, RULE)],
                "qdiscs": _lines(_qdisc, names, dump(route, RTM_GETQDISC, TCMSG))}


def other_ends():
    """Of the links of this namespace that have another end: {name: index of that}."""
    with _route_socket() as route:
        return {text(found[3]): number(found[5]) for _, _, found in _links(route) if 5 in found}


def settings():
    """{link: {address family: its sysctls, as a value that is good for nothing but to be compared}}
    """
    with _route_socket() as route:
        return {text(found[3]): {family: bytes(attributes(spec)[conf])
                                 for family, spec in _attributes(found.get(IFLA_AF_SPEC, b""))
                                 for conf in [IFLA_CONF.get(family)] if conf in attributes(spec)}
                for _, _, found in _links(route)}


def neighbours():
    """Those whose MAC is known, as (line, whether it stays until somebody deletes it)."""
    with _route_socket() as route:
        names = {index: text(found[3]) for index, _, found in _links(route)}
        return [(line(dev=names.get(index), to=address(found[1]), mac=mac(found[2])),
                 bool(state & NUD_PERMANENT))
                for _, index, state, _, _, rest in dump(route, RTM_GETNEIGH, NDMSG)
                for found in [attributes(rest)] if 2 in found and not state & NUD_NOARP]


def proxies():
    """The neighbours that this host answers for."""
    with _route_socket() as route:
        names = {index: text(found[3]) for index, _, found in _links(route)}
        return [line(dev=names.get(index), to=address(attributes(rest)[1]))
                for _, index, _, _, _, rest in dump(route, RTM_GETNEIGH, NDMSG,
                                                    (0, 0, 0, NTF_PROXY, 0))]


def _route_socket():
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)


def _links(route):
    """[(index, flags, attributes)]"""
    return [(index, flags, attributes(rest))
            for _, _, index, flags, _, rest in dump(route, RTM_GETLINK, IFINFO)]


def _lines(describe, names, objects):
    return sorted(filter(None, (describe(names, *one) for one in objects)))


NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES = 12, 10
NFGENMSG = struct.Struct("=BBH")  # family, version, resource
NFT_MSG_GETSET, NFT_MSG_GETSETELEM = 10, 13
NFTA_SET_TABLE, NFTA_SET_NAME, NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET = 1, 2, 1, 2
# What is dumped of all tables: {NFT_MSG_GET*: the attributes that are numbers of the kernel's own}
NFT_OBJECTS = {1: (4,), 4: (2,), 7: (3, 6), NFT_MSG_GETSET: (16,), 19: (6,), 23: (5,)}


def nft_content():
    """All that is in nf_tables, as a value that is good for nothing but to be compared."""
    found = []
    with _netfilter_socket() as netfilter:
        for kind, numbers in NFT_OBJECTS.items():
            for family, _, _, rest in _dump_nft(netfilter, kind):
                held = [(at, bytes(value)) for at, value in _attributes(rest) if at not in numbers]
                found.append((kind, family, *held))
                if kind == NFT_MSG_GETSET:
                    held = dict(held)
                    found += [(family, bytes(elements)) for _, _, _, elements in _dump_nft(
                        netfilter, NFT_MSG_GETSETELEM, (family, 0, 0),
                        _attribute(NFTA_SET_ELEM_LIST_TABLE, held[NFTA_SET_TABLE]) +
                        _attribute(NFTA_SET_ELEM_LIST_SET, held[NFTA_SET_NAME]))]
    return tuple(found)


def _netfilter_socket():
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)


def _dump_nft(netfilter, kind, fields=None, more=b""):
    return dump(netfilter, NFNL_SUBSYS_NFTABLES << 8 | kind, NFGENMSG, fields, more)


def _attribute(kind, value):
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
IFREQ = struct.Struct("=16sh22x")


def set_up(name):
    """A link of this namespace: netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = fcntl.ioctl(any_socket, SIOCGIFFLAGS, IFREQ.pack(name.encode(), 0))
        flags = IFREQ.unpack(asked)[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, IFREQ.pack(name.encode(), flags | IFF_UP))


def dump(netlink, kind, header, fields=None, more=b""):
    """The objects of a kind: the fields of the header, and the bytes behind it. Those of the
    request choose among them."""
    fields = fields or (0,) * len(header.unpack(bytes(header.size)))
    while True:
        netlink.send(NLMSG_HEADER.pack(NLMSG_HEADER.size + header.size + len(more), kind,
                                       NLM_F_REQUEST | NLM_F_DUMP, 0, 0) +
                     header.pack(*fields) + more)
        objects, whole, done = [], True, False
        while not done:
            answer = memoryview(netlink.recv(1 << 17))
            while answer:
                length, message, flags, _, _ = NLMSG_HEADER.unpack_from(answer)
                body = answer[NLMSG_HEADER.size:length]
                whole = whole and not flags & NLM_F_DUMP_INTR
                if message == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    raise OSError(code, f"dump {kind}: {os.strerror(code)}")
                if message == NLMSG_DONE:
                    done = True
                    break
                objects.append((*header.unpack_from(body), body[header.size:]))
                answer = answer[_aligned(length):]
        if whole:  # nothing has changed meanwhile
            return objects


def attributes(data):
    """{type: bytes}, of those of one type the last."""
    return dict(_attributes(data))


def _attributes(data):
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        yield kind & NLA_TYPE_MASK, data[ATTRIBUTE.size:length]
        data = data[_aligned(length):]


def _aligned(length):
    return (length + 3) & ~3


def number(data):
    return int.from_bytes(data, "little")


def text(data):
    return bytes(data).rstrip(b"\0").decode()


def mac(data):
    return bytes(data).hex(":")


def address(data):
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)


def line(**fields):
    return " ".join(f"{key}={value}" for key, value in fields.items()
                    if value not in (None, [], ""))


def _link(flags, found, names):
    name, info = text(found[3]), attributes(found.get(18, b""))
    kind = text(info.get(1, b""))
    fields = {"kind": kind, "mac": mac(found.get(1, b"")),
              "flags": ",".join(word for bit, word in FLAGS.items() if flags & bit),
              "mtu": number(found[4]), "alias": text(found.get(20, b"")),
              "txqlen": number(found[13]) or None, "promiscuity": number(found[30])}
    if 10 in found:
        fields["master"] = names.get(number(found[10]))
    if kind == "bridge":
        data = attributes(info[2])
        fields |= {word: number(data[at]) for at, word in BRIDGE.items() if at in data}
    if text(info.get(4, b"")) == "bridge":
        data = attributes(info[5])
        fields |= {word: number(data[at]) for at, word in PORT.items() if at in data}
    return [f"{name} {key}={value}" for key, value in fields.items() if value not in (None, "")]


def _address(names, _, prefix_length, __, scope, index, rest):
    found = attributes(rest)
    local = address(found.get(2, found[1]))
    if local.startswith("fe80:"):  # the kernel made it
        return None
    return line(dev=names.get(index), local=local, prefixlen=prefix_length,
                peer=address(found[1]) if 2 in found and found[1] != found[2] else None,
                broadcast=address(found[4]) if 4 in found else None, scope=SCOPES[scope],
                label=text(found.get(3, b"")))


def _route(names, family, length, source_length, tos, table, protocol, scope, kind, flags, rest):
    found = attributes(rest)
    table = number(found.get(15, bytes([table])))
    to = address(found[1]) if 1 in found else "default"
    # Link-local and multicast of IPv6, and the table local, follow from the rest.
    if flags & RTM_F_CLONED or TABLES.get(table) == "local" or \
            TYPES.get(kind) in ("multicast", "anycast") or \
            to.startswith(("fe80:", "ff00:", "ff02:")):
        return None
    return line(**_hop(names, found), dst=f"{to}/{length}" if 1 in found else to,
                family=4 if family == socket.AF_INET else 6,
                source=f"{address(found[2])}/{source_length}" if 2 in found else None,
                tos=tos or None, metric=number(found.get(6, b"")) or None,
                prefsrc=address(found[7]) if 7 in found else None,
                metrics=[(at, number(value)) for at, value in _attributes(found.get(8, b""))],
                table=TABLES.get(table, table), protocol=PROTOCOLS.get(protocol, protocol),
                scope=SCOPES.get(scope, scope), type=TYPES.get(kind, kind),
                nexthops=sorted(line(**hop) for hop in _hops(names, found.get(9, b""))))


def _hop(names, found):
    return {"dev": names.get(number(found[4])) if 4 in found else None,
            "gateway": address(found[5]) if 5 in found else None,
            "via": address(found[18][2:]) if 18 in found else None}


def _hops(names, data):
    while len(data) >= NEXTHOP.size:
        length, _, weight, index = NEXTHOP.unpack_from(data)
        hop = _hop(names, attributes(data[NEXTHOP.size:length]))
        yield {**hop, "dev": names.get(index), "weight": weight}
        data = data[_aligned(length):]


def _policy(family, to_length, from_length, _, table, action, flags, rest):
    """Attributes by their numbers: nothing of ours makes such rules."""
    found = sorted((kind, bytes(value).hex()) for kind, value in _attributes(rest))
    return line(family=4 if family == socket.AF_INET else 6, to=to_length, source=from_length,
                table=TABLES.get(table, table), action=action, flags=flags, attributes=found)


def _qdisc(names, _, index, __, parent, ___, rest):
    """The handle of a root is a number that the kernel counts up."""
    found = attributes(rest)
    kind = text(found[1])
    if kind == "noqueue":  # made by the kernel itself
        return None
    return line(dev=names.get(index, index), kind=kind, parent=f"{parent:x}",
                options=bytes(found.get(2, b"")).hex())
