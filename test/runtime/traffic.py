"""Who hears whom over TCP, and by which address. Also the server: traffic.py NAME PORT."""

import contextlib
import pathlib
import socket
import subprocess
import sys

from host import CommandFailed, run_in

_ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as s:
    print(s.makefile().read(), end="")
"""


@contextlib.contextmanager
def server(netns, name, port):
    """While in the with statement, a server answers every client "NAME saw ADDRESS"."""
    process = subprocess.Popen(
        ["nsenter", f"--net={netns}", "--", sys.executable, "-B", pathlib.Path(__file__).resolve(),
         name, str(port)], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()  # It listens.
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def ask(netns, address, port, patience=3):
    """What the server says; or "nothing", if none does within that many seconds."""
    try:
        return run_in(netns, [sys.executable, "-c", _ASK, address, port, patience])
    except CommandFailed:
        return "nothing"


def _serve(name, port):
    # Of both families, with IPv4 addresses written as such.
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True,
                                    backlog=16)
    print("listening", flush=True)
    while True:
        connection, client = listener.accept()
        with connection:
            connection.sendall(f"{name} saw {client[0].removeprefix('::ffff:')}".encode())


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
