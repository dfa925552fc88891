/* SPDX-License-Identifier: MIT */
/*
 * Lines to standard output and standard error that never make the server
 * wait: a reader that has gone or sleeps loses lines, not clients.
 * Any thread.
 */
#ifndef SERVER_OUT_H
#define SERVER_OUT_H

#include <stdbool.h>
#include <stddef.h>

/* Before any thread.  Terminals are looked after from here on. */
void out_start(void);

/*
 * Write one line, its newline included, to standard output or standard error,
 * whole or not at all: at once, or as soon as fd takes it within wait_ms.  len
 * is at most PIPE_BUF.  Of a line that is not written a terminal may show the
 * beginning.
 */
bool out_line(int fd, const char *line, size_t len, int wait_ms);

/*
 * From now on lines go to print() first, which says whether it has taken them:
 * for a terminal that somebody types at.
 */
void out_through(bool (*print)(int fd, const char *line, size_t len));

/*
 * A line that a service prints, at once or not at all.  From out_go_first()
 * to out_let_others(), in one thread, such lines wait.
 */
bool out_print(const char *line, size_t len);
void out_go_first(void);
void out_let_others(void);

/* A line of the program's contract, to standard output. */
void out_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
