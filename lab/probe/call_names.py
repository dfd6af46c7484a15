#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the names of the system calls as C, from the headers of the target.

    call_names.py OUTPUT COMPILER...    COMPILER: the command of the C compiler, with options
"""

import re
import subprocess
import sys

# Newer than some headers; from 424 on the numbers are the same on all machines.
LATER = {451: 'cachestat', 452: 'fchmodat2', 453: 'map_shadow_stack', 454: 'futex_wake',
         455: 'futex_wait', 456: 'futex_requeue', 457: 'statmount', 458: 'listmount'}


def preprocess(compiler, options, source):
    ran = subprocess.run(compiler + ['-E'] + options + ['-x', 'c', '-'], input=source, text=True,
                         stdout=subprocess.PIPE, check=True)
    return ran.stdout


def names(compiler):
    """{number: name}: first which names there are, then what each of them stands for, since some
    are defined by others."""
    found = preprocess(compiler, ['-dM'], '#include <sys/syscall.h>\n')
    known = sorted(set(re.findall(r'^#define __NR_(\w+) ', found, re.M)))
    asked = ''.join('call %s = __NR_%s\n' % ('"%s"' % name, name) for name in known)
    said = preprocess(compiler, ['-P'], '#include <sys/syscall.h>\n' + asked)
    numbers = dict(LATER)
    for name, value in re.findall(r'^call "(\w+)" = ([0-9x()+ ]+)$', said, re.M):
        if name not in ('syscalls', 'arch_specific_syscall'):
            numbers[sum(int(part, 0) for part in re.findall(r'\w+', value))] = name
    return numbers


def main():
    output, compiler = sys.argv[1], sys.argv[2:]
    numbers = names(compiler)
    if len(numbers) < 200:
        sys.exit('call_names.py: only %d system calls in <sys/syscall.h>' % len(numbers))
    with open(output, 'w', encoding='ascii') as file:
        file.write('/* SPDX-License-Identifier: MIT */\n/* Made by call_names.py. */\n'
                   '#include "probe/calls.h"\n\nconst char *const probe_call_names[] = {\n')
        for number, name in sorted(numbers.items()):
            file.write('    [%d] = "%s",\n' % (number, name))
        file.write('};\nconst long probe_call_names_end =\n'
                   '    sizeof(probe_call_names) / sizeof(probe_call_names[0]);\n')


if __name__ == '__main__':
    main()
