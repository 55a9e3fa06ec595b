"""A place to run daemons in that leaves nothing behind.

run() starts a program as the first process of new mount, network and process namespaces. When it
ends, or when we are told to end, the kernel ends all its descendants with it (pid_namespaces(7)),
and with the last of them go mounts, network namespaces and the files in memory. Only cgroups
would stay; they are removed here.

enter() is for that program: it puts private file systems where runtimes and plugins keep things,
and enters a cgroup namespace.
"""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time

_CGROUPS = pathlib.Path("/sys/fs/cgroup")
_CLONE_NEWCGROUP = 0x02000000  # sched.h
_VARIABLE = "CNI_RUNTIME_TEST_CGROUPS"


def _cgroup_mounts():
    """Yields (mount point, file system type, options) of every cgroup hierarchy."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ")
        kind, _, options = right.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            yield pathlib.Path(left.split()[4]), kind, options.split(",")


def _parent_cgroup(mount, kind, options):
    """Where in the hierarchy mounted there ours are to be made, see cgroups(7)."""
    if kind == "cgroup2":
        # Sessions have no controllers to hand on; the root has those that systemd switched on.
        return mount
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and set(controllers.split(",")) <= set(options):
            return mount / path.lstrip("/")
    return mount


def _make_cgroups(name):
    """Makes a cgroup of that name in every hierarchy that lets us."""
    made = []
    for mount, kind, options in _cgroup_mounts():
        cgroup = _parent_cgroup(mount, kind, options) / name
        try:
            cgroup.mkdir()
        except OSError:
            continue
        for setting in ("cpuset.cpus", "cpuset.mems"):
            # An empty cpuset of version 1 takes no process, see cpuset(7).
            if kind == "cgroup" and (cgroup / setting).exists():
                (cgroup / setting).write_text((cgroup.parent / setting).read_text())
        made.append(cgroup)
    return made


def _remove_cgroups(made):
    patience = time.monotonic() + 10
    for cgroup in made:
        for directory, _, _ in os.walk(cgroup, topdown=False):
            # The kernel lets go of a dead process's cgroup a moment after its exit.
            while os.path.isdir(directory):
                try:
                    os.rmdir(directory)
                except OSError as error:
                    if time.monotonic() > patience:
                        print(f"cannot remove the cgroup {directory}: {error}", file=sys.stderr)
                        break
                    time.sleep(0.02)


def run(command):
    """Runs it with this Python as described above. Returns its exit status."""
    root = os.geteuid() == 0
    cgroups = _make_cgroups(f"cni-runtime-test-{os.getpid()}") if root else []
    unshare = ["unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child",
               "--mount-proc"]
    if not root:
        unshare += ["--user", "--map-root-user"]
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def end(number, _):
        raise SystemExit(128 + number)

    for number in signals:
        signal.signal(number, end)
    child = None
    try:
        # A session of its own: Ctrl-C reaches us only, and we end the child.
        child = subprocess.Popen([*unshare, sys.executable, "-B", *command],
                                 start_new_session=True,
                                 env={**os.environ, _VARIABLE: ":".join(map(str, cgroups))})
        return child.wait()
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        if child:
            child.kill()
            child.wait()
        _remove_cgroups(cgroups)


def is_real_root():
    """Whether every user ID of the machine is known here: false without privileges outside."""
    return pathlib.Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]


def lacks_cgroups():
    """Why containers cannot have cgroups here, or None."""
    if not list(_cgroup_mounts()):
        return "no cgroup hierarchy is mounted"
    controllers = _CGROUPS / "cgroup.controllers"
    if controllers.exists() and "cpu" not in controllers.read_text().split():
        return "cgroup version 2 has no cpu controller for us"
    return None


def _mount(*words):
    subprocess.run(["mount", *words], check=True)


def _enter_cgroups(cgroups):
    """Moves into them, and makes them the roots of the hierarchies that are seen from here."""
    for cgroup in cgroups:
        pathlib.Path(cgroup, "cgroup.procs").write_text("0")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWCGROUP) != 0:
        raise OSError(ctypes.get_errno(), "unshare the cgroup namespace")
    mounts = list(_cgroup_mounts())
    # The outer /sys shows the links of the outer network namespace.
    _mount("-t", "sysfs", "sysfs", "/sys")
    if any(point != _CGROUPS for point, _, _ in mounts):
        _mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(_CGROUPS))
    for point, kind, options in mounts:
        point.mkdir(exist_ok=True)
        controllers = [word for word in options if kind == "cgroup" and word not in ("rw", "ro")]
        _mount("-t", kind, "-o", ",".join(["rw", *controllers]), kind, str(point))
    if (_CGROUPS / "cgroup.controllers").exists():
        # Version 2 hands controllers on only from a cgroup without processes.
        (_CGROUPS / "daemons").mkdir()
        (_CGROUPS / "daemons/cgroup.procs").write_text("0")


def enter():
    """Makes /run, /etc, /opt, /sys and /var/lib private. Returns a directory for anything."""
    _mount("--make-rprivate", "/")
    for directory in ("/run", "/opt", "/var/lib"):
        _mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", directory)
    work = pathlib.Path("/run/cni-test")
    for directory in ("etc.upper", "etc.work", "tmp"):
        (work / directory).mkdir(parents=True)
    # Many programs need files of /etc, and /etc/cni need not exist.
    _mount("-t", "overlay", "-o",
           f"lowerdir=/etc,upperdir={work}/etc.upper,workdir={work}/etc.work", "etc", "/etc")
    for directory in ("/run/netns", "/run/lock", "/etc/cni/net.d", "/opt/cni/bin", "/var/lib/cni"):
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    cgroups = os.environ.pop(_VARIABLE)
    if cgroups:
        _enter_cgroups(cgroups.split(":"))
    os.environ["TMPDIR"] = str(work / "tmp")
    os.umask(0o022)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return work
