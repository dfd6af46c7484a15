#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs into a fresh folder with `make install PREFIX=DIR` and uses what is there as a stranger
would: compiles programs with what pkg-config says, against the shared and the static library, runs
them, runs the command, and reads the man pages. Prints TAP.

It builds in a folder of its own, $BUILD/install, so that the build under test stays as it is.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CC = os.environ.get('CC') or 'cc'
CXX = os.environ.get('CXX') or 'c++'


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def run(*command, **options):
    """Runs a command, which must succeed, and returns what it printed."""
    options.setdefault('cwd', ROOT)
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, text=True, errors='replace',
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, **options)
    if ran.returncode != 0:
        raise Failed('%s: exit status %d\n%s' % (' '.join(command), ran.returncode, ran.stdout))
    return ran.stdout


def need(condition, complaint):
    if not condition:
        raise Failed(complaint)


def files_below(folder):
    found = set()
    for path, _, names in os.walk(folder):
        found.update(os.path.relpath(os.path.join(path, name), folder) for name in names)
    return found


class Installed:
    """The folder, and the checks on it in their order."""

    def __init__(self, folder):
        self.prefix = os.path.join(folder, 'prefix')
        self.work = os.path.join(folder, 'work')
        os.mkdir(self.work)
        self.env = {**os.environ,
                    'PKG_CONFIG_PATH': os.path.join(self.prefix, 'lib/pkgconfig')}
        self.env.pop('LD_LIBRARY_PATH', None)

    def pkg_config(self, *words):
        return run('pkg-config', *words, 'heddle', env=self.env).split()

    def build_and_run(self, source, compiler, *extra, static=False):
        program = os.path.join(self.work, 'program')
        if static:
            libraries = ['-static', *self.pkg_config('--static', '--libs')]
        else:
            libraries = self.pkg_config('--libs')
        run(compiler, '-Wall', '-Wextra', '-Werror', '-O2', *extra, source, '-o', program,
            *self.pkg_config('--cflags'), *libraries)
        return run('timeout', '60', program)

    def check_install(self):
        """make install PREFIX=DIR"""
        build = os.path.join(os.environ.get('BUILD') or 'build', 'install')
        # Compiled fast, and after what the tests beside this one want: speed is no matter here.
        quick = {**os.environ, 'CFLAGS': '-O0', 'CXXFLAGS': '-O0'}
        run('nice', '-n', '10', 'make', 'install', 'PREFIX=' + self.prefix, 'BUILD=' + build,
            env=quick)

    def check_files(self):
        """headers, libraries, symbol links and heddle.pc are where they belong"""
        found = files_below(self.prefix)
        expected = {'lib/libheddle.a', 'lib/libheddle.so', 'lib/libheddle.so.0',
                    'lib/pkgconfig/heddle.pc'}
        for name in os.listdir(os.path.join(ROOT, 'include/heddle')):
            expected.add('include/heddle/' + name)
        need(expected <= found, 'missing: %s' % ', '.join(sorted(expected - found)))
        library = os.path.join(self.prefix, 'lib/libheddle.so')
        dynamic = run('readelf', '-d', library)
        need('[libheddle.so.0]' in dynamic, 'the soname is not libheddle.so.0:\n' + dynamic)

    def check_version(self):
        """pkg-config tells the version"""
        version = re.search(r"version: '([\d.]+)'",
                            open(os.path.join(ROOT, 'meson.build')).read()).group(1)
        told = self.pkg_config('--modversion')
        need(told == [version], 'meson.build says %s, pkg-config %s' % (version, told))

    def check_shared(self):
        """a C program with the shared library"""
        self.build_and_run(os.path.join(HERE, 'program.c'), CC, '-std=c11')
        needed = run('readelf', '-d', os.path.join(self.work, 'program'))
        need('libheddle.so.0' in needed, 'the program does not need libheddle.so.0:\n' + needed)

    def check_static(self):
        """a C program with the static library"""
        self.build_and_run(os.path.join(HERE, 'program.c'), CC, '-std=c11', static=True)

    def check_cpp(self):
        """a C++ program"""
        if shutil.which(CXX) is None:
            raise Skipped(CXX + ' is missing')
        source = shutil.copy(os.path.join(HERE, 'program.c'),
                             os.path.join(self.work, 'program.cpp'))
        self.build_and_run(source, CXX, '-std=c++17')

    def check_readme(self):
        """the program of README.md"""
        readme = os.path.join(ROOT, 'README.md')
        blocks = []
        if os.path.exists(readme):
            blocks = re.findall(r'^```c\n(.*?)^```', open(readme).read(), flags=re.S | re.M)
        programs = [block for block in blocks if 'main(' in block]
        need(programs, 'README.md shows no program')
        source = os.path.join(self.work, 'readme.c')
        with open(source, 'w') as file:
            file.write(programs[0])
        need(self.build_and_run(source, CC), 'it prints nothing')

    def check_command(self):
        """the command, without the tree that it was built in"""
        command = os.path.join(self.prefix, 'bin/heddle')
        if not os.path.exists(command):
            raise Skipped('heddle was not built')
        subjects = run('timeout', '60', command, 'subjects', cwd=self.work)
        need(re.search(r'\bpthread\b', subjects), 'heddle subjects:\n' + subjects)
        build = os.path.realpath(os.path.join(ROOT, os.environ.get('BUILD') or 'build'))
        need(build not in subjects, 'it looks into %s:\n%s' % (build, subjects))
        table = run('timeout', '120', command, 'lab', 'switch', '--quick', '--subject',
                    'heddle,pthread', '--db', 'results.db', cwd=self.work)
        need('switch' in table, 'heddle lab switch:\n' + table)
        kept = run(command, 'history', '--metric', 'yield_ns', '--db', 'results.db', cwd=self.work)
        need('switch pthread' in kept, 'heddle history:\n' + kept)

    def check_man(self):
        """every man page is installed"""
        pages = {os.path.basename(name) for name in os.listdir(os.path.join(ROOT, 'doc/man'))
                 if re.search(r'\.[1-8]$', name)}
        found = {os.path.basename(name) for name in files_below(self.prefix)}
        need(pages <= found, 'missing: %s' % ', '.join(sorted(pages - found)))

    def check_uninstall(self):
        """make uninstall leaves nothing"""
        build = os.path.join(os.environ.get('BUILD') or 'build', 'install')
        run('make', 'uninstall', 'BUILD=' + build)
        left = files_below(self.prefix)
        need(not left, 'left: %s' % ', '.join(sorted(left)))


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        installed = Installed(folder)
        checks = [value for key, value in vars(Installed).items() if key.startswith('check_')]
        print('1..%d' % len(checks))
        for number, check in enumerate(checks, 1):
            verdict, reason = 'ok', ''
            try:
                check(installed)
            except Skipped as skipped:
                reason = ' # SKIP %s' % skipped
            except (Failed, subprocess.TimeoutExpired) as problem:
                verdict = 'not ok'
                failed += 1
                print('# ' + str(problem).replace('\n', '\n# '))
            print('%s %d - %s%s' % (verdict, number, check.__doc__, reason), flush=True)
            if failed and number == 1:
                print('Bail out! Nothing is installed')
                return 1
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
