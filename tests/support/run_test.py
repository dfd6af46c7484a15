#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""That tests/run reads what programs print as it should: a runner that miscounts hides failures.
Prints TAP."""

import importlib.machinery
import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
LOADER = importlib.machinery.SourceFileLoader('run', os.path.join(HERE, '..', 'run'))
SPEC = importlib.util.spec_from_loader('run', LOADER)
run = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(run)

# (what, output, exit status, passed, failed, skipped)
CASES = [
    ('all pass', '1..2\nok 1 - a\nok 2 - b\n', 0, 2, 0, 0),
    ('the plan may come last', 'ok 1 - a\nok 2\n1..2\n', 0, 2, 0, 0),
    ('other lines are no results', '1..1\nokay\n# ok 2\n  ok 3\nok 1 - a\n', 0, 1, 0, 0),
    ('one fails', '1..2\nok 1 - a\nnot ok 2 - b\n', 1, 1, 1, 0),
    ('a skip', '1..2\nok 1 - a # SKIP no tool\nok 2\n', 0, 1, 0, 1),
    ('all is skipped', '1..0 # SKIP no tool\n', 0, 0, 0, 1),
    ('a result is missing', '1..2\nok 1 - a\n', 0, 1, 1, 0),
    ('it died before the end', '1..2\nok 1 - a\n', -11, 1, 1, 0),
    ('it printed nothing', '', 0, 0, 1, 0),
    ('all passed, but its status says no', '1..1\nok 1\n', 23, 1, 1, 0),
]


def main():
    failed = 0
    print('1..%d' % (len(CASES) + 1))
    for number, (what, output, status, *expected) in enumerate(CASES, 1):
        outcome = run.read_tap(output, status)
        counts = [outcome.passed, len(outcome.failed), len(outcome.skipped)]
        if counts != expected:
            failed += 1
            print('# counted %s, not %s' % (counts, expected))
        print('%sok %d - TAP: %s' % ('not ' if counts != expected else '', number, what))
    statuses = [run.read_status('', 0), run.read_status('why', 77), run.read_status('', -6)]
    good = [(o.passed, len(o.failed), len(o.skipped)) for o in statuses] == [
        (1, 0, 0), (0, 0, 1), (0, 1, 0)]
    print('%sok %d - exit statuses' % ('' if good else 'not ', len(CASES) + 1))
    return 1 if failed or not good else 0


if __name__ == '__main__':
    sys.exit(main())
