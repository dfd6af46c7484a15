#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The binary interface, the headers that show it, and the examples of the man pages. Prints TAP.

    tests/abi/abi.py LIBRARY        LIBRARY: the shared library

Each public header compiles alone and twice, in every language a user may have; and these three
name the same functions: the headers (HD_API), src/heddle.map, and what the library exports. The
examples of the man pages that are whole programs compile, and end without an error.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Wstrict-prototypes', '-Wundef',
            '-Werror']
# Without -Wshadow: for g++ a function that shares the name of a structure, as stat() does, shadows.
WARNINGS_CPP = [*(set(WARNINGS) - {'-Wstrict-prototypes', '-Wshadow'}), '-Wold-style-cast']

# (what it is called, compiler, flags, suffix)
LANGUAGES = [
    ('C11', os.environ.get('CC') or 'cc', ['-std=c11', *WARNINGS], '.c'),
    ('C17', os.environ.get('CC') or 'cc', ['-std=c17', *WARNINGS], '.c'),
    ('C++17', os.environ.get('CXX') or 'c++', ['-std=c++17', *WARNINGS_CPP], '.cpp'),
    ('C11 by clang', 'clang', ['-std=c11', *WARNINGS], '.c'),
    ('C++17 by clang', 'clang++', ['-std=c++17', *WARNINGS_CPP], '.cpp'),
]


def headers():
    return sorted(glob.glob(os.path.join(ROOT, 'include/heddle/*.h')))


def without_comments(source):
    return re.sub(r'/\*.*?\*/|//[^\n]*', ' ', source, flags=re.S)


def read(*path):
    with open(os.path.join(ROOT, *path), encoding='utf-8') as file:
        return file.read()


def compile_alone(header, compiler, flags, suffix):
    """What the compiler says of a file that holds the header only; '' when all is well."""
    name = 'heddle/' + os.path.basename(header)
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, 'alone' + suffix)
        with open(source, 'w') as file:
            file.write('#include <%s>\n#include <%s>\nint main(%s) { return 0; }\n'
                       % (name, name, 'void' if suffix == '.c' else ''))
        ran = subprocess.run([compiler, *flags, '-I' + os.path.join(ROOT, 'include'),
                              '-fsyntax-only', source], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return ran.stdout if ran.returncode else ''


def declared():
    """Every function or variable that a header declares with HD_API."""
    found = set()
    for header in headers():
        source = without_comments(read(header))
        for declaration in re.findall(r'^HD_API\b([^;]*);', source, flags=re.M):
            found.add(re.search(r'(\w+)\s*(?:\(|$)', declaration).group(1))
    return found


def mapped():
    """Every name that src/heddle.map lets out."""
    found = set()
    source = without_comments(read('src/heddle.map'))
    for names in re.findall(r'global:(.*?)(?:local:|\})', source, flags=re.S):
        found.update(re.findall(r'[\w*]+', names))
    return found


def exported(library):
    """Every function or object that the library defines for others."""
    listed = subprocess.run(['nm', '--dynamic', '--defined-only', '--format=posix', library],
                            check=True, text=True, stdout=subprocess.PIPE).stdout
    rows = [line.split() for line in listed.splitlines()]
    return {row[0].split('@')[0] for row in rows if row[1] != 'A'}


def examples():
    """The whole programs among the examples of the man pages: (page, source)."""
    for page in sorted(glob.glob(os.path.join(ROOT, 'doc/man/*.[1-8]'))):
        for source in re.findall(r'^\.EX\n(.*?)^\.EE$', read(page), flags=re.S | re.M):
            if re.search(r'^int main\(', source, flags=re.M):
                for roff, plain in (('\\(dq', '"'), ('\\-', '-'), ('\\&', ''), ('\\e', '\\')):
                    source = source.replace(roff, plain)
                yield os.path.basename(page), source


def run_example(page, source, library):
    """Compiles it, and runs it to its end; what is wrong, '' when all is well."""
    folder, name = os.path.split(os.path.abspath(library))
    with tempfile.TemporaryDirectory() as work:
        program = os.path.join(work, 'example')
        with open(program + '.c', 'w', encoding='utf-8') as file:
            file.write(source)
        said = ''
        for command in ([os.environ.get('CC') or 'cc', '-std=gnu11', '-Wall', '-Wextra', '-Werror',
                         '-I' + os.path.join(ROOT, 'include'), '-o', program, program + '.c',
                         '-L' + folder, '-l:' + name, '-Wl,-rpath,' + folder, '-lm'],
                        ['timeout', '60', program]):
            ran = subprocess.run(command, cwd=work, text=True, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            said += ran.stdout
            if ran.returncode:
                return '%s: exit status %d\n%s' % (page, ran.returncode, said)
    return ''


def difference(a, b, a_name, b_name):
    return (['%s is in %s, not in %s' % (name, a_name, b_name) for name in sorted(a - b)]
            + ['%s is in %s, not in %s' % (name, b_name, a_name) for name in sorted(b - a)])


class Tap:
    def __init__(self):
        self.number = self.failed = 0

    def result(self, name, complaints, skip=None):
        self.number += 1
        for line in complaints:
            print('# ' + line.replace('\n', '\n# '))
        self.failed += bool(complaints)
        print('%sok %d - %s%s' % ('not ' if complaints else '', self.number, name,
                                  ' # SKIP ' + skip if skip else ''), flush=True)


def main():
    library = sys.argv[1]
    tap = Tap()
    for language, compiler, flags, suffix in LANGUAGES:
        name = 'every header alone as ' + language
        if shutil.which(compiler) is None:
            tap.result(name, [], compiler + ' is missing')
            continue
        complaints = [compile_alone(header, compiler, flags, suffix) for header in headers()]
        tap.result(name, [text for text in complaints if text])

    included = set(re.findall(r'#include <heddle/(\w+\.h)>', read('include/heddle/heddle.h')))
    present = {os.path.basename(header) for header in headers()} - {'heddle.h'}
    tap.result('heddle.h includes every header',
               difference(present, included, 'include/heddle/', 'heddle.h'))
    installed = set(re.findall(r"'heddle/(\w+\.h)'", read('include/meson.build')))
    tap.result('every header is installed',
               difference(present | {'heddle.h'}, installed, 'include/heddle/', 'meson.build'))
    tap.result('headers and src/heddle.map name the same functions',
               difference(declared(), mapped(), 'the headers', 'src/heddle.map'))
    tap.result('src/heddle.map and the library name the same functions',
               difference(mapped(), exported(library), 'src/heddle.map', 'the library'))
    complaints = [run_example(page, source, library) for page, source in examples()]
    tap.result('the programs in the man pages compile and run',
               [text for text in complaints if text])
    print('1..%d' % tap.number)
    return 1 if tap.failed else 0


if __name__ == '__main__':
    sys.exit(main())
