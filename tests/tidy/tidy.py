#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The style that a machine can check. Prints TAP, one result a rule, and each place as FILE:LINE.

    tests/tidy/tidy.py [RULE...]        RULE: part of a rule's name

A rule is a function below that yields (place, what is wrong there); its first line of
documentation is its name. Exceptions stand in the tables here, each with its reason.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

LINE_LIMIT = 100
FILE_LIMIT = 600
FUNCTION_LIMIT = 70

# {file or (file, function): (limit, reason)}
LONGER = {}

# Words that mark unfinished work. In halves, so that this file does not hold them.
UNFINISHED = re.compile(
    r'\b(' + '|'.join(('TO' 'DO', 'FIX' 'ME', 'X' 'XX', 'HA' 'CK', '[Ss]tu' 'bs?',
                       '[Pp]lace' 'holders?', '[Nn]ot imple' 'mented', '[Ff]or ' 'now')) + r')\b')

# What C has safer ways for.
UNSAFE = re.compile(r'(?<![\w.>])(gets|strcpy|strcat|sprintf|vsprintf|strtok|alloca|tmpnam|mktemp'
                    r'|atol|atof)\s*\(')

# What belongs to the os layer of src/.
KERNEL_CALLS = re.compile(r'(?<![\w.>])(malloc|calloc|realloc|free|mmap|syscall|pthread_\w+)\s*\(')

# The C headers that the runtime may use above and below the os layer: they ask the kernel nothing.
PURE_HEADERS = {'errno.h', 'limits.h', 'stdalign.h', 'stdarg.h', 'stdatomic.h', 'stdbool.h',
                'stddef.h', 'stdint.h', 'stdnoreturn.h', 'string.h'}

# {file in src/: (pattern of headers, reason)}
OTHER_HEADERS = {
    'src/ctx/annotate.h': (r'(sanitizer|valgrind)/', 'what tells the tools about stacks'),
}

C_LIKE = ('.c', '.h', '.S', '.cc', '.cpp', '.hpp')
SCRIPTS = ('.py', '.sh')


# ---- the tree ----

@functools.lru_cache(None)
def files():
    """Every file of the tree, by its path from the root: what git knows or would add; without
    git, all but the build folder."""
    listed = subprocess.run(['git', 'ls-files', '-z', '-co', '--exclude-standard'], cwd=ROOT,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if listed.returncode == 0:
        names = listed.stdout.decode().split('\0')
    else:
        names = [os.path.relpath(os.path.join(folder, name), ROOT)
                 for folder, _, found in os.walk(ROOT) for name in found]
        names = [name for name in names if not name.startswith(('build/', '.git/'))]
    return sorted({name for name in names if os.path.isfile(os.path.join(ROOT, name))})


@functools.lru_cache(None)
def text(name):
    with open(os.path.join(ROOT, name), encoding='utf-8', errors='replace', newline='') as file:
        return file.read()


def lines(name):
    return enumerate(text(name).split('\n'), 1)


@functools.lru_cache(None)
def is_script(name):
    return name.endswith(SCRIPTS) or ('.' not in os.path.basename(name)
                                      and text(name)[:2] == '#!')


def is_build_file(name):
    return os.path.basename(name) in ('meson.build', 'meson_options.txt', 'Makefile')


def code():
    return [name for name in files()
            if name.endswith(C_LIKE + ('.go',)) or is_script(name) or is_build_file(name)]


def c_files(*folders):
    return [name for name in files() if name.endswith(('.c', '.h', '.S', '.cpp', '.hpp'))
            and (not folders or name.startswith(folders))]


def without_comments(source):
    """C source with comments and the contents of strings blanked, line numbers kept."""
    def blank(match):
        found = match.group(0)
        if found[0] in '"\'':
            return found[0] + found[0]
        return ' ' + '\n' * found.count('\n')
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, source,
                  flags=re.S)


def includes(name):
    """(line, quoted?, what) of each #include."""
    for number, line in lines(name):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


# ---- text ----

def rule_license():
    """SPDX line first"""
    for name in code():
        first = text(name).split('\n')[:2]
        if 'SPDX-License-Identifier: MIT' not in (first[1:2] or [''])[0] + first[0]:
            yield name, 'the first line (after #!) is not SPDX-License-Identifier: MIT'


def rule_lines():
    """lines of at most 100 columns"""
    for name in code():
        for number, line in lines(name):
            width = len(line.expandtabs(8))
            if width > LINE_LIMIT:
                yield '%s:%d' % (name, number), '%d columns' % width


def rule_blanks():
    """no tabs, no trailing blanks, one newline at the end, UTF-8"""
    for name in code() + [n for n in files() if n.endswith(('.md', '.map', '.ini'))]:
        tabs_allowed = name.endswith('.go') or os.path.basename(name) == 'Makefile'
        for number, line in lines(name):
            place = '%s:%d' % (name, number)
            if '\t' in line and not tabs_allowed:
                yield place, 'a tab'
            if line != line.rstrip():
                yield place, 'blanks (or a carriage return) at the end of the line'
            if '\ufffd' in line:
                yield place, 'not UTF-8'
        if not text(name).endswith('\n') or text(name).endswith('\n\n'):
            yield name, 'does not end in exactly one newline'


def rule_finished():
    """no words of unfinished work"""
    for name in code():
        for number, line in lines(name):
            for match in UNFINISHED.finditer(line):
                yield '%s:%d' % (name, number), match.group(0)


# ---- size ----

def rule_file_length():
    """files of at most 600 lines"""
    for name in files():
        if name.endswith(C_LIKE) or is_script(name):
            length = text(name).count('\n')
            limit = LONGER.get(name, (FILE_LIMIT,))[0]
            if length > limit:
                yield name, '%d lines, %d at most' % (length, limit)


def rule_function_length():
    """functions of at most 70 lines"""
    if shutil.which('ctags') is None:
        raise Skip('ctags is missing')
    if 'Universal' not in subprocess.run(['ctags', '--version'], stdout=subprocess.PIPE,
                                         text=True).stdout:
        raise Skip('this ctags does not say where a function ends; Universal Ctags does')
    found = subprocess.run(
        ['ctags', '-x', '--kinds-C=f', '--kinds-C++=f', '--languages=C,C++', '--fields=+e',
         '--_xformat=%{end} %n %N %F', '-L', '-'], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        input='\n'.join(c_files()), check=True).stdout
    for row in found.splitlines():
        end, start, function, name = row.split(None, 3)
        if not end.isdigit():
            continue
        length = int(end) - int(start) + 1
        limit = LONGER.get((name, function), (FUNCTION_LIMIT,))[0]
        if length > limit:
            yield '%s:%s' % (name, start), '%s has %d lines, %d at most' % (function, length, limit)


# ---- structure ----

def layer_ranks():
    names = [line.strip() for _, line in lines('src/LAYERS')]
    return {name: rank for rank, name in enumerate(n for n in names if n and n[0] != '#')}


def rule_layers():
    """src/ includes downwards, in the order of src/LAYERS"""
    rank = layer_ranks()
    for name in c_files('src/'):
        layer = name.split('/')[1]
        if layer not in rank:
            yield name, '%s is no layer of src/LAYERS' % layer
            continue
        for number, quoted, what in includes(name):
            place = '%s:%d' % (name, number)
            if not quoted:
                if what.split('/')[0] in rank:
                    yield place, '<%s>: headers of src/ are included with quotes' % what
                continue
            from_root = os.path.join('src', what)
            beside = os.path.normpath(os.path.join(os.path.dirname(name), what))
            target = from_root if from_root in files() else beside
            if target not in files() or not target.startswith('src/'):
                yield place, '"%s" is not in src/' % what
            elif rank.get(target.split('/')[1], 99) > rank[layer]:
                yield place, 'the layer %s may not see %s' % (layer, what)


def rule_os_layer():
    """only the os layer of src/ asks the kernel or the C library's allocator"""
    for name in c_files('src/'):
        if name.startswith('src/os/'):
            continue
        allowed, reason = OTHER_HEADERS.get(name, ('$^', ''))
        for number, quoted, what in includes(name):
            if quoted or what in PURE_HEADERS or what.startswith('heddle/'):
                continue
            if not re.match(allowed, what):
                yield '%s:%d' % (name, number), '<%s> is for src/os/' % what
        for number, line in enumerate(without_comments(text(name)).split('\n'), 1):
            match = KERNEL_CALLS.search(line)
            if match and not reason:
                yield '%s:%d' % (name, number), match.group(1) + '() is for src/os/'


def rule_parts():
    """lab/, bench/ and examples/ reach the runtime through its public headers alone"""
    for part in ('lab', 'bench', 'examples'):
        for name in c_files(part + '/'):
            for number, quoted, what in includes(name):
                place = '%s:%d' % (name, number)
                if quoted:
                    places = [os.path.normpath(os.path.join(os.path.dirname(name), what)),
                              part + '/' + what]
                    generated = not any(p in files() for p in places)
                    if places[0].startswith('src/') or (generated and '/' in what):
                        yield place, '"%s" is not of %s/' % (what, part)
                if name.startswith('lab/stat/') and what.startswith('heddle/'):
                    yield place, 'the statistics know nothing of threads'
        for name in files():
            if name.startswith(part + '/') and os.path.basename(name) == 'meson.build':
                for number, line in lines(name):
                    if re.search(r'\b(heddle_internal_dep|src_inc)\b', line):
                        yield '%s:%d' % (name, number), 'internal headers are for src/ and tests/'


def rule_built():
    """every source is named in a meson.build"""
    named = {}
    for name in files():
        if os.path.basename(name) == 'meson.build':
            folder = os.path.dirname(name)
            source = re.sub(r"'([^'\n]*)' \+ arch \+ '([^'\n]*)'",
                            r"'\1x86_64\2', '\1aarch64\2', '\1riscv64\2'", text(name))
            for word in re.findall(r"'([^'\n]+)'", source):
                named.setdefault(os.path.normpath(os.path.join(folder, word)), name)
    for name in files():
        if name.endswith(('.c', '.S', '.cpp')) and name not in named \
                and os.path.splitext(name)[0] not in named:
            yield name, 'no meson.build names it'


def rule_headers_used():
    """every header is included somewhere"""
    included = set()
    for name in c_files():
        for _, _, what in includes(name):
            included.add(os.path.basename(what))
    for name in files(): # -DHEADER="name.h"
        if os.path.basename(name) == 'meson.build':
            included.update(re.findall(r'"([\w.]+\.h(?:pp)?)"', text(name)))
    for name in files():
        if name.endswith(('.h', '.hpp')) and os.path.basename(name) not in included \
                and name != 'include/heddle/heddle.h':
            yield name, 'no file includes it'


def rule_headers_complete():
    """every header of src/ compiles alone"""
    compiler = os.environ.get('CC') or 'cc'
    with tempfile.TemporaryDirectory() as folder:
        probe = os.path.join(folder, 'alone.c')
        for name in files():
            if not (name.startswith('src/') and name.endswith('.h')):
                continue
            if name.startswith('src/arch/') and name.count('/') > 2:
                continue # the CPU's part of arch/arch.h, which includes it
            with open(probe, 'w') as file:
                file.write('#include "%s"\n#include "%s"\n' % (name[4:], name[4:]))
            ran = subprocess.run(
                [compiler, '-std=gnu11', '-D_GNU_SOURCE=', '-Wall', '-Wextra', '-Werror',
                 '-Isrc', '-Iinclude', '-fsyntax-only', probe], cwd=ROOT, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if ran.returncode != 0:
                yield name, 'does not compile alone, or not twice:\n' + ran.stdout


# ---- language ----

def rule_unsafe():
    """no functions of C that cannot be used safely"""
    for name in c_files():
        for number, line in enumerate(without_comments(text(name)).split('\n'), 1):
            match = UNSAFE.search(line)
            if match:
                yield '%s:%d' % (name, number), match.group(1) + '()'


def rule_names():
    """functions of src/ are called hd_..., hd__..., or are static"""
    if shutil.which('ctags') is None:
        raise Skip('ctags is missing')
    found = subprocess.run(
        ['ctags', '-x', '--kinds-C=f', '--languages=C', '--fields=+S',
         '--_xformat=%{file} %n %N %F %C', '-L', '-'], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        input='\n'.join(c_files('src/')), check=True).stdout
    for row in found.splitlines():
        match = re.match(r'(-|\S*)\s+(\d+) (\w+) (\S+) (.*)$', row)
        if not match:
            continue
        number, function, name, source = match.groups()[1:]
        if not re.match(r'hd_', function) and not re.search(r'\bstatic\b', source):
            yield '%s:%s' % (name, number), function


def rule_documented():
    """every public function has a comment above it"""
    for name in files():
        if not (name.startswith('include/') and name.endswith('.h')):
            continue
        documented = False
        for number, line in lines(name):
            stripped = line.strip()
            if stripped.startswith('HD_API'):
                if not documented:
                    yield '%s:%d' % (name, number), stripped
            elif stripped.endswith('*/'):
                documented = True
            elif not stripped or stripped.startswith(('#', 'typedef', '}')):
                documented = False


def rule_version():
    """one version: meson.build, include/heddle/base.h, CHANGELOG.md"""
    version = re.search(r"version: '([\d.]+)'", text('meson.build')).group(1)
    parts = re.findall(r'#define HD_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)',
                       text('include/heddle/base.h'))
    if '.'.join(parts) != version:
        yield 'include/heddle/base.h', '%s, but meson.build says %s' % ('.'.join(parts), version)
    if not re.search(r'^## .*\b%s\b' % re.escape(version), text('CHANGELOG.md'), re.M):
        yield 'CHANGELOG.md', 'has no section for ' + version


def rule_links():
    """links between the documents lead somewhere"""
    for name in files():
        if not name.endswith('.md'):
            continue
        for number, line in lines(name):
            for target in re.findall(r'\]\(([^)#\s]+)[^)]*\)', line):
                path = os.path.normpath(os.path.join(os.path.dirname(name), target))
                if '://' not in target and not os.path.exists(os.path.join(ROOT, path)):
                    yield '%s:%d' % (name, number), target


def rule_man():
    """the man pages format without a warning, and are installed"""
    pages = [name for name in files() if re.match(r'doc/man/.*\.[1-8]$', name)]
    for name in pages:
        if "'%s'" % os.path.basename(name) not in text('doc/man/meson.build'):
            yield name, 'doc/man/meson.build does not install it'
    if pages and shutil.which('groff') is None:
        raise Skip('groff is missing')
    for name in pages:
        ran = subprocess.run(['groff', '-man', '-Tutf8', '-ww', '-z', name], cwd=ROOT, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in ran.stdout.splitlines():
            yield name, line


def rule_man_complete():
    """every public function has a man page"""
    build = text('doc/man/meson.build')
    for function in re.findall(r'^ +(hd_[a-z]\w*);', text('src/heddle.map'), flags=re.M):
        if "'%s'" % function not in build and "'%s.3'" % function not in build:
            yield 'doc/man/meson.build', function


# ---- running the rules ----

class Skip(Exception):
    pass


def run_rule(rule):
    """(number of complaints, reason for a skip)"""
    count = 0
    try:
        for place, what in rule():
            count += 1
            print('# %s: %s' % (place, what.replace('\n', '\n#     ')))
    except Skip as skip:
        return count, str(skip)
    return count, None


def main():
    rules = [value for key, value in globals().items() if key.startswith('rule_')]
    words = [word.lower() for word in sys.argv[1:]] or ['']
    rules = [rule for rule in rules if any(word in rule.__doc__.lower() for word in words)]
    print('1..%d' % len(rules))
    failed = 0
    for number, rule in enumerate(rules, 1):
        count, skipped = run_rule(rule)
        if count:
            failed += 1
        print('%sok %d - %s%s' % ('not ' if count else '', number, rule.__doc__,
                                  ' # SKIP ' + skipped if skipped and not count else ''))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
