# SPDX-License-Identifier: MIT
"""heddle ops counts attempts to specialize instructions, as root, where there are symbols."""

import glob
import json
import os

from harness import Skip, alone, check, check_eq

# Attributes of objects of many classes in one place, in ever new functions: it is tried again and
# again. For two seconds, so that it goes on when heddle has found the interpreter.
TURNS = """
import time
kinds = [type("K%d" % i, (), {"value": i})() for i in range(50)]
source = compile("def use(one):\\n    return one.value\\n", "made", "exec")
end = time.monotonic() + 2
while time.monotonic() < end:
    names = {}
    exec(source, names)
    for one in kinds * 4:
        names["use"](one)
"""


def interpreter():
    for minor in (12, 13, 11):
        found = glob.glob(os.path.expanduser("~/.pyenv/versions/3.%d.*/bin/python3.%d"
                                             % (minor, minor)))
        if found:
            return found[0]
    raise Skip("there is no Python of 3.11 or later with symbols")


@alone
def attempts_to_specialize(l):
    if os.geteuid() != 0 or not os.access("/sys/kernel/tracing/uprobe_events", os.W_OK):
        raise Skip("uprobes take root, and tracefs")
    script = l.write("program.py", TURNS)
    result = l.run("ops", "--quiet", "--json", l.path("report.json"), "--", interpreter(), script)
    check_eq(result.status, 0, result)
    with open(l.path("report.json"), encoding="utf-8") as file:
        report = json.load(file)
    counts = {row["kind"]: row["count"] for row in report["specialization_attempts"]}
    check(counts.get("LoadAttr", 0) > 0, counts)
