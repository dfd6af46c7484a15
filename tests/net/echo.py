#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drives examples/echo: many connections at once, whose bytes must come back; resets, half-closed
and stormy ones; and the stop by a signal. Once with io_uring, once with epoll. Prints TAP.

    tests/net/echo.py ECHO [--connections N]
"""

import argparse
import random
import selectors
import signal
import socket
import struct

from server import (LIMIT_S, SCALE, SEED, Report, Server, a_taken_port_is_told, check, check_eq,
                    io_kinds, raise_open_files, usage_is_told)

RESET = struct.pack('ii', 1, 0)


def reset(connection):
    """Closes it with a RST instead of a FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


class Exchange:
    """One connection that sends its bytes and takes them back, as far as either goes."""

    def __init__(self, connection, data):
        self.connection = connection
        self.data = memoryview(data)
        self.sent = self.got = 0

    def step(self, events):
        if events & selectors.EVENT_WRITE and self.sent < len(self.data):
            self.sent += self.connection.send(self.data[self.sent:self.sent + 65536])
        if events & selectors.EVENT_READ:
            back = self.connection.recv(65536)
            check(back, 'the end came after %d of %d bytes' % (self.got, len(self.data)))
            check(back == self.data[self.got:self.got + len(back)],
                  'wrong bytes at %d' % self.got)
            self.got += len(back)
        return self.got == len(self.data)


def exchange(connections, make_data):
    """All at once, each with bytes of its own. How many bytes that were."""
    total = 0
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            connection.setblocking(False)
            data = make_data()
            total += len(data)
            selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE,
                              Exchange(connection, data))
        while selector.get_map():
            ready = selector.select(LIMIT_S)
            check(ready, '%d connections wait for their bytes' % len(selector.get_map()))
            for key, events in ready:
                if key.data.step(events):
                    selector.unregister(key.fileobj)
                elif key.data.sent == len(key.data.data):
                    selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
    return total


class Crowd:
    """The connections to one server, through all the tests on it."""

    def __init__(self, server, count):
        self.server = server
        self.count = count
        self.rng = random.Random(SEED)
        self.connections = []
        self.made = self.bytes = 0

    def some_bytes(self, least=1, most=200):
        return self.rng.getrandbits(8 * most).to_bytes(most, 'big')[:self.rng.randint(least, most)]

    def connect(self, count):
        made = [self.server.connect() for _ in range(count)]
        self.made += count
        self.connections += made
        return made

    def all_at_once(self):
        self.connect(self.count)
        for _ in range(3):
            self.bytes += exchange(self.connections, self.some_bytes)

    def large(self):
        self.bytes += exchange(self.connections[:4], lambda: self.some_bytes(3000000, 4000000))

    def half_closed(self):
        for connection in self.connect(self.count // 10):
            data = self.some_bytes()
            connection.settimeout(LIMIT_S)
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            back = b''
            for part in iter(lambda c=connection: c.recv(4096), b''):
                back += part
            check_eq(back, data, 'what came back')
            self.bytes += len(data)
            self.connections.remove(connection)
            connection.close()

    def resets(self):
        self.rng.shuffle(self.connections)
        for number in range(len(self.connections) // 10):
            connection = self.connections.pop()
            if number % 2:
                connection.send(b'on its way')
            reset(connection)
        self.bytes += exchange(self.connections, self.some_bytes)

    def storm(self):
        """Connections that go as soon as they came, while others work."""
        for _ in range(SCALE):
            for number in range(self.count):
                connection = self.server.connect()
                if number % 3 == 0:
                    connection.send(b'gone')
                (reset if number % 2 else socket.socket.close)(connection)
            self.bytes += exchange(self.connections[:100], self.some_bytes)

    def stop(self):
        """Everybody sees the end, the server counts what it did."""
        served, count = self.server.stop()
        check(served >= self.made, 'served %d connections, at least %d were made' % (
            served, self.made))
        check(count >= self.bytes, '%d bytes, at least %d came back' % (count, self.bytes))
        for connection in self.connections:
            connection.settimeout(LIMIT_S)
            check_eq(connection.recv(1), b'', 'after the end')
            connection.close()


def under_way(program, io):
    """SIGINT while an echo waits for its client to read: what comes is right, and it ends."""
    with Server(program, io, '--workers', '1') as server:
        data = random.Random(SEED).getrandbits(8 << 20).to_bytes(1 << 20, 'big')
        client, idle = server.connect(), server.connect()
        exchange([idle], lambda: b'x')
        client.setblocking(False)
        sent = 0
        try:
            while sent < len(data):
                sent += client.send(data[sent:sent + 65536])
        except BlockingIOError:
            pass
        server.begin_to_stop(signal.SIGINT)
        idle.settimeout(LIMIT_S)
        check_eq(idle.recv(1), b'', 'what the idle connection sees')
        client.settimeout(LIMIT_S)
        back = b''
        try:
            for part in iter(lambda: client.recv(65536), b''):
                back += part
        except ConnectionResetError:  # more had arrived than was asked for before the stop
            pass
        check(back and data.startswith(back), '%d bytes came back, or other ones' % len(back))
        server.stopped()
        client.close()
        idle.close()


def drive(report, program, io, workers, count):
    name = '%s, %d worker%s: ' % (io, workers, 's' if workers > 1 else '')
    with Server(program, io, '--workers', str(workers)) as server:
        crowd = Crowd(server, count)
        for what, step in [('%d connections at once' % count, crowd.all_at_once),
                           ('messages larger than any buffer', crowd.large),
                           ('half-closed connections', crowd.half_closed),
                           ('resets', crowd.resets),
                           ('a storm of connections', crowd.storm),
                           ('SIGTERM with connections open', crowd.stop)]:
            if not report.run(name + what, step):
                return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('program')
    parser.add_argument('--connections', type=int, default=1000)
    options = parser.parse_args()
    report = Report()
    report.run('usage', usage_is_told, options.program)
    report.run('a port in use', a_taken_port_is_told, options.program)
    count = min(options.connections, (raise_open_files(options.connections * 2) - 200) * 4 // 5)
    if count < options.connections:
        print('# the limit of open files allows %d connections' % count)
    good, refused = io_kinds(options.program)
    for io, reason in refused.items():
        report.skip(io, reason)
    for io in good:
        for workers in (1, 2) if options.connections <= 1000 else (2,):
            drive(report, options.program, io, workers, count)
        report.run(io + ': SIGINT with an echo under way', under_way, options.program, io)
    report.end()


main()
