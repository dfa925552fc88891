/* SPDX-License-Identifier: MIT */
/*
 * While a prompt is shown the line editor owns the terminal, so only the
 * reading thread writes there.  What other threads print waits in `above`.
 *
 * The reading thread has all signals blocked, so that none ends the process
 * while the terminal is in the editor's mode.  The main thread takes them: it
 * stops the server and closes the console.  A shell that stops and continues
 * the process may change the terminal or its size; the signal handlers below
 * note that for the reading thread.
 *
 * In the background the terminal belongs to another program: no prompt is
 * shown, no key is read, and the mode of the terminal is not changed.
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
#include <time.h>
#include <unistd.h>

#include "../cli/edit_line.h"
#include "../cli/stream.h"
#include "background.h"

#define MOST_ABOVE ((size_t)64 * 1024)
#define CLOSE_MS   1000 /* the reading thread may wait for the terminal */
#define AWAY_MS	   200	/* between two checks: fg(1) may send no signal */

static struct {
	pthread_mutex_t lock; /* of the next six */
	pthread_cond_t is_left;
	bool is_open, is_closing;
	bool is_read; /* a thread reads, and has to learn of the close */
	size_t len;
	char above[MOST_ABOVE];

	/* Constant while it is open. */
	int wake_fd;
	bool is_terminal[STDERR_FILENO + 1];
	bool has_edit_line;
	struct termios before;

	_Atomic bool was_stopped, was_resized;

	/* Used only by the reading thread. */
	bool is_away; /* in the background */
	bool is_shown;
	unsigned long long id; /* of the latest prompt */
	char prompt[16];
	char typed[1024]; /* without line editing */
	size_t typed_len, given;
} console = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* False if the terminal has hung up or is not the controlling one. */
static bool is_in_background(void)
{
	pid_t owner = tcgetpgrp(STDIN_FILENO);

	return owner >= 0 && owner != getpgrp();
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
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
	    is_in_background() || tcgetattr(STDIN_FILENO, &console.before) < 0)
		return false;
	console.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (console.wake_fd < 0)
		return false;
	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		console.is_terminal[fd] = isatty(fd);
	background_cond_init(&console.is_left);
	console.has_edit_line = edit_line_open(console.prompt);
	pthread_mutex_lock(&console.lock);
	console.is_open = true;
	pthread_mutex_unlock(&console.lock);
	watch_signals();
	return true;
}

/* Also called by signal handlers. */
void console_wake(void)
{
	const uint64_t one = 1;
	int saved = errno;

	if (console.wake_fd > 0)
		(void)!write(console.wake_fd, &one, sizeof(one));
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

static void console_put(const char *text, size_t len)
{
	(void)stream_write(STDOUT_FILENO, text, len);
}

static void console_hide(void)
{
	if (!console.is_shown || console.is_away)
		return;
	console.is_shown = false;
	if (console.has_edit_line)
		edit_line_erase();
	for (size_t i = strlen(console.prompt); i > 0; i--)
		console_put("\b \b", 3);
}

static void console_adapt(void)
{
	bool has_changed = console.is_away;

	console.is_away = is_in_background();
	if (console.is_away)
		return;
	has_changed |= atomic_exchange(&console.was_stopped, false);
	if (has_changed)
		console_hide();
	if (atomic_exchange(&console.was_resized, false) &&
	    console.has_edit_line)
		edit_line_resize();
}

static void console_show(const char *prompt, unsigned long long id)
{
	bool is_other = console.id != id;

	if (console.is_shown && !is_other)
		return;
	console_hide();
	strncpy(console.prompt, prompt, sizeof(console.prompt) - 1);
	console.id = id;
	console.is_shown = true;
	if (!console.has_edit_line) {
		console_put(console.prompt, strlen(console.prompt));
		return;
	}
	if (is_other) /* what was typed, and the history, are not for it */
		edit_line_forget();
	edit_line_show();
}

static void console_print_above(void)
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
	console_hide();
	console_put(text, len);
}

static enum console_event console_read_typed(const char **line, size_t *len)
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

static enum console_event console_edit(const char **line, size_t *len)
{
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

static enum console_event console_read_key(short found, const char **line,
					   size_t *len)
{
	enum console_event event;

	if ((found & (POLLIN | POLLHUP | POLLERR)) != POLLIN)
		return CONSOLE_GONE;
	event = console.has_edit_line ? console_edit(line, len)
				      : console_read_typed(line, len);
	/* A read in the background fails, because SIGTTIN is blocked. */
	if (event != CONSOLE_LINE && is_in_background())
		return CONSOLE_WOKEN;
	return event;
}

/* True: the prompt is hidden, and console_close() has been told. */
static bool console_is_closing(void)
{
	bool is_closing;

	pthread_mutex_lock(&console.lock);
	is_closing = console.is_closing;
	console.is_read = true;
	pthread_mutex_unlock(&console.lock);
	if (!is_closing)
		return false;
	console_hide();
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
		{ .fd = -1, .events = POLLIN },
		{ .fd = console.wake_fd, .events = POLLIN },
	};
	uint64_t wakes;
	int wait_ms = -1;

	console_adapt();
	console_print_above();
	if (console_is_closing())
		return CONSOLE_GONE;
	if (prompt && !console.is_away) {
		fds[0].fd = STDIN_FILENO;
		console_show(prompt, id);
	} else {
		console_hide();
	}
	if (console.is_away && (prompt || console.is_shown))
		wait_ms = AWAY_MS;
	if (poll(fds, 2, wait_ms) < 0)
		return errno == EINTR ? CONSOLE_WOKEN : CONSOLE_GONE;
	if (fds[1].revents)
		(void)!read(console.wake_fd, &wakes, sizeof(wakes));
	return fds[0].revents ? console_read_key(fds[0].revents, line, len)
			      : CONSOLE_WOKEN;
}

/* SIGTTOU would stop the process if it gets into the background meanwhile. */
static void console_restore(void)
{
	sigset_t ttou, before;

	if (is_in_background())
		return;
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &before);
	tcsetattr(STDIN_FILENO, TCSANOW, &console.before);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void console_close(void)
{
	struct timespec until;

	if (!console.is_open)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
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
	console_restore();
}
