/* SPDX-License-Identifier: MIT */
/*
 * "The terminal is restored before a signal acts": while the line editor has
 * the terminal, the signals that end or stop a program are blocked and read
 * from a descriptor.
 */
#include "editor.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli.h"
#include "edit_line.h"
#include "lines.h"
#include "stream.h"

static struct {
	const char *prompt;
	bool is_interactive;
	bool has_edit_line;		/* libedit has been set up */
	volatile sig_atomic_t is_shown; /* read by signal handlers */
	int signal_fd;			/* -1: none */
	sigset_t signals;
	struct lines lines;	 /* unless has_edit_line */
	enum editor_event event; /* for editor_next() */
	const char *line;
	size_t len;
} editor;

static void editor_open_signals(void)
{
	static const int wanted[] = { SIGINT,  SIGTERM, SIGHUP,
				      SIGQUIT, SIGTSTP, SIGWINCH };

	struct sigaction given;

	sigemptyset(&editor.signals);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		/* A blocked signal would no longer be ignored. */
		sigaction(wanted[i], NULL, &given);
		if (given.sa_handler != SIG_IGN)
			sigaddset(&editor.signals, wanted[i]);
	}
	editor.signal_fd =
		signalfd(-1, &editor.signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

void editor_open(const char *prompt)
{
	memset(&editor, 0, sizeof(editor));
	editor.prompt = prompt;
	editor.signal_fd = -1;
	editor.is_interactive = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	if (!editor.is_interactive)
		return;
	editor_open_signals();
	editor.has_edit_line = editor.signal_fd >= 0 && edit_line_open(prompt);
}

bool editor_is_interactive(void)
{
	return editor.is_interactive;
}

static void editor_put(const char *text)
{
	(void)stream_write(STDOUT_FILENO, text, strlen(text));
}

bool editor_is_shown(void)
{
	return editor.is_shown;
}

void editor_show(void)
{
	if (!editor.is_interactive || editor.is_shown)
		return;
	editor.is_shown = true;
	if (!editor.has_edit_line) {
		editor_put(editor.prompt);
		return;
	}
	sigprocmask(SIG_BLOCK, &editor.signals, NULL);
	edit_line_show();
}

/* After the prompt's line is done and the terminal is restored. */
static void editor_release(void)
{
	if (editor.is_shown && editor.has_edit_line)
		sigprocmask(SIG_UNBLOCK, &editor.signals, NULL);
	editor.is_shown = false;
}

/* The line that was typed last is done, and the cursor on the next. */
static bool is_line_done(void)
{
	return editor.event == EDITOR_LINE;
}

void editor_hide(void)
{
	if (!editor.is_shown)
		return;
	if (is_line_done()) {
		editor_release();
		return;
	}
	if (editor.has_edit_line)
		edit_line_hide();
	editor_put("\n");
	editor_release();
}

void editor_erase(void)
{
	/* Where the terminal itself edits, its line is not known. */
	if (!editor.has_edit_line || is_line_done())
		editor_hide();
	if (!editor.is_shown)
		return;
	edit_line_erase();
	for (size_t i = strlen(editor.prompt); i > 0; i--)
		editor_put("\b \b");
	editor_release();
}

enum editor_event editor_next(const char **line, size_t *len)
{
	enum editor_event event = editor.event;

	if (event == EDITOR_NOTHING && !editor.has_edit_line) {
		if (lines_take(&editor.lines, &editor.line, &editor.len))
			event = EDITOR_LINE;
		else if (editor.lines.has_ended)
			event = EDITOR_END;
	}
	if (event == EDITOR_LINE) {
		*line = editor.line;
		*len = editor.len;
		editor.event = EDITOR_NOTHING;
		editor_release();
	}
	return event;
}

void editor_fds(struct pollfd fds[EDITOR_FDS])
{
	bool is_editing = editor.has_edit_line && editor.is_shown;

	fds[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	fds[1] = (struct pollfd){
		.fd = is_editing ? editor.signal_fd : -1,
		.events = POLLIN,
	};
}

/* is_shown stays true for the signal's handler: the cursor is on the prompt. */
static void raise_again(int signo)
{
	edit_line_hide();
	sigprocmask(SIG_UNBLOCK, &editor.signals, NULL);
	kill(getpid(), signo);
	editor.is_shown = false;
	editor_put("\n");
}

static void editor_read_signal(void)
{
	struct signalfd_siginfo info;

	if (read(editor.signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGWINCH:
		edit_line_resize();
		break;
	case SIGTSTP:
		editor_hide();
		raise(SIGTSTP);
		editor_show();
		break;
	default:
		raise_again((int)info.ssi_signo);
	}
}

static void editor_read_key(short found)
{
	enum edit_line_event event = EDIT_LINE_END;

	/*
	 * A terminal that has gone has no more keys, but poll() would return
	 * at once each time.
	 */
	if ((found & (POLLIN | POLLHUP | POLLERR)) == POLLIN)
		event = edit_line_key(&editor.line, &editor.len);
	if (event == EDIT_LINE_DONE)
		editor.event = EDITOR_LINE;
	if (event == EDIT_LINE_END)
		editor.event = EDITOR_END;
}

static void editor_read_lines(void)
{
	int rc = lines_read(&editor.lines, STDIN_FILENO);

	if (rc >= 0)
		return;
	editor.event = EDITOR_FAILED;
	if (rc == -EMSGSIZE)
		cli_error("a line of standard input is longer than %zu bytes",
			  LINES_MAX);
	else
		cli_error("cannot read standard input: %s", strerror(-rc));
}

void editor_step(const struct pollfd fds[EDITOR_FDS])
{
	if (fds[1].revents)
		editor_read_signal();
	if (editor.event != EDITOR_NOTHING || !fds[0].revents)
		return;
	if (editor.has_edit_line)
		editor_read_key(fds[0].revents);
	else
		editor_read_lines();
}

void editor_close(void)
{
	editor_hide();
	if (editor.has_edit_line)
		edit_line_close();
	if (editor.signal_fd >= 0)
		close(editor.signal_fd);
	lines_fini(&editor.lines);
	editor.has_edit_line = false;
	editor.signal_fd = -1;
}
