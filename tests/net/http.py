#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drives examples/http: right and wrong requests, pipelines, deadlines, a request that computes
beside others, wrk (Debian package wrk), and the stop by a signal. Once with io_uring, once with
epoll. Prints TAP.

    tests/net/http.py HTTP
"""

import random
import re
import shutil
import socket
import subprocess
import sys
import threading

from server import (LIMIT_S, SEED, Report, Server, Skip, a_taken_port_is_told, check, check_eq,
                    io_kinds, usage_is_told, wait_until)

GET = b'GET %s HTTP/1.1\r\nHost: a\r\n\r\n'
GET_LAST = b'GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
HELLO = b'Hello from a thread of its own.\n'


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def __repr__(self):
        return 'Answer(%r, %r, %r)' % (self.status, self.fields, self.body)


class Client:
    """A connection, and a reader of answers."""

    def __init__(self, server):
        self.socket = server.connect()
        self.socket.settimeout(LIMIT_S)
        self.buffer = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        part = self.socket.recv(65536)
        self.buffer += part
        return len(part) > 0

    def answer(self, head_only=False):
        """The next answer; None if the connection ended instead."""
        while b'\r\n\r\n' not in self.buffer:
            if not self.more():
                check_eq(self.buffer, b'', 'the end of the connection')
                return None
        head, self.buffer = self.buffer.split(b'\r\n\r\n', 1)
        lines = head.decode('ascii').split('\r\n')
        match = re.match(r'HTTP/1\.1 (\d\d\d) [A-Z][A-Za-z ]+$', lines[0])
        check(match, 'a status line: %r' % lines[0])
        fields = {}
        for line in lines[1:]:
            name, value = line.split(': ', 1)
            check(name not in fields, '%s comes twice' % name)
            fields[name] = value
        check(fields.get('Date', '').endswith(' GMT'), 'a date: %r' % fields)
        length = 0 if head_only else int(fields['Content-Length'])
        while len(self.buffer) < length:
            check(self.more(), 'an answer was cut: %r' % self.buffer)
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(int(match.group(1)), fields, body)

    def get(self, path=b'/'):
        self.send(GET % path)
        return self.answer()

    def ended(self):
        check_eq(self.answer(), None, 'after the last answer')


def pages(server):
    with Client(server) as client:
        for path, body in [(b'/', HELLO), (b'/?a=b', HELLO), (b'http://a/', HELLO),
                           (b'/slow', b'That took a while.\n'),
                           (b'/burn', b'That was hard work.\n')]:
            answer = client.get(path)
            check_eq((answer.status, answer.body), (200, body), path.decode())
            check('Connection' not in answer.fields, 'HTTP/1.1 goes on unless told otherwise')
        for path in b'/nothing', b'/Slow', b'//':
            check_eq(client.get(path).status, 404, path.decode())
        client.send(b'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
        answer = client.answer(head_only=True)
        check_eq((answer.status, answer.fields['Content-Length']), (200, str(len(HELLO))), 'HEAD')
        client.send(b'DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n')
        answer = client.answer()
        check_eq((answer.status, answer.fields['Allow']), (405, 'GET, HEAD'), 'DELETE')
        check_eq(client.get().body, HELLO, 'afterwards')


def ends(server):
    """When the connection ends after the answer, and when it does not."""
    one_0 = b'GET / HTTP/1.0\r\n%s\r\n'
    for request, goes_on in [
            (GET % b'/', True), (GET_LAST % b'/', False),
            (b'GET / HTTP/1.1\r\nHost: a\r\nConnection: te ,\tClose\r\n\r\n', False),
            (one_0 % b'', False), (one_0 % b'Connection: Keep-Alive\r\n', True),
            (b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello', False),
            (b'GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', False)]:
        with Client(server) as client:
            client.send(request)
            answer = client.answer()
            check_eq(answer.status, 405 if request[:1] == b'P' else 200, request.decode())
            check_eq(answer.fields.get('Connection') != 'close', goes_on, request.decode())
            if goes_on:
                check_eq(client.get().body, HELLO, 'afterwards')
            else:
                client.ended()


def wrong_requests(server):
    host = b'Host: a\r\n'
    for status, request in [
            (400, b'nonsense\r\n\r\n'), (400, b' / HTTP/1.1\r\n' + host + b'\r\n'),
            (400, b'GET /\r\n\r\n'), (400, b'GET / HTTP/1.1 \r\n' + host + b'\r\n'),
            (400, b'GET a HTTP/1.1\r\n' + host + b'\r\n'),
            (400, b'GET / HTTP/1.1\r\n\r\n'), (400, b'GET / HTTP/1.1\r\n' + host * 2 + b'\r\n'),
            (400, b'GET / HTTP/1.1\r\nHost : a\r\n\r\n'),
            (400, b'GET / HTTP/1.1\r\n' + host + b' folded\r\n\r\n'),
            (400, b'GET / HTTP/1.1\r\n' + host + b'no colon\r\n\r\n'),
            (400, b'GET / HTTP/1.1\r\n' + host + b'A: b\rc\r\n\r\n'),
            (400, b'GET / HTTP/1.1\r\n' + host + b'A: b\nc: d\r\n\r\n'),
            (400, b'GET / HTTP/1.1\r\n' + host + b'A: \0\r\n\r\n'),
            (400, b'GET / HTTP/1.1\r\n' + host + b'Content-Length: 1, 2\r\n\r\n'),
            (400, b'GET / HTTP/1.1\r\n' + host + b'Content-Length: -1\r\n\r\n'),
            (400, b'GET / HTTP/1.1\r\n' + host + b'Content-Length:\r\n\r\n'),
            (400, b'\x16\x03\x01\x02\0\x01\0\r\n\r\n'),
            (505, b'GET / HTTP/2.0\r\n' + host + b'\r\n'),
            (431, b'GET / HTTP/1.1\r\n' + host + b'A: ' + b'b' * 10000 + b'\r\n\r\n'),
            (431, b'x' * 300000)]:
        with Client(server) as client:
            try:
                client.send(request + GET % b'/')
            except (BrokenPipeError, ConnectionResetError):
                continue  # refused before all of it was sent
            answer = client.answer()
            check(answer, 'no answer to %.100r' % request)
            check_eq(answer.status, status, '%.100r' % request)
            check_eq(answer.fields.get('Connection'), 'close', '%.100r' % request)
    rng = random.Random(SEED)
    for _ in range(200):
        with Client(server) as client:
            request = bytearray(GET % b'/slow?abc')
            for _ in range(rng.randint(1, 3)):
                request[rng.randrange(len(request))] = rng.randrange(256)
            client.send(request)
            client.socket.shutdown(socket.SHUT_WR)
            while client.answer():
                continue


def pipelines(server):
    rng = random.Random(SEED)
    expected, requests = [], b'\r\n'
    for _ in range(2000):
        path, answer = rng.choice([(b'/', (200, HELLO)), (b'/none', (404, b'Not Found'))])
        requests += GET % path
        expected.append(answer)
    with Client(server) as client:
        sender = threading.Thread(target=client.send, args=(requests,))
        sender.start()
        for number, (status, body) in enumerate(expected):
            answer = client.answer()
            check_eq((answer.status, answer.body), (status, body), 'answer %d' % number)
        sender.join()
    with Client(server) as client:  # cut at any place
        pieces = GET % b'/' * 10
        while pieces:
            size = rng.randint(1, 40)
            client.send(pieces[:size])
            pieces = pieces[size:]
        for _ in range(10):
            check_eq(client.answer().body, HELLO, 'a request in pieces')


def burns_beside_others(server):
    """One worker, one connection that computes for a second: another is served meanwhile."""
    with Client(server) as busy, Client(server) as other:
        check_eq(other.get().status, 200, 'before')
        busy.send(GET % b'/burn' * 5)
        events = []

        def read_all():
            for _ in range(5):
                events.append(('burn', busy.answer().status))

        reader = threading.Thread(target=read_all)
        reader.start()
        wait_until(lambda: events, 'the first answer of /burn')
        check_eq(other.get().status, 200, 'meanwhile')
        events.append(('other', 200))
        reader.join()
        check(events.index(('other', 200)) < 5, '/ waited for all of /burn')


def wrk(server):
    """Many keep-alive connections without one error, /burn beside them."""
    program = shutil.which('wrk')
    if not program:
        raise Skip('wrk is not installed (Debian package wrk)')
    over = threading.Event()
    burned = []

    def burn():
        with Client(server) as client:
            while not over.is_set():
                burned.append(client.get(b'/burn').status)

    burner = threading.Thread(target=burn)
    burner.start()
    try:
        done = subprocess.run([program, '-t2', '-c100', '-d2s',
                               'http://127.0.0.1:%d/' % server.port], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S)
    finally:
        over.set()
        burner.join()
    out = done.stdout.decode()
    check_eq(done.returncode, 0, out)
    check(not re.search('Socket errors|Non-2xx', out), out)
    count = re.search(r'(\d+) requests in', out)
    check(count and int(count.group(1)) > 0, out)
    check(burned and set(burned) == {200}, 'answers to /burn: %s' % burned)


def idle(program, io):
    """Who is silent is let go; who sent half a request is told so."""
    with Server(program, io, '--idle-ms', '100') as server:
        with Client(server) as silent, Client(server) as slow:
            slow.send(b'GET / HTT')
            silent.ended()
            check_eq(slow.answer().status, 408, 'half a request')
            slow.ended()
        server.stop()


def under_way(program, io):
    """SIGTERM: answers under way come, idle connections end, the status is 0."""
    with Server(program, io, '--idle-ms', '1000000') as server:
        quiet, working = [[Client(server) for _ in range(20)] for _ in range(2)]
        for client in quiet:
            check_eq(client.get().status, 200, 'before')
        for number, client in enumerate(working):
            client.send(GET % b'/' + GET % [b'/slow', b'/burn'][number % 2])
        for client in working:  # the first answer goes out when the second begins
            check_eq(client.answer().body, HELLO, 'the first of two')
        server.begin_to_stop()
        for client in working:
            answer = client.answer()
            check(answer and answer.status == 200, 'an answer under way: %r' % answer)
        for client in quiet + working:
            client.ended()
            client.socket.close()
        served, count = server.stopped()
        check_eq((served, count), (40, 60), 'what it counted')


def main():
    program = sys.argv[1]
    report = Report()
    report.run('usage', usage_is_told, program)
    report.run('a port in use', a_taken_port_is_told, program)
    good, refused = io_kinds(program)
    for io, reason in refused.items():
        report.skip(io, reason)
    for io in good:
        with Server(program, io, '--workers', '1') as server:
            for what, step in [('pages', pages), ('the end of connections', ends),
                               ('wrong requests', wrong_requests), ('pipelines', pipelines),
                               ('/burn beside others', burns_beside_others),
                               ('SIGTERM', Server.stop)]:
                report.run('%s, 1 worker: %s' % (io, what), step, server)
        with Server(program, io) as server:
            for what, step in [('pipelines', pipelines), ('wrk', wrk), ('SIGTERM', Server.stop)]:
                report.run('%s: %s' % (io, what), step, server)
        report.run(io + ': silent clients', idle, program, io)
        report.run(io + ': SIGTERM with answers under way', under_way, program, io)
    report.end()


main()
