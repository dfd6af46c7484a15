/* SPDX-License-Identifier: MIT */
/* What the peers of examples/echo share: the command line, and the socket that they listen on. */
#ifndef HEDDLE_BENCH_SERVER_H
#define HEDDLE_BENCH_SERVER_H

/* Reads [--port N] [--workers N], listens on the loopback interface and prints `listening on
 * 127.0.0.1:PORT`. The listening socket; ends the program when there is none. *workers is left as
 * it was without --workers. SIGTERM ends the program, as it does any other. */
int server_start(int argc, char **argv, unsigned *workers);

/* The next connection. */
int server_accept(int listener);

#endif
