"""Runs cases one by one, prints a line for each, and counts them."""

import sys
import time
import traceback


class Failed(Exception):
    """What was expected, and what came instead."""


class Skipped(Exception):
    """Why this machine cannot run the case."""


def expect(condition, message):
    if not condition:
        raise Failed(message)


class Report:
    def __init__(self, wanted):
        """wanted: pieces of the names of the cases to run; all if empty."""
        self._wanted = wanted
        self.passed = self.failed = self.skipped = 0

    def wants(self, name):
        return not self._wanted or any(piece in name for piece in self._wanted)

    def case(self, name, function, *arguments):
        """Runs function(*arguments) if it is wanted."""
        if self.wants(name):
            self.need(name, function, *arguments)

    def need(self, name, function, *arguments):
        """A case that others build upon: always wanted. Returns whether it passed."""
        start = time.monotonic()
        try:
            function(*arguments)
        except Skipped as reason:
            self.skipped += 1
            self._line("skipped", name, start, str(reason))
            return False
        except Exception as error:
            self.failed += 1
            self._line("FAILED", name, start)
            text = str(error) if isinstance(error, Failed) else traceback.format_exc()
            print("    " + text.rstrip().replace("\n", "\n    "))
            return False
        self.passed += 1
        self._line("ok", name, start)
        return True

    def _line(self, word, name, start, reason=""):
        seconds = time.monotonic() - start
        print(f"{word:8}{name} ({seconds:.1f} s)" + (f": {reason}" if reason else ""))
        sys.stdout.flush()

    def finish(self):
        """Prints the counts. Returns the exit status."""
        print(f"runtime: {self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed or not self.passed else 0
