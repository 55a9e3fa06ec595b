"""What `cmake --install` puts on a node, and that it may do so at any time."""

import json
import os
import re
import shutil
import subprocess
import threading

from host import Namespace, clear_state, run
from libcni import Attachment, Libcni
from report import Failed, Skipped, expect

_INSTALLS = 20
_CHROOT = "/usr/sbin/chroot"
_VERSION = {"CNI_COMMAND": "VERSION"}
_REQUEST = '{"cniVersion":"1.0.0"}'


def _install(build, prefix):
    run(["cmake", "--install", build, "--prefix", prefix])


def _is_plugin(path):
    return path.name not in ("cnictl", "cni-conformance")


def _expect_version(words):
    answer = json.loads(run(words, env=_VERSION, input=_REQUEST))
    expect("1.1.0" in answer["supportedVersions"], f"{words}: {answer}")


def everything_is_there(build, prefix):
    _install(build, prefix)
    built = {path.name for path in (build / "bin").iterdir()}
    installed = {path.name for path in (prefix / "bin").iterdir()}
    expect(built == installed, f"built: {sorted(built)}, installed: {sorted(installed)}")
    for path in (prefix / "bin").iterdir():
        expect(path.stat().st_mode & 0o7777 == 0o755, f"{path}: mode {path.stat().st_mode:o}")
    link = prefix / "bin/host-local"
    expect(link.is_symlink() and os.readlink(link) == "host-local-ipam",
           "host-local is not a link to host-local-ipam")
    _expect_version([link])


def _expect_static(path):
    told = run(["readelf", "--wide", "--program-headers", "--dynamic", path])
    dynamic = [line for line in told.splitlines() if "INTERP" in line or "NEEDED" in line]
    expect(not dynamic, f"{path} is not static:\n" + "\n".join(dynamic))


def runs_in_an_empty_chroot(build, prefix):
    _install(build, prefix)
    if re.search("^CNI_STATIC:BOOL=(OFF|0|NO|FALSE)$", (build / "CMakeCache.txt").read_text(),
                 re.MULTILINE | re.IGNORECASE):
        raise Skipped("this build is not meant to be static")
    for path in sorted((prefix / "bin").iterdir()):
        _expect_static(path)
        root = prefix.parent / "empty"
        root.mkdir()
        try:
            shutil.copy(path, root / "program")
            if _is_plugin(path):
                _expect_version([_CHROOT, root, "/program"])
            else:
                run([_CHROOT, root, "/program", "--help"], env={})
        finally:
            shutil.rmtree(root)


class _Loop:
    """Does something again and again in a thread, and keeps what went wrong."""

    def __init__(self, action):
        self.rounds = 0
        self.failures = []
        self._action = action
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.is_set():
            try:
                self._action()
            # OSError: the kernel refuses the file as busy or as no program.
            except (Failed, OSError, ValueError, subprocess.SubprocessError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            self.rounds += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def upgrade_while_plugins_run(build, prefix, driver, conf):
    _install(build, prefix)
    plugins = [path for path in (prefix / "bin").iterdir() if _is_plugin(path)]
    clear_state()
    with Namespace("host", loopback_up=True) as host, Namespace("one") as one:
        libcni = Libcni(driver, conf, host.path, prefix / "bin")
        attachment = Attachment(one.path, "container")

        def attach_and_detach():
            libcni.add(attachment)
            libcni.delete(attachment)

        def start_each():
            # libcni hides a busy file by trying again; here nothing is hidden.
            for path in plugins:
                _expect_version([path])

        with _Loop(attach_and_detach) as attaching, _Loop(start_each) as starting:
            for _ in range(_INSTALLS):
                _install(build, prefix)
    for loop in (attaching, starting):
        expect(not loop.failures, f"{len(loop.failures)} of {loop.rounds} rounds failed, first: "
                                  f"{loop.failures[:1]}")
        expect(loop.rounds > 1, "the installs were over before a plugin ran twice")


def run_cases(report, build, work, driver, conf):
    prefix = work / "install/prefix"
    report.case("install: everything is there, and host-local", everything_is_there, build, prefix)
    report.case("install: static, and runs in an empty chroot", runs_in_an_empty_chroot, build,
                prefix)
    report.case(f"install: {_INSTALLS} upgrades while plugins run", upgrade_while_plugins_run,
                build, prefix, driver, conf)
