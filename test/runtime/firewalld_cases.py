"""The native store beside a real firewalld, which makes its own tables anew at every reload."""

import contextlib
import os
import pathlib
import subprocess
import time

from host import CommandFailed, Namespace, clear_state, run_in
from libcni import Attachment, Libcni
from report import Failed, Skipped, expect
from traffic import ask, server

_BUS = pathlib.Path("/run/dbus/system_bus_socket")
# Whoever asks may do anything: there is no polkit to ask.
_BUS_CONFIG = f"""<busconfig>
  <type>system</type>
  <listen>unix:path={_BUS}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
_PODS = ("10.88.0.0/16", "fd00:88::/64")


class Firewalld:
    """The daemon, with all that it needs, for the length of a with statement."""

    def __init__(self, files, work, netns):
        self._files = files
        self._work = work / "firewalld"
        self._netns = netns
        self._processes = contextlib.ExitStack()

    def __enter__(self):
        self._work.mkdir()
        _BUS.parent.mkdir(exist_ok=True)
        configuration = self._work / "bus.conf"
        configuration.write_text(_BUS_CONFIG)
        try:
            self._start("bus", "dbus-daemon", "--nofork", f"--config-file={configuration}")
            self._wait("bus", _BUS.exists)
            self._start("firewalld", *self._python("sbin/firewalld"), "--nofork", "--nopid",
                        f"--default-config={self._files}/usr/lib/firewalld",
                        f"--system-config={self._work}")
            self._wait("firewalld", lambda: self.command("--state"))
        except BaseException:
            self._processes.close()
            raise
        return self

    def __exit__(self, *_):
        self._processes.close()

    def command(self, *words):
        return run_in(self._netns, [*self._python("bin/firewall-cmd"), *words],
                      env=self._environment())

    def _python(self, program):
        # That of the distribution, which has the bindings.
        return ["/usr/bin/python3", "-B", self._files / "usr" / program]

    def _environment(self):
        return {**os.environ, "PYTHONPATH": f"{self._files}/usr/lib/python3/dist-packages"}

    def _start(self, name, *words):
        log = self._processes.enter_context((self._work / f"{name}.log").open("w"))
        process = subprocess.Popen(["nsenter", f"--net={self._netns}", "--", *words],
                                   env=self._environment(), stdout=log, stderr=subprocess.STDOUT)
        self._processes.callback(process.wait)
        self._processes.callback(process.kill)

    def _wait(self, name, is_ready):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(CommandFailed):
                if is_ready():
                    return
            time.sleep(0.05)
        raise Failed(f"{name} does not serve:\n{(self._work / f'{name}.log').read_text()}")


@contextlib.contextmanager
def _host_and_outside():
    with Namespace("host", loopback_up=True) as host, Namespace("outside") as outside:
        for words in ("link add uplink type veth peer name eth0 netns outside",
                      "address add 192.0.2.1/24 dev uplink",
                      "address add 2001:db8::1/64 dev uplink nodad", "link set uplink up"):
            run_in(host.path, ["ip", *words.split()])
        for words in ("address add 192.0.2.2/24 dev eth0",
                      "address add 2001:db8::2/64 dev eth0 nodad", "link set eth0 up",
                      "route add default via 192.0.2.1", "route add default via 2001:db8::1"):
            run_in(outside.path, ["ip", *words.split()])
        with contextlib.suppress(CommandFailed):
            # Where firewalld sees what bridges forward (br_netfilter), it stands between a
            # container and its gateway: with it, containers have no IPv6 at all.
            run_in(host.path, ["sysctl", "-qw", "net.bridge.bridge-nf-call-ip6tables=0"])
        yield host.path, outside.path


def _expect_traffic(host, outside, pod, when):
    seen = {"host port": ask(outside, "192.0.2.1", 8080),
            "host port, IPv6": ask(outside, "2001:db8::1", 8080),
            "localhost": ask(host, "127.0.0.1", 8080).split()[0],
            "masquerade": ask(pod, "192.0.2.2", 80),
            "masquerade, IPv6": ask(pod, "2001:db8::2", 80)}
    expect(seen == {"host port": "pod saw 192.0.2.2", "host port, IPv6": "pod saw 2001:db8::2",
                    "localhost": "pod", "masquerade": "outside saw 192.0.2.1",
                    "masquerade, IPv6": "outside saw 2001:db8::1"}, f"{when}: {seen}")


def survives_reload(files, driver, conf, work):
    """Host port and masquerade are there before and after a reload, with the zone as it is."""
    if not (files / "usr/sbin/firewalld").exists():
        raise Skipped(f"there is no firewalld in {files}")
    clear_state()
    with contextlib.ExitStack() as stack:
        host, outside = stack.enter_context(_host_and_outside())
        pod = stack.enter_context(Namespace("pod")).path
        firewalld = stack.enter_context(Firewalld(files, work, host))
        # What an operator does to let containers out.
        for subnet in _PODS:
            firewalld.command("--permanent", "--zone=trusted", f"--add-source={subnet}")
        firewalld.command("--reload")
        mappings = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
        attachment = Attachment(pod, "pod", capabilities={"portMappings": mappings})
        libcni = Libcni(driver, conf, host)
        libcni.add(attachment)
        stack.enter_context(server(pod, "pod", 80))
        stack.enter_context(server(outside, "outside", 80))
        _expect_traffic(host, outside, pod, "before the reload")
        firewalld.command("--reload")
        _expect_traffic(host, outside, pod, "after the reload")
        libcni.check(attachment)
        libcni.delete(attachment)
        answer = ask(outside, "192.0.2.1", 8080, patience=1)
        expect(answer == "nothing", f"after DEL: {answer}")


def run_cases(report, files, driver, conf, work):
    report.case("firewalld: host ports and masquerading survive a reload", survives_reload, files,
                driver, conf, work)
