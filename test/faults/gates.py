"""Counts what was tried for each promise, of our plugins and of the reference suite's.

A script of this folder makes one Gates, tells it of every trial, and ends with its finish(). The
lines it prints, "P1 <what>: ours N tried, N failed; reference N tried, N failed", are repeated at
the end of `test/run faults`.
"""

import argparse
import collections


def parser():
    """For the arguments that the scripts have in common."""
    common = argparse.ArgumentParser()
    common.add_argument("plugins", help="the folder of a build directory with tests")
    common.add_argument("reference", help="the folder of the reference suite")
    common.add_argument("--all", action="store_true", help="everything instead of a sample")
    return common


class Gates:
    def __init__(self, shown=("ours",)):
        """Failures of the suites `shown` are printed at once."""
        self.shown = shown
        self.tried = collections.Counter()
        self.failed = collections.Counter()

    def tell(self, promise, what, suite, failure=None, of=None):
        """A trial of `suite` ("ours" or "reference") for a promise ("P1"): `of`, which trial it
        was, and `failure`, what was seen."""
        key = (promise, what, suite)
        self.tried[key] += 1
        if failure:
            self.failed[key] += 1
            if suite in self.shown:
                print(f"FAILED {promise} {what}: {of}\n    {failure}", flush=True)

    def finish(self, name):
        """Prints all promises and the line of totals; what the script exits with."""
        for promise, what in sorted({key[:2] for key in self.tried},
                                    key=lambda key: (int(key[0][1:]), key[1])):
            columns = [f"{suite} {self.tried[promise, what, suite]} tried, "
                       f"{self.failed[promise, what, suite]} failed"
                       for suite in ("ours", "reference") if self.tried[promise, what, suite]]
            print(f"  {promise:3} {what}: {'; '.join(columns)}")
        passed, failed = (sum(count for key, count in counter.items() if key[2] == "ours")
                          for counter in (self.tried, self.failed))
        print(f"{name}: {passed - failed} passed, {failed} failed, 0 skipped")
        return 1 if failed or not passed else 0
