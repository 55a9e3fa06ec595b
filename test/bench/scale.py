"""What one more ADD and its DEL cost with so many attachments in place, and with rules of others.
"""

from lab import Chain, Cost, Host, STORES, median
import twins

SIZES = (1, 100, 1000, 5000)
# The stores of iptables rules get slower with every rule, and it takes hours to fill them further.
SIZES_OF_IPTABLES = (1, 100, 1000)
INTERFACES_OF_A_CONTAINER = 50
FOREIGN_RULES = 50_000
SAMPLES = 15


class Node:
    """A host that fills up."""

    def __init__(self, lab, folder, store):
        self.lab = lab
        self.host = Host(lab, "ours", folder, Chain("bridge + portmap", store))
        self.containers = []
        self.attachments = 0

    def place(self, number):
        """(path of the namespace, name of the interface). Many share a container: 5,000 namespaces
        would measure these."""
        container, interface = divmod(number, INTERFACES_OF_A_CONTAINER)
        while len(self.containers) <= container:
            self.containers.append(twins.Namespace(f"x{next(Host.numbers)}"))
        return self.containers[container].path, f"eth{interface}"

    def fill(self, size):
        while self.attachments < size - 1:
            self.host.run("ADD", self.attachments, *self.place(self.attachments))
            self.attachments += 1

    def sample(self):
        """The median of an ADD and of its DEL, in milliseconds, wall and processor."""
        taken = {"ADD": [], "DEL": []}
        number = self.attachments
        containers = [twins.Namespace(f"x{next(Host.numbers)}") for _ in range(SAMPLES + 1)]
        for turn, container in enumerate(containers):
            for verb in ("ADD", "DEL"):
                costs = sum(self.host.run(verb, number, container.path), Cost())
                costs.processor += self.lab.settle()
                if turn > 0:
                    taken[verb].append(costs)
        # The kernel needs its lock of interfaces for a while to take namespaces away.
        for container in containers:
            container.remove()
        return {verb: {"wall": median(one.wall for one in costs) * 1000,
                       "processor": median(one.processor for one in costs) * 1000}
                for verb, costs in taken.items()}

    def remove(self):
        self.host.remove()
        for container in self.containers:
            container.remove()


def measure(lab, folder, quick):
    """{store: {"attachments": {size: {verb: cost}}, "foreign rules": the same by their number}}."""
    found = {}
    for store in STORES:
        sizes = SIZES if store == "nftables" else SIZES_OF_IPTABLES
        node = Node(lab, folder, store)
        by_size = {}
        for size in sizes[:2] if quick else sizes:
            node.fill(size)
            by_size[size] = node.sample()
        node.remove()
        node = Node(lab, folder, store)
        node.fill(2)
        by_rules = {0: node.sample()}
        rules = FOREIGN_RULES // 50 if quick else FOREIGN_RULES
        node.host.add_foreign_rules(rules)
        by_rules[rules] = node.sample()
        node.remove()
        found[store] = {"attachments": by_size, "foreign rules": by_rules}
    return found
