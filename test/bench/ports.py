"""What portmap costs with many host ports on the host: those of one container, and one more."""

from lab import Chain, Cost, Host, STORES, median
import twins

COUNT = 10_000
SAMPLES = 7
FIRST_PORT = 2000


def mappings(count):
    # All to one port, so that no two are neighbours that one rule could serve.
    return [{"hostPort": FIRST_PORT + at, "containerPort": 80, "protocol": "tcp"}
            for at in range(count)]


def portmap(host, verb, number, netns, ports):
    """Milliseconds of portmap, the second plugin of the chain."""
    host.mappings = ports
    costs = host.run(verb, number, netns)
    cost = costs[0 if verb == "DEL" else 1] + Cost(0.0, host.lab.settle())
    return cost.wall * 1000


def measure(lab, folder, quick):
    """{store: {"ports", "ADD of them", ...}}, in milliseconds."""
    count = COUNT // 50 if quick else COUNT
    found = {}
    for store in STORES:
        host = Host(lab, "ours", folder, Chain("bridge + portmap", store))
        many, one = (twins.Namespace(f"x{next(Host.numbers)}") for _ in range(2))
        samples = {}

        def take(what, verb, number, netns, ports, host=host, samples=samples):
            samples.setdefault(what, []).append(portmap(host, verb, number, netns, ports))

        few = [{"hostPort": 1024, "containerPort": 80, "protocol": "tcp"}]
        for _ in range(SAMPLES):
            take("ADD alone", "ADD", 1, one.path, few)
            take("DEL alone", "DEL", 1, one.path, few)
        take("ADD of all", "ADD", 0, many.path, mappings(count))
        for _ in range(SAMPLES):
            take("ADD beside", "ADD", 1, one.path, few)
            take("DEL beside", "DEL", 1, one.path, few)
        take("DEL of all", "DEL", 0, many.path, mappings(count))
        found[store] = {"ports": count, **{what: median(taken) for what, taken in samples.items()}}
        host.remove()
        many.remove()
        one.remove()
    return found
