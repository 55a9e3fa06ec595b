"""All cases, inside the sandbox. See run."""

import pathlib
import sys

import sandbox

import cri_cases
import ctr_cases
import firewalld_cases
import install_cases
import libcni
import libcni_cases
from containerd import Containerd
from cri_client import CriClient
from report import Report, Skipped


def start(containerd):
    if not sandbox.is_real_root():
        raise Skipped("containers take more privileges than this user has")
    if lack := sandbox.lacks_cgroups():
        raise Skipped(lack)
    containerd.start()


def run_containerd_cases(report, work, conf):
    if not any(report.wants(name) for name in (*ctr_cases.CASES, *cri_cases.CASES)):
        return
    containerd = Containerd(work)
    if not report.need("containerd: serves", start, containerd):
        return
    for name, function in ctr_cases.CASES.items():
        report.case(name, function, containerd, conf)
    client = CriClient(containerd.socket, work)
    for name, function in cri_cases.CASES.items():
        report.case(name, function, client, conf)
    containerd.stop()


def main():
    build = pathlib.Path(sys.argv[1])
    examples = pathlib.Path(__file__).resolve().parents[2] / "conf-examples"
    work = sandbox.enter()
    # Where every runtime looks if it is not told otherwise.
    for program in (build / "bin").iterdir():
        pathlib.Path("/opt/cni/bin", program.name).symlink_to(program)
    report = Report(sys.argv[2:])
    driver = build / "test/runtime/libcni_driver"
    if report.need("libcni: our driver can be built", libcni.build_driver, driver):
        libcni_cases.run_cases(report, driver, build / "bin/cnictl", examples)
        install_cases.run_cases(report, build, work, driver, examples / "bridge.conflist")
        firewalld_cases.run_cases(report, examples.parent / "build-deps/firewalld", driver,
                                  examples / "10-containerd-net.conflist", work)
    run_containerd_cases(report, work, examples / "10-containerd-net.conflist")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
