"""All cases, inside the sandbox. See run."""

import pathlib
import sys

import sandbox

import cri_cases
import ctr_cases
import install_cases
import libcni
import libcni_cases
from containerd import Containerd
from report import Report, Skipped


def skip_containerd():
    raise Skipped("containers take more privileges than this user has")


def run_containerd_cases(report, work, conf):
    if not report.wants("ctr") and not report.wants("CRI"):
        return
    if not sandbox.is_real_root():
        report.case("ctr and CRI", skip_containerd)
        return
    with Containerd(work) as containerd:
        ctr_cases.run_cases(report, containerd, conf)
        cri_cases.run_cases(report, containerd, work, conf)


def main():
    build = pathlib.Path(sys.argv[1])
    examples = pathlib.Path(__file__).resolve().parents[2] / "conf-examples"
    work = sandbox.enter()
    # Where every runtime looks if it is not told otherwise.
    for program in (build / "bin").iterdir():
        pathlib.Path("/opt/cni/bin", program.name).symlink_to(program)
    report = Report(sys.argv[2:])
    driver = libcni.build_driver(build / "test/runtime")
    libcni_cases.run_cases(report, driver, build / "bin/cnictl", examples)
    install_cases.run_cases(report, build, work, driver, examples / "bridge.conflist")
    run_containerd_cases(report, work, examples / "10-containerd-net.conflist")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
