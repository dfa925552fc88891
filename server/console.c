/* SPDX-License-Identifier: MIT */
/*
 * While there is a prompt the line editor has the terminal, so only the thread
 * that reads may write there; what others print waits in `above` until it does.
 *
 * Whoever stops us and has us go on, a shell for one, may have changed the
 * terminal meanwhile, and it may have another size: the main thread hears of
 * both by a signal.
 *
 * The thread has all signals blocked, so that none ends us while the terminal
 * is the editor's: they are taken by the main thread, which stops the server
 * and then closes the console.
 */
#include "console.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include "../cli/edit_line.h"
#include "../cli/stream.h"

#define MOST_ABOVE ((size_t)64 * 1024)
#define CLOSE_MS   1000 /* for a thread that waits for the terminal */

static struct {
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t is_left;
	bool is_open, is_closing;
	bool is_read; /* a thread is in console_next() */
	size_t len;
	char above[MOST_ABOVE];

	/* Constant while it is open. */
	int bell;
	bool is_terminal[STDERR_FILENO + 1];
	bool has_edit_line;
	struct termios before;

	_Atomic bool was_stopped, was_resized;

	/* The reading thread only. */
	bool is_shown;
	unsigned long long id; /* of the prompt that is or was shown */
	char prompt[16];
	char typed[1024]; /* without line editing */
	size_t typed_len, given;
} console = { .lock = PTHREAD_MUTEX_INITIALIZER,
	      .is_left = PTHREAD_COND_INITIALIZER };

static bool is_ours(void)
{
	pid_t owner = tcgetpgrp(STDIN_FILENO);

	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) &&
	       (owner < 0 || owner == getpgrp());
}

static void note_signal(int signo)
{
	if (signo == SIGCONT)
		console.was_stopped = true;
	else
		console.was_resized = true;
	console_wake();
}

static void watch_signals(void)
{
	struct sigaction action = { .sa_handler = note_signal,
				    .sa_flags = SA_RESTART };

	sigaction(SIGCONT, &action, NULL);
	sigaction(SIGWINCH, &action, NULL);
}

bool console_open(void)
{
	if (!is_ours() || tcgetattr(STDIN_FILENO, &console.before) < 0)
		return false;
	console.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (console.bell < 0)
		return false;
	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		console.is_terminal[fd] = isatty(fd);
	console.has_edit_line = edit_line_open(console.prompt);
	pthread_mutex_lock(&console.lock);
	console.is_open = true;
	pthread_mutex_unlock(&console.lock);
	watch_signals();
	return true;
}

/* In a signal handler, too. */
void console_wake(void)
{
	const uint64_t one = 1;
	int saved = errno;

	if (console.bell > 0)
		(void)!write(console.bell, &one, sizeof(one));
	errno = saved;
}

bool console_print(int fd, const char *line, size_t len)
{
	bool is_taken;

	pthread_mutex_lock(&console.lock);
	is_taken = console.is_open && !console.is_closing &&
		   console.is_terminal[fd] && MOST_ABOVE - console.len >= len;
	if (is_taken) {
		memcpy(console.above + console.len, line, len);
		console.len += len;
	}
	pthread_mutex_unlock(&console.lock);
	if (is_taken)
		console_wake();
	return is_taken;
}

/* ------------------------------------------------------ the reading thread */

static void put(const char *text, size_t len)
{
	(void)stream_write(STDOUT_FILENO, text, len);
}

static void hide(void)
{
	if (!console.is_shown)
		return;
	console.is_shown = false;
	if (console.has_edit_line)
		edit_line_erase();
	for (size_t i = strlen(console.prompt); i > 0; i--)
		put("\b \b", 3);
}

/* The terminal is not what it was. */
static void adapt(void)
{
	if (atomic_exchange(&console.was_stopped, false))
		hide();
	if (atomic_exchange(&console.was_resized, false) &&
	    console.has_edit_line)
		edit_line_resize();
}

static void show(const char *prompt, unsigned long long id)
{
	bool is_other = console.id != id;

	if (console.is_shown && !is_other)
		return;
	hide();
	strncpy(console.prompt, prompt, sizeof(console.prompt) - 1);
	console.id = id;
	console.is_shown = true;
	if (!console.has_edit_line) {
		put(console.prompt, strlen(console.prompt));
		return;
	}
	if (is_other) /* what was typed, and the history, were for another */
		edit_line_forget();
	edit_line_show();
}

static void print_above(void)
{
	static char text[MOST_ABOVE];
	size_t len;

	pthread_mutex_lock(&console.lock);
	len = console.len;
	memcpy(text, console.above, len);
	console.len = 0;
	pthread_mutex_unlock(&console.lock);
	if (len == 0)
		return;
	hide();
	put(text, len);
}

static enum console_event read_typed(const char **line, size_t *len)
{
	char *end;
	ssize_t n;

	console.typed_len -= console.given;
	memmove(console.typed, console.typed + console.given,
		console.typed_len);
	console.given = 0;
	n = read(STDIN_FILENO, console.typed + console.typed_len,
		 sizeof(console.typed) - console.typed_len);
	if (n <= 0)
		return n == 0 ? CONSOLE_END : CONSOLE_GONE;
	console.typed_len += (size_t)n;
	end = memchr(console.typed, '\n', console.typed_len);
	if (!end && console.typed_len < sizeof(console.typed))
		return CONSOLE_WOKEN;
	*line = console.typed;
	*len = end ? (size_t)(end - console.typed) : console.typed_len;
	console.given = *len + (end != NULL);
	console.is_shown = false;
	return CONSOLE_LINE;
}

static enum console_event read_key(short found, const char **line, size_t *len)
{
	if ((found & (POLLIN | POLLHUP | POLLERR)) != POLLIN)
		return CONSOLE_GONE;
	if (!console.has_edit_line)
		return read_typed(line, len);
	switch (edit_line_key(line, len)) {
	case EDIT_LINE_DONE:
		console.is_shown = false;
		return CONSOLE_LINE;
	case EDIT_LINE_END:
		return CONSOLE_END;
	default:
		return CONSOLE_WOKEN;
	}
}

/* Whether it closes; then the terminal is given back, and it is said so. */
static bool leaves(void)
{
	bool is_closing;

	pthread_mutex_lock(&console.lock);
	is_closing = console.is_closing;
	console.is_read = true;
	pthread_mutex_unlock(&console.lock);
	if (!is_closing)
		return false;
	hide();
	pthread_mutex_lock(&console.lock);
	console.is_read = false;
	pthread_cond_signal(&console.is_left);
	pthread_mutex_unlock(&console.lock);
	return true;
}

enum console_event console_next(const char *prompt, unsigned long long id,
				const char **line, size_t *len)
{
	struct pollfd fds[2] = {
		{ .fd = prompt ? STDIN_FILENO : -1, .events = POLLIN },
		{ .fd = console.bell, .events = POLLIN },
	};
	uint64_t rings;

	adapt();
	print_above();
	if (leaves())
		return CONSOLE_GONE;
	if (prompt)
		show(prompt, id);
	else
		hide();
	if (poll(fds, 2, -1) < 0)
		return errno == EINTR ? CONSOLE_WOKEN : CONSOLE_GONE;
	if (fds[1].revents)
		(void)!read(console.bell, &rings, sizeof(rings));
	return fds[0].revents ? read_key(fds[0].revents, line, len)
			      : CONSOLE_WOKEN;
}

/* ------------------------------------------------------------------ others */

void console_close(void)
{
	struct timespec until;

	if (!console.is_open)
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLOSE_MS / 1000;
	pthread_mutex_lock(&console.lock);
	console.is_closing = true;
	pthread_mutex_unlock(&console.lock);
	console_wake();
	pthread_mutex_lock(&console.lock);
	while (console.is_read)
		if (pthread_cond_timedwait(&console.is_left, &console.lock,
					   &until) != 0)
			break;
	pthread_mutex_unlock(&console.lock);
	tcsetattr(STDIN_FILENO, TCSANOW, &console.before);
}
