#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of the command `heddle`, with made-up subjects. Prints TAP.

    lab.py [--alone|--beside] PATH-OF-HEDDLE [PATTERN...]

Patterns choose tests by name; --alone those that may not run beside others, --beside the others.
"""

import os
import sys

sys.dont_write_bytecode = True

import harness  # noqa: E402
import test_attempts  # noqa: E402,F401
import test_compare  # noqa: E402,F401
import test_failures  # noqa: E402,F401
import test_finding  # noqa: E402,F401
import test_limits  # noqa: E402,F401
import test_machine  # noqa: E402,F401
import test_markdown  # noqa: E402,F401
import test_free  # noqa: E402,F401
import test_formats  # noqa: E402,F401
import test_gil  # noqa: E402,F401
import test_ops  # noqa: E402,F401
import test_order  # noqa: E402,F401
import test_reports  # noqa: E402,F401
import test_run  # noqa: E402,F401
import test_runs  # noqa: E402,F401
import test_selfcheck  # noqa: E402,F401
import test_store  # noqa: E402,F401
import test_sweep  # noqa: E402,F401
import test_threads  # noqa: E402,F401
import test_trust  # noqa: E402,F401
import test_usage  # noqa: E402,F401
import test_warmup  # noqa: E402,F401

if __name__ == "__main__":
    # Half of what most tests take is sleep, so they run side by side.
    harness.main(sys.argv, len(os.sched_getaffinity(0)) + 1)
