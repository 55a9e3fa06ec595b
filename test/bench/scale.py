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
        for turn in range(SAMPLES + 1):
            container = twins.Namespace(f"x{next(Host.numbers)}")
            for verb in ("ADD", "DEL"):
                costs = sum(self.host.run(verb, number, container.path), Cost())
                costs.processor += self.lab.settle()
                if turn > 0:
                    taken[verb].append(costs)
            container.remove()
        return {verb: {"wall": median(one.wall for one in costs) * 1000,
                       "processor": median(one.processor for one in costs) * 1000}
                for verb, costs in taken.items()}

    def add_foreign_rules(self, count):
        """Rules of somebody else's in table nat, in chains as kube-proxy has them."""
        lines = ["*nat", ":KUBE-SVC - [0:0]", "-A PREROUTING -j KUBE-SVC"]
        lines += [f"-A KUBE-SVC -d 172.{16 + number // 65536}.{number // 256 % 256}.{number % 256}"
                  " -p tcp -m tcp --dport 443 -j RETURN" for number in range(count)]
        with self.host.host.entered():
            multi = f"{self.host.directory}/iptables-restore"
            twins.run(multi, "--noflush", input="\n".join([*lines, "COMMIT", ""]))

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
        node.add_foreign_rules(rules)
        by_rules[rules] = node.sample()
        node.remove()
        found[store] = {"attachments": by_size, "foreign rules": by_rules}
    return found
