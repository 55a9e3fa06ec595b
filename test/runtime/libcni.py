"""The real libcni, by way of libcni_driver.go."""

import dataclasses
import json
import os
import pathlib

from host import run, run_in

_SOURCE = pathlib.Path(__file__).resolve().parent / "libcni_driver.go"


@dataclasses.dataclass(frozen=True)
class Attachment:
    netns: pathlib.Path
    container_id: str
    ifname: str = "eth0"
    capabilities: dict = dataclasses.field(default_factory=dict)


def build_driver(driver):
    """Builds it from the libraries of Debian's packages, with a cache beside it."""
    driver.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode",
                   "GOCACHE": str(driver.parent / "go-cache"), "GOFLAGS": "", "CGO_ENABLED": "0"}
    run(["go", "build", "-o", driver, _SOURCE], timeout=300, env=environment)


class Libcni:
    """Operations on the network of one list, as seen from the namespace of one host."""

    def __init__(self, driver, conf, host, plugins="/opt/cni/bin"):
        self._words = [driver, "-conf", conf, "-path", plugins]
        self._host = host

    def _run(self, operation, attachment):
        words = [*self._words, "-netns", attachment.netns, "-id", attachment.container_id,
                 "-ifname", attachment.ifname]
        if attachment.capabilities:
            words += ["-capabilities", json.dumps(attachment.capabilities)]
        return run_in(self._host, [*words, operation])

    def add(self, attachment):
        return json.loads(self._run("add", attachment))

    def check(self, attachment):
        self._run("check", attachment)

    def delete(self, attachment):
        self._run("del", attachment)

    def validate(self):
        """Whether all plugins are there and speak the version of the list."""
        run_in(self._host, [*self._words, "validate"])


class Cnictl:
    """The same by our own runtime."""

    def __init__(self, program, conf, host, plugins="/opt/cni/bin"):
        self._program = program
        self._conf = pathlib.Path(conf)
        self._name = json.loads(self._conf.read_text())["name"]
        self._host = host
        self._plugins = str(plugins)

    def _run(self, operation, attachment):
        environment = {**os.environ, "CNI_PATH": self._plugins, "CNI_IFNAME": attachment.ifname,
                       "NETCONFPATH": str(self._conf.parent)}
        if attachment.capabilities:
            environment["CAP_ARGS"] = json.dumps(attachment.capabilities)
        return run_in(self._host,
                      [self._program, operation, "--json", "--container-id",
                       attachment.container_id, self._name, attachment.netns],
                      env=environment)

    def add(self, attachment):
        return json.loads(self._run("add", attachment))

    def check(self, attachment):
        self._run("check", attachment)

    def delete(self, attachment):
        self._run("del", attachment)
