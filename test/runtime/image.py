"""A container image made of nothing but Debian's static busybox."""

import hashlib
import io
import json
import pathlib
import platform
import tarfile

NAME = "docker.io/library/busybox-of-the-test:1"
# As Go names them, see the field `architecture` of the OCI image specification.
_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_BUSYBOX = pathlib.Path("/bin/busybox")


def _add(archive, name, content=b"", mode=0o644, kind=tarfile.REGTYPE, link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), link
    archive.addfile(entry, io.BytesIO(content))


def _layer():
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for directory in ("bin", "etc", "proc", "sys", "dev", "tmp"):
            _add(archive, directory, mode=0o755, kind=tarfile.DIRTYPE)
        _add(archive, "bin/busybox", _BUSYBOX.read_bytes(), mode=0o755)
        for name in ("sh", "sleep", "ip", "ping"):
            _add(archive, f"bin/{name}", kind=tarfile.SYMTYPE, link="busybox")
    return layer.getvalue()


def write(path):
    """Writes it as `docker save` would. By default it runs a sleep without end."""
    layer = _layer()
    digest = hashlib.sha256(layer).hexdigest()
    config = {"architecture": _ARCHITECTURE, "os": "linux",
              "config": {"Cmd": ["/bin/sleep", "1000000"], "Env": ["PATH=/bin"]},
              "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}}
    manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        _add(archive, "layer.tar", layer)
        _add(archive, "config.json", json.dumps(config).encode())
        _add(archive, "manifest.json", json.dumps(manifest).encode())
