#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of the command `heddle`, with made-up subjects. Prints TAP.

    lab.py PATH-OF-HEDDLE [PATTERN...]        patterns choose tests by name
"""

import sys

sys.dont_write_bytecode = True

import harness  # noqa: E402
import test_failures  # noqa: E402,F401
import test_finding  # noqa: E402,F401
import test_order  # noqa: E402,F401
import test_reports  # noqa: E402,F401
import test_usage  # noqa: E402,F401

if __name__ == "__main__":
    harness.main(sys.argv)
