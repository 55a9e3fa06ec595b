#!/usr/bin/env python3
"""Gives plugins bad configurations, environments and delegates, and looks whether they refuse them
as they should, in time, within their memory, and with nothing changed.

  hostile_input_test.py PLUGINS REFERENCE [--all] [--row TEXT] [--plugin NAME]

The inputs and what has to come of them stand in hostile_rows.py. Of the plugins that a row is for,
one tries it without --all. What is refused has to be answered by exactly one JSON document, and
links, addresses, routes, neighbours, rules, queueing disciplines, sysctls and files have to be as
before; what is accepted has to be gone again after DEL. No secret of the configuration may show in
errors and logs.
"""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import re
import resource
import select
import signal
import subprocess
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import chains  # noqa: E402
import gates  # noqa: E402
import hostile_rows as rows  # noqa: E402
import twins  # noqa: E402
from chains import SUITES  # noqa: E402

MOST_MEMORY = 64 << 10  # KiB
# What takes more than this machine has would end others too. A program in Go asks for much more than
# it uses.
ADDRESS_SPACE = 2 << 30  # bytes
MOST_PATIENCE = 20
LONGEST_ERROR = 4096  # bytes; quoted values are cut
# Its events wait for each other a second at most (net/core/link_watch.c).
LINKWATCH = 5  # seconds
NAMES = ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS")
# Where plugins keep something.
FOLDERS = ("/var/lib/cni", "/run")


@dataclasses.dataclass
class Done:
    """What came of a plugin's run."""
    status: int  # negative: the signal
    stdout: bytes
    stderr: bytes
    seconds: float
    memory: int  # KiB, the most of the plugin or one of its delegates

    def __str__(self):
        return (f"status {self.status}, {self.seconds:.2f} s, {self.memory >> 10} MiB: "
                f"{self.stdout[:600]!r} {self.stderr[:300]!r}")


class Host:
    """A host and a container for the trials of a plugin, for as long as nothing is changed."""

    def __init__(self, suite, plugin):
        self.suite, self.plugin = suite, plugin
        self.place = twins.Workplace()
        self.folder = f"{self.place.directory}/data"
        self.fakes = f"{self.place.directory}/fakes"
        for directory in (self.folder, self.fakes):
            os.mkdir(directory)
        self.container = self.place.container()
        for namespace in (self.place.host, self.container):
            namespace.set_sysctl("net/ipv6/conf/default/accept_dad", 0)
        if plugin == "loopback":  # whose DEL sets it down
            self.container.run("ip", "link", "set", "lo", "down")
        self.ran = 0

    def remove(self):
        sleeper = pathlib.Path(self.fakes, "sleeper")
        if sleeper.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(sleeper.read_text(encoding="ascii")), signal.SIGKILL)
        self.place.remove()

    def concrete(self, text):
        """What stands for something by what it is here."""
        for token, value in ((rows.DATA, self.folder), (rows.NETNS, self.container.path),
                             (rows.HOST, self.place.host.path)):
            text = text.replace(token, value)
        return text

    def environment(self, row, verb):
        given = {"CNI_COMMAND": verb, "CNI_CONTAINERID": "one", "CNI_NETNS": self.container.path,
                 "CNI_IFNAME": "lo" if self.plugin == "loopback" else "eth0",
                 "CNI_ARGS": f"IgnoreUnknown=1;TOKEN={rows.CANARY}",
                 "CNI_PATH": f"{self.fakes}:{self.suite.folder}", "CNI_LOG": "debug",
                 "PATH": os.environ["PATH"], **row.env}
        return {key: self.concrete(value) for key, value in given.items() if value is not None}

    def write_input(self, row, text):
        """The path of a file with it; as chunks it is never in the memory of this process, which
        would count for the plugin's."""
        path = f"{self.place.directory}/input"
        given = row.text(text) if row.text else text.encode()
        with open(path, "wb") as file:
            for chunk in [given] if isinstance(given, bytes) else given:
                file.write(chunk)
        return path

    def run(self, row, verb, stdout=""):
        text = self.concrete(rows.config(self.plugin, row.change))
        out, err = (f"{self.place.directory}/{name}" for name in ("out", "err"))
        with open(self.write_input(row, text), "rb") as given, open(out, "wb") as to_out, \
                open(err, "wb") as to_err, self.place.host.entered(), started_as(row) as how:
            begin = time.monotonic()
            # pylint: disable-next=consider-using-with  # wait4() is what ends it
            process = subprocess.Popen(
                [*how.pop("under", ()), f"{self.suite.folder}/{self.plugin}"], stdin=given,
                stdout=to_out if not stdout else None, stderr=to_err, cwd=self.folder,
                env=self.environment(row, verb), start_new_session=True,
                **how, **leading(stdout))
            resource.prlimit(process.pid, resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
            status, usage = wait(process, self.patience(row) + 4)
            seconds = time.monotonic() - begin
        return Done(status, pathlib.Path(out).read_bytes(), pathlib.Path(err).read_bytes(), seconds,
                    usage.ru_maxrss)

    @staticmethod
    def patience(row):
        """How long the plugin may take, longer on a machine that has more to do than it can."""
        return row.seconds * min(MOST_PATIENCE, max(1, os.getloadavg()[0] / os.cpu_count()))

    def observe(self):
        seen = {}
        for name, namespace in (("host", self.place.host), ("container", self.container)):
            everything = twins.state(namespace) | twins.rules(namespace)
            everything["neighbours"] = twins.neighbours(namespace)
            seen |= {f"{name} {part}": lines for part, lines in everything.items()}
        for folder in (self.folder, *FOLDERS):
            seen[f"files of {os.path.basename(folder)}"] = tree(folder)
        return seen


def tree(root):
    """Everything below a folder, links not followed."""
    lines = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != "netns" or folder != "/run"]
        for name in sorted(folders + files):
            path = pathlib.Path(folder, name)
            small = path.is_file() and not path.is_symlink() and path.stat().st_size < 4096
            content = path.read_bytes() if small else b""
            lines.append(f"{path.relative_to(root)} {path.lstat().st_mode:o} {content!r}")
    return sorted(lines)


@contextlib.contextmanager
def started_as(row):
    """How a plugin is started, as options of Popen."""
    if row.process == "restricted":
        yield {"under": ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")}
    elif row.process == "inheritable":
        yield {"under": ("setpriv", "--inh-caps=+net_admin,+sys_admin",
                         "--ambient-caps=+net_admin")}
    elif row.process == "descriptors":
        with open("/etc/passwd", "rb") as one, open("/dev/null", "wb") as other:
            yield {"pass_fds": (one.fileno(), other.fileno())}
    elif row.process == "signals":
        yield {"restore_signals": False, "preexec_fn": block_signals}
    else:
        yield {}


def block_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGCHLD, signal.SIGTERM})
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def leading(stdout):
    """Where stdout leads, as options of Popen."""
    if stdout == "closed":
        return {"preexec_fn": functools.partial(os.close, 1)}
    if stdout == "full":
        return {"preexec_fn": functools.partial(_replace_stdout, "/dev/full")}
    if stdout == "gone":
        return {"preexec_fn": _break_stdout}
    return {}


def _replace_stdout(path):
    os.dup2(os.open(path, os.O_WRONLY), 1)


def _break_stdout():
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)


def wait(process, seconds):
    """Its status, as of Popen, and what it used. What takes too long is killed."""
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(1000 * seconds):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    finally:
        os.close(descriptor)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


class Failed(Exception):
    pass


def require(condition, *problem):
    if not condition:
        raise Failed(": ".join(str(part) for part in problem))


class Trial:
    """A row, tried on a plugin of a suite."""

    def __init__(self, row, host):
        self.row, self.host = row, host
        self.before = None
        self.changed = False  # whether the host can be used again

    def run(self):
        """(what is wrong with its conduct, what with its answer); None if nothing is."""
        conduct = answer = done = None
        try:
            if self.row.prepare:
                self.changed = True
                self.row.prepare(self.host)
            self.before = self.host.observe()
            if self.row.added:
                self.changed = True
                added = self.host.run(dataclasses.replace(self.row, env={}), "ADD")
                require(added.status == 0, "ADD fails", added)
            once = self.row.added or self.host.suite.name != "ours"
            for _ in range(1 if once else 3):
                done = self.host.run(self.row, self.row.verb, self.row.stdout)
                if self.in_time(done) or self.accepted(done):
                    break
            self.judge(done)
            answer = self.wrong_answer(done)
        except Failed as failure:
            self.changed = True
            conduct = f"{failure}\n      {done}"
        return conduct, answer and f"{answer}\n      {done}"

    def in_time(self, done):
        return done.seconds <= self.host.patience(self.row)

    def accepted(self, done):
        """Then it cannot be tried again."""
        return done.status == 0 and self.row.verb == "ADD"

    def judge(self, done):
        expected = self.row.expect
        require(done.status >= 0, "it was killed, or died by a signal", -done.status)
        require(self.in_time(done), "it took too long")
        require(done.memory <= MOST_MEMORY, "it took too much memory")
        require(rows.CANARY.encode() not in done.stderr, "a secret is in its log")
        if expected == "about":
            require(done.status == 0 and not done.stdout and b"CNI" in done.stderr, "no about text")
        elif expected == "unwritten":
            require(done.status == 1, "it did not fail")
        elif done.status == 0:
            wanted = expected if isinstance(expected, tuple) else (expected,)
            require(rows.ACCEPTED in wanted or expected is None and self.row.verb != "ADD",
                    "it was accepted")
            self.changed = True
            if self.row.verb == "ADD":
                self.judge_accepted(done)
            elif self.row.added:
                self.compare_after_delete()
            return
        else:
            require(expected != rows.ACCEPTED, "it was not accepted")
            self.judge_error(done)
        if self.row.added:
            self.compare_after_delete()
            return
        self.compare("changed", self.left(*([SETTINGS, KEPT] if self.row.late else [])))

    def judge_accepted(self, done):
        document = one_document(done.stdout)
        require(isinstance(document, dict) and document.get("cniVersion"), "no result")
        problem = self.row.check and self.row.check(self.host)
        require(not problem, problem)
        released = self.host.run(self.row, "DEL")
        require(released.status == 0, "DEL fails", released)
        self.compare_after_delete()

    def compare_after_delete(self):
        """The kernel forgets the neighbours of a link that has lost its carrier a little later
        (linkwatch)."""
        end = time.monotonic() + LINKWATCH
        while True:
            lines = self.left(twins.SHARED_BUT_FILES, KEPT)
            late = all(line.startswith("host neighbours: ") for line in lines)
            if not lines or not late or time.monotonic() > end:
                break
            time.sleep(0.02)
        self.compare("left after DEL", lines)

    def judge_error(self, done):
        require(done.status == 1, "an error is exit status 1")
        document = one_document(done.stdout)
        require(isinstance(document, dict) and isinstance(document.get("code"), int) and
                isinstance(document.get("msg"), str) and document["msg"], "no error")
        require(rows.CANARY.encode() not in done.stdout, "a secret is in its error")
        problem = self.row.check and self.row.check(self.host)
        require(not problem, problem)

    def left(self, *shared_may_stay):
        may_stay = [*shared_may_stay, *([THEIRS] if self.host.suite.name == "reference" else [])]
        return [line for line in twins.difference(self.before, self.host.observe())
                if not shared_may_stay or not any(one.search(line) for one in may_stay)]

    @staticmethod
    def compare(what, lines):
        require(not lines, "\n      ".join([f"{what}:", *lines[:12]]))

    def wrong_answer(self, done):
        """What is wrong with the words of an error."""
        if done.status != 1 or self.row.expect == "unwritten":
            return None
        document = json.loads(done.stdout)
        said = f"{document['msg']} {document.get('details', '')}"
        version = str(document.get("cniVersion"))
        # Theirs has none, ever.
        if not re.fullmatch(r"\d+\.\d+\.\d+", version) and self.host.suite.name == "ours":
            return "no cniVersion"
        wanted = self.row.expect if isinstance(self.row.expect, tuple) else (self.row.expect,)
        if self.row.expect is not None and document["code"] not in wanted:
            return f"the code is {document['code']}, not {self.row.expect}"
        missing = [word for word in self.row.says if word not in said]
        if missing:
            return f"it does not name {missing}"
        if len(done.stdout) > LONGEST_ERROR:
            return f"an error of {len(done.stdout)} bytes"
        return None


# What containers share and no ADD takes back.
SETTINGS = re.compile(r"^host sysctls: .*(forwarding|ip_forward|/all/accept_redirects)=")
# Of files: what is no lease but the book-keeping of a network.
KEPT = re.compile(r"""^files\ of\ \w+:\ .\ \S*
    (last_reserved_ip\.\d+|/lock|\.plumb(/\S*)?|state|state/[^/\s]+|networks|relative
    |cni(/plumb(/\S*\.lock)?)?)\ """, re.VERBOSE)
# Empty chains and jumps of theirs stay.
THEIRS = re.compile(r"""^host\ (nftables|ip6?tables-legacy):\ .\ (?!.*10\.1\.2\.|.*\bone\b)""",
                    re.VERBOSE)


def one_document(text):
    try:
        return json.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Failed(f"its answer is not one JSON document: {error}") from error


# Of a process that tries one row after the other: the host that can be used again, with what it is
# for.
READY = {}


def ready_host(suite, plugin):
    if READY.get("for") != (suite, plugin):
        drop_host()
        READY.update({"for": (suite, plugin), "host": Host(SUITES[suite], plugin)})
    return READY["host"]


def drop_host():
    host = READY.pop("host", None)
    READY.clear()
    if host:
        host.remove()


def try_one(task):
    """(task, what is wrong with its conduct, what with its answer)"""
    suite, plugin, row = task
    try:
        trial = Trial(ROWS[row], ready_host(suite, plugin))
        conduct, answer = trial.run()
        if trial.changed:
            drop_host()
        return task, conduct, answer
    except Exception:  # of the test itself
        drop_host()
        return task, traceback.format_exc(), None


def chosen(row, number, everything):
    """The plugins that try it."""
    return row.plugins if everything else [row.plugins[number % len(row.plugins)]]


ROWS = rows.all_rows()


# Text that others chose never becomes a command: no source calls one of these, or names a shell.
SHELLS = re.compile(r"""(?<![\w.>])(system|popen|wordexp|exec(l|le|lp|vp|vpe))\s*\(
    |"(/\w+)*/?(ba|da)?sh\"""", re.VERBOSE)

# An object of a thread that has a destructor: glibc aborts if it has no memory to note that.
THREAD_LOCAL = re.compile(r"\bthread_local\s+(?!(\w+(::\w+)*\*|bool|int|long)\s)[^;]*")


def scan_sources(told):
    root = pathlib.Path(__file__).parents[2]
    for folder in ("common", "plugins", "ipam"):
        for path in sorted(root.joinpath(folder).rglob("*")):
            if path.suffix in (".cpp", ".h"):
                text = path.read_text(encoding="utf-8")
                for promise, what, pattern in (
                        ("P8", "no shell in a source", SHELLS),
                        ("P14", "nothing to destroy at the end of a thread", THREAD_LOCAL)):
                    found = pattern.search(text)
                    told.tell(promise, what, "ours", found and found.group(),
                              path.relative_to(root))


def main():
    parser = gates.parser()
    parser.add_argument("--row", default="")
    parser.add_argument("--plugin", default="")
    arguments = parser.parse_args()
    twins.isolate()
    folders = {"ours": arguments.plugins, "reference": arguments.reference}
    tasks = [(suite, plugin, number) for suite, folder in folders.items()
             for number, row in enumerate(ROWS) if arguments.row in row.id
             for plugin in chosen(row, number, arguments.all or arguments.row)
             if arguments.plugin in plugin and os.path.exists(f"{folder}/{plugin}")]
    tasks.sort(key=lambda task: (task[0], task[1]))
    told = gates.Gates()
    scan_sources(told)
    with chains.workers(arguments) as pool:
        for (suite, plugin, number), conduct, answer in pool.imap_unordered(try_one, tasks, 8):
            row = ROWS[number]
            promise, what = row.group
            told.tell(promise, what, suite, conduct, f"{plugin}, {row.id}")
            if not conduct:
                told.tell(promise, f"{what}, code and words", suite, answer, f"{plugin}, {row.id}")
    return told.finish("faults-hostile-input")


if __name__ == "__main__":
    sys.exit(main())
