"""What one more ADD and its DEL cost with so many attachments in place, and with rules of others;
and what the floor costs there.
"""

from lab import Chain, Cost, Host, STORES, median
import twins
import verbs

SIZES = (1, 100, 1000, 5000)
# In the legacy store each call reads and writes the rules of all.
SIZES_OF_LEGACY = (1, 100, 1000)
INTERFACES_OF_A_CONTAINER = 50
FOREIGN_RULES = 50_000
SAMPLES = 15


class Node:
    """A host that fills up."""

    def __init__(self, lab, folder, store, floor):
        self.lab = lab
        self.host = Host(lab, "ours", folder, Chain("bridge + portmap", store))
        self.floor = floor
        verbs.prepare_floor_rules(self.host.host, self.host.chain)
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
        """{subject: {verb: medians in milliseconds, wall and processor}}."""
        taken = {subject: {"ADD": [], "DEL": []} for subject in ("ours", "floor")}
        number = self.attachments
        containers = [twins.Namespace(f"x{next(Host.numbers)}") for _ in range(2 * SAMPLES + 2)]
        for turn, (container, fresh) in enumerate(zip(containers[::2], containers[1::2])):
            for verb in ("ADD", "DEL"):
                cost = sum(self.host.run(verb, number, container.path), Cost())
                cost.processor += self.lab.settle()
                if turn > 0:
                    taken["ours"][verb].append(cost)
            for verb in ("ADD", "DEL"):
                with self.host.host.entered():
                    _, cost = self.lab.measure(
                        [self.floor, verb, self.host.chain.name, fresh.path, str(turn)], "", {})
                if turn > 0:
                    taken["floor"][verb].append(cost)
        # The kernel needs its lock of interfaces for a while to take namespaces away.
        for container in containers:
            container.remove()
        return {subject: {verb: {"wall": median(one.wall for one in costs) * 1000,
                                 "processor": median(one.processor for one in costs) * 1000}
                          for verb, costs in by_verb.items()}
                for subject, by_verb in taken.items()}

    def remove(self):
        self.host.remove()
        for container in self.containers:
            container.remove()


def measure(lab, folder, floor, quick):
    """{store: {"attachments": {size: what sample() returns}, "foreign rules": the same by their
    number}}."""
    found = {}
    for store in STORES:
        sizes = SIZES_OF_LEGACY if store == "iptables-legacy" else SIZES
        node = Node(lab, folder, store, floor)
        by_size = {}
        for size in sizes[:2] if quick else sizes:
            node.fill(size)
            by_size[size] = node.sample()
        node.remove()
        node = Node(lab, folder, store, floor)
        node.fill(2)
        by_rules = {0: node.sample()}
        rules = FOREIGN_RULES // 50 if quick else FOREIGN_RULES
        node.host.add_foreign_rules(rules)
        by_rules[rules] = node.sample()
        node.remove()
        found[store] = {"attachments": by_size, "foreign rules": by_rules}
    return found
