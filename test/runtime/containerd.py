"""containerd as a daemon of the test, with its state in the sandbox."""

import subprocess
import time

import image
from host import CommandFailed, run
from report import Failed

_CONFIG = """
version = 2
root = "{work}/containerd/root"
state = "{work}/containerd/state"
oom_score = 0
# Neither has anything to do here, and both want directories of the machine.
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = "{work}/containerd/socket"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  # Sandboxes ask for a score below ours, which takes privileges that a test may lack.
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_tcp_service = true

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"

[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = "/etc/cni/net.d"
  bin_dir = "/opt/cni/bin"
"""


class Containerd:
    """The daemon, until it is stopped or the sandbox ends."""

    def __init__(self, work):
        self._directory = work / "containerd"
        self.socket = self._directory / "socket"
        self._log = self._directory / "log"
        self._work = work
        self._daemon = None

    def start(self):
        """Returns when it serves, and has the image."""
        self._directory.mkdir(exist_ok=True)
        config = self._directory / "config.toml"
        config.write_text(_CONFIG.format(work=self._work, image=image.NAME))
        with self._log.open("w") as log:
            self._daemon = subprocess.Popen(["containerd", "--config", config], stdout=log,
                                            stderr=subprocess.STDOUT)
        self._wait_until_it_serves()
        archive = self._directory / "image.tar"
        image.write(archive)
        for namespace in ("default", "k8s.io"):
            self.ctr("--namespace", namespace, "image", "import", "--snapshotter", "native",
                     archive)

    def stop(self):
        self._daemon.terminate()
        self._daemon.wait()

    def ctr(self, *words, **options):
        return run(["ctr", "--address", self.socket, *words], **options)

    def log(self):
        return self._log.read_text()

    def _wait_until_it_serves(self):
        end = time.monotonic() + 30
        while self._daemon.poll() is None:
            try:
                self.ctr("version", timeout=10)
                return
            except CommandFailed:
                if time.monotonic() > end:
                    break
                time.sleep(0.1)
        raise Failed(f"containerd does not serve:\n{self.log()}")
