# SPDX-License-Identifier: MIT
"""What the tests of the example servers share: starting and stopping a server, and TAP. Only the
standard library. Time limits guard against hangs; nothing here measures."""

import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

LIMIT_S = 120.0
REFUSALS = 'the kernel does not offer this', 'not permitted'  # on a kernel without io_uring
SCALE = max(1, int(float(os.environ.get('HEDDLE_TEST_SCALE') or 1)))
SEED = int(os.environ.get('HEDDLE_TEST_SEED') or random.randrange(1 << 32))

# A test run in the background of a script ignores SIGINT, and so would the servers.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Skip(Exception):
    pass


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def check_eq(got, expected, message):
    if got != expected:
        raise AssertionError('%s\n  got      %.300r\n  expected %.300r' % (message, got, expected))


def raise_open_files(wanted):
    """How many descriptors, up to `wanted`, this process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


class Server:
    """A server in a process of its own. To be used in a `with`, which ends it at the latest."""

    def __init__(self, program, io, *options):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [program] + list(options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.errors, env=dict(os.environ, HEDDLE_IO=io))
        line = self.process.stdout.readline().decode()
        match = re.match(r'listening on 127\.0\.0\.1:(\d+)\n$', line)
        if not match:
            self.process.kill()
            raise AssertionError('the server said %r and %s' % (line, self.said()))
        self.port = int(match.group(1))

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode('utf-8', 'replace')

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        said = self.said()
        if kind and said:
            print('# the server said: ' + said.replace('\n', '\n# '))
        self.errors.close()

    def connect(self):
        made = socket.create_connection(('127.0.0.1', self.port), timeout=LIMIT_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def begin_to_stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def stopped(self):
        """Waits for the end, which must be a good one; the last line's two numbers."""
        try:
            status = self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError('the server does not stop')
        out = self.process.stdout.read().decode()
        check_eq(status, 0, 'exit status; it said %s%s' % (out, self.said()))
        match = re.match(r'served (\d+) connections, (\d+) (?:bytes|requests)\n$', out)
        check(match, 'the last line is %r' % out)
        check_eq(self.said(), '', 'complaints')
        return int(match.group(1)), int(match.group(2))

    def stop(self, number=signal.SIGTERM):
        self.begin_to_stop(number)
        return self.stopped()


def io_kinds(program):
    """The ways of I/O that the kernel grants here, and {way: why not} of the others."""
    good, refused = [], {}
    for io in 'io_uring', 'epoll':
        with Server(program, io) as server:
            server.begin_to_stop()
            status = server.process.wait(LIMIT_S)
            said = server.said()
            if io == 'io_uring' and status == 1 and any(
                    words in said for words in REFUSALS):
                refused[io] = said.strip()
            else:
                good.append(io)
    return good, refused


class Report:
    def __init__(self):
        self.count = 0
        self.failed = False
        print('# seed %d' % SEED)

    def run(self, name, function, *arguments):
        """Runs one test; True if it passed."""
        self.count += 1
        try:
            function(*arguments)
            print('ok %d - %s' % (self.count, name), flush=True)
            return True
        except Skip as skip:
            print('ok %d - %s # SKIP %s' % (self.count, name, skip), flush=True)
            return True
        except Exception:  # whatever it is, the other tests still say something
            for line in traceback.format_exc().splitlines():
                print('# ' + line)
            print('# repeat with HEDDLE_TEST_SEED=%d' % SEED)
            print('not ok %d - %s' % (self.count, name), flush=True)
            self.failed = True
            return False

    def skip(self, name, reason):
        def give_up():
            raise Skip(reason)
        self.run(name, give_up)

    def end(self):
        print('1..%d' % self.count)
        sys.exit(1 if self.failed else 0)


def usage_is_told(program):
    for words, expected in [(['--help'], 0), (['--port', 'x'], 2), (['--port', '70000'], 2),
                            (['--workers', '-1'], 2), (['--nothing'], 2)]:
        done = subprocess.run([program] + words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=LIMIT_S)
        check_eq(done.returncode, expected, 'exit status of %s' % words)
        check(done.stdout if expected == 0 else done.stderr, 'nothing was said to %s' % words)


def a_taken_port_is_told(program):
    with Server(program, 'auto') as server:
        done = subprocess.run([program, '--port', str(server.port)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT_S)
        check_eq(done.returncode, 1, 'exit status')
        check(b'in use' in done.stderr, 'it said %r' % done.stderr)
        server.stop()


def wait_until(condition, what):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError('waited in vain until ' + what)
        time.sleep(0.01)
