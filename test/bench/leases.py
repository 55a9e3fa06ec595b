"""What host-local costs with so many addresses given away."""

import json
import os
import pathlib
import subprocess
import tempfile

from lab import NETWORK, VERSION, median

SIZES = (10, 1000, 10_000, 65_000)
SAMPLES = 15


class Pool:
    """The state of host-local, with leases of others in it."""

    def __init__(self, lab, name, folder, size):
        self.lab = lab
        self.plugin = f"{folder}/host-local"
        self.directory = tempfile.mkdtemp(dir="/mnt")
        self.config = json.dumps({
            "cniVersion": VERSION, "name": NETWORK, "type": "bridge",
            "ipam": {"type": "host-local", "dataDir": self.directory,
                     "ranges": [[{"subnet": "10.0.0.0/16"}]]}})
        leases = pathlib.Path(self.directory, NETWORK)
        leases.mkdir()
        for number in range(2, size + 2):
            address = f"10.0.{number // 256}.{number % 256}"
            leases.joinpath(address).write_text(f"{name}{number}\r\neth0", encoding="ascii")
        leases.joinpath("last_reserved_ip.0").write_text(address, encoding="ascii")

    def sample(self, verb):
        """Milliseconds."""
        _, cost = self.lab.measure([self.plugin], self.config, {
            "CNI_COMMAND": verb, "CNI_CONTAINERID": "one-more", "CNI_NETNS": "/run/netns/none",
            "CNI_IFNAME": "eth0", "CNI_PATH": os.path.dirname(self.plugin)})
        return cost.wall * 1000

    def remove(self):
        subprocess.run(["rm", "-rf", self.directory], check=True)


def measure(lab, folders, quick):
    """{suite: {leases: {verb: milliseconds}}}."""
    found = {name: {} for name in folders}
    for size in SIZES[:2] if quick else SIZES:
        pools = {name: Pool(lab, name, folder, size) for name, folder in folders.items()}
        samples = {name: {"ADD": [], "DEL": []} for name in folders}
        for turn in range(SAMPLES + 1):
            for name, pool in pools.items():
                for verb in ("ADD", "DEL"):
                    taken = pool.sample(verb)
                    if turn > 0:
                        samples[name][verb].append(taken)
        for name, pool in pools.items():
            found[name][size] = {verb: median(taken) for verb, taken in samples[name].items()}
            pool.remove()
    return found
