"""Hosts and containers as network namespaces, suites of plugins that act on them, and what the
kernel has afterwards: to compare suites with each other.

Everything is in namespaces of this process, which isolate() makes first of all.
"""

import concurrent.futures
import contextlib
import ctypes
import functools
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import netlink

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MNT_DETACH = 2
THIS_NAMESPACE = "/proc/thread-self/ns/net"


def isolate():
    """Starts this script again where nothing it does reaches the machine: new network, mount and
    process namespaces, which end with it, and tmpfs where plugins keep state."""
    if os.environ.get("CNI_TEST_ISOLATED") != "1":
        arguments = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
                     "--mount-proc", sys.executable, *sys.argv]
        os.execvpe(arguments[0], arguments, {**os.environ, "CNI_TEST_ISOLATED": "1"})
    # The first process of a process namespace, and unshare(1), are deaf to it otherwise.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    _go_on_below_an_init()
    mount_state()


def _go_on_below_an_init():
    """This script goes on in a child; until that ends, the first process of the process namespace
    takes away what was left to it, as on every host."""
    script = os.fork()
    if script == 0:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the script has been told as well
    while True:
        process, status = os.wait()
        if process == script:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def isolate_worker():
    """The same once more for a process that works beside others of this script."""
    # Python's way of handling it can be late: a pool would wait for ever for a worker to end.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _must(LIBC.unshare(CLONE_NEWNS | CLONE_NEWNET), "unshare")
    mount_state()


def mount_state():
    """tmpfs where plugins keep state, and namespaces their names."""
    for directory in ("/run", "/var/lib/cni", "/mnt"):
        os.makedirs(directory, exist_ok=True)
        run("mount", "-t", "tmpfs", "none", directory)
    os.makedirs("/run/netns")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


class Namespace:
    """A network namespace with lo up, at `path` as runtimes name it."""

    def __init__(self, name):
        self.path = f"/run/netns/{name}"
        pathlib.Path(self.path).touch(exist_ok=False)
        with _coming_back():
            _must(LIBC.unshare(CLONE_NEWNET), "unshare")
            _must(LIBC.mount(THIS_NAMESPACE.encode(), self.path.encode(), None, MS_BIND, None),
                  f"mount {self.path}")
            netlink.set_up("lo")

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is in this namespace."""
        with _coming_back(), open(self.path, "rb") as there:
            _set_namespace(there)
            yield

    def run(self, *command, **options):
        with self.entered():
            return run(*command, **options)

    def batch(self, *lines):
        """Commands of ip(8), in one run of it."""
        if lines:
            self.run("ip", "-batch", "-", input="\n".join(lines) + "\n")

    def set_sysctl(self, name, value):
        with self.entered():
            pathlib.Path("/proc/sys", name).write_text(str(value), encoding="ascii")

    def remove(self):
        """As ip(8) does, but in a moment."""
        _must(LIBC.umount2(self.path.encode(), MNT_DETACH), f"umount {self.path}")
        os.unlink(self.path)


@contextlib.contextmanager
def _coming_back():
    """The calling thread is where it was again afterwards."""
    with open(THIS_NAMESPACE, "rb") as back:
        try:
            yield
        finally:
            _set_namespace(back)


def _set_namespace(file):
    _must(LIBC.setns(file.fileno(), CLONE_NEWNET), f"setns {file.name}")


def _must(status, attempt):
    if status != 0:
        raise OSError(ctypes.get_errno(), attempt)


class Outcome:
    """Of a plugin's run: `status`, `json` (None if stdout is none), `stderr`."""

    def __init__(self, done):
        self.status = done.returncode
        self.stdout = done.stdout
        self.stderr = done.stderr
        try:
            self.json = json.loads(done.stdout) if done.stdout.strip() else None
        except json.JSONDecodeError:
            self.json = None

    @property
    def code(self):
        """The error's code, None after success."""
        if self.status == 0:
            return None
        return self.json.get("code") if isinstance(self.json, dict) else "no error JSON"

    def __str__(self):
        answer = json.dumps(self.json) if self.json is not None else self.stdout.strip()
        return f"{self.status} {answer} {self.stderr.strip()}"


class Suite:
    """The plugins of a folder."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = os.path.abspath(folder)

    def call(self, verb, config, host, container_id, netns, ifname="eth0", cni_args="", path=None,
             under=(), more=None, timeout=60):
        """Runs the plugin `config["type"]` in the namespace `host`, with `path` as PATH, by the
        command `under`, with `more` variables, for at most `timeout` seconds. `config` may be text,
        then it is given as it is, and names no plugin: (plugin, text)."""
        plugin, text = (config["type"], json.dumps(config)) if isinstance(config, dict) else config
        environment = {"PATH": path or os.environ["PATH"], "CNI_COMMAND": verb,
                       "CNI_CONTAINERID": container_id, "CNI_NETNS": netns, "CNI_IFNAME": ifname,
                       "CNI_ARGS": cni_args, "CNI_PATH": self.folder, **(more or {})}
        with host.entered():
            done = subprocess.run([*under, os.path.join(self.folder, plugin)], input=text, text=True,
                                  capture_output=True, check=False, env=environment,
                                  timeout=timeout)
        return Outcome(done)


def state(namespace):
    """What the kernel has in a namespace, {section: [line]}, apart from what changes by itself."""
    with namespace.entered():
        return {**netlink.seen(), "sysctls": _sysctls()}


def neighbours(namespace):
    """Whose MAC is known, as lines; not in state(), since they come and go by themselves where
    there is traffic."""
    with namespace.entered():
        return sorted(line for line, _ in netlink.neighbours())


def fixed_neighbours(namespace):
    """Those that stay until somebody deletes them, and those that the host answers for."""
    with namespace.entered():
        return sorted([line for line, stays in netlink.neighbours() if stays] +
                      [f"proxy {line}" for line in netlink.proxies()])


# {what netlink.nft_content() says: how nft(8) lists it}: to start it takes longer than all else.
NFT_LISTINGS = {}


def rules(namespace):
    """The rule sets of all stores, as {section: [line]}; tables without a chain do not count."""
    with namespace.entered():
        content = netlink.nft_content()
        if content not in NFT_LISTINGS:
            NFT_LISTINGS[content] = [_without_counters(line)
                                     for line in run("nft", "list", "ruleset").splitlines()]
        found = {"nftables": NFT_LISTINGS[content]}
        for family in ("ip", "ip6"):
            saved = []
            # Whatever is not listed there would come to be by asking for it.
            names = pathlib.Path(f"/proc/net/{family}_tables_names")
            for table in names.read_text(encoding="ascii").split() if names.exists() else []:
                saved += [_without_counters(line) for line in
                          run(f"{family}tables-legacy-save", "-t", table).splitlines()
                          if not line.startswith("#")]
            found[f"{family}tables-legacy"] = saved
        return found


def files(directory):
    """Everything below a directory as {path: content}."""
    root = pathlib.Path(directory)
    return {str(path.relative_to(root)): path.read_text(encoding="utf-8", errors="replace")
            for path in sorted(root.rglob("*")) if path.is_file()}


def difference(before, after):
    """The lines that went and came, by section; empty if nothing did."""
    lines = []
    for section in sorted(set(before) | set(after)):
        old, new = before.get(section, []), after.get(section, [])
        lines += [f"{section}: - {line}" for line in old if line not in new]
        lines += [f"{section}: + {line}" for line in new if line not in old]
    return lines


# The kernel counts these by itself, or refuses to show them.
VOLATILE_SYSCTLS = ("stable_secret", "mc_forwarding", "mtu", "ioam6_id", "ioam6_id_wide")


@functools.cache
def _sysctl_names(family):
    """Of a link; the same for each, and in each namespace."""
    directory = f"/proc/sys/net/{family}/conf/default"
    return sorted(set(os.listdir(directory)) - set(VOLATILE_SYSCTLS)) \
        if os.path.isdir(directory) else []


def _sysctls():
    """Those of `all` and `default`, and where a link differs from `default`."""
    lines = [f"ipv4/ip_forward={_read('/proc/sys/net/ipv4/ip_forward')}"]
    links = netlink.settings()
    for number, family in ((socket.AF_INET, "ipv4"), (socket.AF_INET6, "ipv6")):
        common, default = _sysctls_of(family, "all"), _sysctls_of(family, "default")
        lines += [f"{family}/conf/all/{name}={value}" for name, value in common]
        for link, by_family in links.items():
            lines += [f"{family}/conf/{link}/{name}={value}"
                      for name, value in _sysctls_of(family, link, by_family.get(number))
                      if (name, value) not in default]
    return lines


# {(family, what netlink.settings() says): what files say}: to read hundreds of these takes long.
SYSCTLS = {}


def _sysctls_of(family, link, setting=None):
    """[(name, value)]; those that netlink does not show, three that say what to think of routers'
    advertisements, may be of another link."""
    known = SYSCTLS.get((family, setting)) if setting is not None else None
    if known is None:
        known = SYSCTLS[family, setting] = [
            (name, _read(f"/proc/sys/net/{family}/conf/{link}/{name}"))
            for name in _sysctl_names(family)]
    return known


def _read(path):
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            return os.read(file, 4096).decode("ascii").strip()
        finally:
            os.close(file)
    except OSError as error:
        return error.strerror


def _without_counters(line):
    if line.startswith(":"):
        return line.rsplit(" ", 1)[0]
    words = line.split(" ")
    if "counter" in words and "packets" in words:
        at = words.index("packets")
        del words[at:at + 4]
    return " ".join(words)


class Workplace:
    """A folder for one side, and numbers for namespaces, so that none is used twice."""

    numbers = itertools.count()

    def __init__(self):
        self.directory = tempfile.mkdtemp(dir="/mnt")
        self.host = Namespace(f"h{next(self.numbers)}")
        self.containers = []

    def container(self):
        self.containers.append(Namespace(f"c{next(self.numbers)}"))
        return self.containers[-1]

    def remove(self):
        for namespace in [self.host, *self.containers]:
            namespace.remove()
        shutil.rmtree(self.directory)


class StartingGate:
    """Lets commands begin at the same moment: as many as are `awaited`."""

    # Longer than it takes to start all of them.
    LIMIT = 60

    def __init__(self, awaited):
        self.awaited = awaited
        self.directory = tempfile.mkdtemp(dir="/mnt")
        self.arrived = pathlib.Path(self.directory, "arrived")
        self.arrived.touch()
        os.mkfifo(f"{self.directory}/gate")
        self.gate = os.open(f"{self.directory}/gate", os.O_RDWR)

    def command(self):
        """What to run a plugin under. An iterator: of several calls with it only the first waits.
        """
        script = 'printf . >>"$0/arrived"; read -r line <"$0/gate"; exec "$@"'
        return iter(("sh", "-c", script, self.directory))

    def open(self):
        end = time.monotonic() + self.LIMIT
        while self.arrived.stat().st_size < self.awaited and time.monotonic() < end:
            time.sleep(0.005)
        # Each takes one byte, who comes late as well.
        os.write(self.gate, b"\n" * self.awaited)

    def remove(self):
        os.close(self.gate)
        run("rm", "-rf", self.directory)


def at_once(jobs):
    """What these functions return; the first calls that they make under the command they are given
    begin at the same moment."""
    gate = StartingGate(len(jobs))
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        done = [pool.submit(job, gate.command()) for job in jobs]
        gate.open()
    gate.remove()
    return [each.result() for each in done]


def meanwhile(job, moment, act):
    """What this function returns, and what `act` does, which begins `moment` seconds later."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(job)
        time.sleep(moment)
        acted = act()
        return done.result(), acted


# Of a process that tries one case after the other: ours, then the reference suite.
SUITES = []


def start_worker(folders):
    isolate_worker()
    SUITES.extend(Suite(name, folder) for name, folder in zip(("ours", "theirs"), folders))


def flatten(document, path=""):
    """The leaves of a JSON document as lines "path=value"."""
    if isinstance(document, dict):
        return [line for key, value in document.items()
                for line in flatten(value, f"{path}.{key}")] or [f"{path}={{}}"]
    if isinstance(document, list):
        return [line for index, value in enumerate(document)
                for line in flatten(value, f"{path}[{index}]")] or [f"{path}=[]"]
    return [f"{path}={json.dumps(document)}"]


def left(before, after):
    """What is there after a failed ADD that was not there before, or the other way round. Settings
    that containers share may stay: forwarding, the bridge's own, the state of allocation."""
    return [line for line in difference(before, after) if not SHARED.search(line)]


SHARED_BUT_FILES = re.compile(r"""forwarding=|ip_forward=|/all/accept_redirects=
    |^host\ links:\ .\ (br0|cni0|br-x\.1)\ |^host\ sysctls:.*/accept_ra=
    |^host\ (routes|addresses):\ .\ dev=(br0|cni0|br-x\.1)\ """, re.VERBOSE)
SHARED = re.compile(SHARED_BUT_FILES.pattern + "|^files:", re.VERBOSE)
