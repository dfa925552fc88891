/* SPDX-License-Identifier: MIT */
/*
 * libedit, one key at a time.  Its signal handlers are off, because they send
 * each signal to the whole process group; editor.c handles signals.
 *
 * A key may be several characters, and the program does nothing else while
 * libedit waits for the rest of them: KEY_MS limits each wait.
 */
#include "edit_line.h"

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#ifdef HAVE_LIBEDIT

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "cli.h"
#include "stream.h"

#define HISTORY_SIZE 500
#define ERASE_KEY    "\033\037\037" /* which nobody types */
#define KEY_MS	     200 /* so that Esc and a letter can be typed as one key */
#define NO_CHARACTER ((size_t)-1)
#define INCOMPLETE   ((size_t)-2)

static EditLine *el;
static History *past_lines;
static const char *prompt_text;
static char *given_line;   /* the latest line returned */
static wchar_t *kept_line; /* the line when it was hidden */
static size_t kept_cursor;
static bool is_key_cut; /* the rest of a key has not come */

static char *edit_line_prompt(EditLine *unused)
{
	(void)unused;
	return (char *)(uintptr_t)prompt_text;
}

static unsigned char edit_line_erase_key(EditLine *unused, wint_t key)
{
	const LineInfoW *line = el_wline(el);
	int len = (int)(line->lastchar - line->buffer);

	(void)unused;
	(void)key;
	el_cursor(el, len);
	el_deletestr(el, len);
	return CC_REFRESH;
}

/* As mbrtowc(3); bytes that are no character are forgotten. */
static size_t add_byte(mbstate_t *state, char byte, wchar_t *ret)
{
	bool is_first = mbsinit(state);
	size_t len = mbrtowc(ret, &byte, 1, state);

	if (len != NO_CHARACTER)
		return len;
	*state = (mbstate_t){ 0 };
	return is_first ? len : add_byte(state, byte, ret);
}

/* libedit calls it for each character that it needs. */
static int edit_line_read(EditLine *unused, wchar_t *ret)
{
	struct pollfd typed = { .fd = STDIN_FILENO, .events = POLLIN };
	mbstate_t state = { 0 };
	size_t len;
	char byte;

	(void)unused;
	do {
		ssize_t n;

		if (poll(&typed, 1, KEY_MS) < 1) {
			is_key_cut = true;
			errno = EAGAIN;
			return -1;
		}
		n = read(STDIN_FILENO, &byte, 1);
		if (n != 1)
			return (int)n;
		len = add_byte(&state, byte, ret);
	} while (len == NO_CHARACTER || len == INCOMPLETE);
	return 1;
}

/* libedit works on characters: without UTF-8 it would change the bytes. */
static void use_utf8(void)
{
	setlocale(LC_CTYPE, "");
	if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		setlocale(LC_CTYPE, "C.UTF-8");
}

/* They read keys of their own, and take one that is cut for the end. */
static void unbind_readers(void)
{
	static const char *const keys[] = { "^R", "^S", "^V", "\033x",
					    "\033X" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		el_set(el, EL_BIND, keys[i], "ed-unassigned", NULL);
}

bool edit_line_open(const char *text)
{
	const char *terminal = getenv("TERM");
	HistEvent event;

	if (!terminal || !*terminal || strcmp(terminal, "dumb") == 0)
		return false;
	use_utf8();
	prompt_text = text;
	past_lines = history_init();
	if (!past_lines)
		return false;
	el = el_init_fd(cli_program(), stdin, stream_out(), stream_err(),
			STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO);
	if (!el) {
		history_end(past_lines);
		return false;
	}
	history(past_lines, &event, H_SETSIZE, HISTORY_SIZE);
	el_set(el, EL_SIGNAL, 0);
	el_wset(el, EL_GETCFN, edit_line_read);
	el_set(el, EL_PROMPT, edit_line_prompt);
	el_set(el, EL_EDITOR, "emacs");
	/* There is nothing to complete, and pasted text has tabs. */
	el_set(el, EL_BIND, "\t", "ed-insert", NULL);
	/* A Ctrl-D that is typed while the editor is hidden is read as this. */
	el_set(el, EL_BIND, "^@", "em-delete-or-list", NULL);
	el_set(el, EL_HIST, history, past_lines);
	el_source(el, NULL);
	unbind_readers();
	/* el_set() would leak its copies of the texts. */
	el_wset(el, EL_ADDFN, L"weir-erase", L"Erase the line",
		edit_line_erase_key);
	el_set(el, EL_BIND, ERASE_KEY, "weir-erase", NULL);
	return true;
}

void edit_line_close(void)
{
	el_end(el);
	history_end(past_lines);
	free(given_line);
	free(kept_line);
	given_line = NULL;
	kept_line = NULL;
}

void edit_line_show(void)
{
	size_t len = kept_line ? wcslen(kept_line) : 0;

	el_set(el, EL_UNBUFFERED, 1);
	if (len > 0) {
		el_winsertstr(el, kept_line);
		el_cursor(el, (int)kept_cursor - (int)len);
		putc('\r', stream_out());
		el_set(el, EL_REFRESH);
		fflush(stream_out());
	}
	free(kept_line);
	kept_line = NULL;
}

/* Returns its length. */
static int keep_typed(void)
{
	const LineInfoW *line = el_wline(el);
	size_t len = (size_t)(line->lastchar - line->buffer);

	free(kept_line);
	kept_line = calloc(len + 1, sizeof(*kept_line));
	if (kept_line)
		wmemcpy(kept_line, line->buffer, len);
	kept_cursor = (size_t)(line->cursor - line->buffer);
	return (int)len;
}

void edit_line_hide(void)
{
	(void)keep_typed();
	el_set(el, EL_UNBUFFERED, 0);
}

/* libedit knows which rows the line takes only while it reads. */
void edit_line_erase(void)
{
	int unused;

	if (keep_typed() > 0) {
		el_push(el, ERASE_KEY);
		(void)el_gets(el, &unused);
		/* It does not know that the terminal was resized. */
		fputs("\033[J", stream_out());
		fflush(stream_out());
	}
	el_set(el, EL_UNBUFFERED, 0);
}

void edit_line_forget(void)
{
	HistEvent event;

	history(past_lines, &event, H_CLEAR);
	free(kept_line);
	kept_line = NULL;
}

/* What libedit adds to the line. */
static void take_back_end(void)
{
	el_deletestr(el, 1);
	el_set(el, EL_REFRESH);
}

enum edit_line_event edit_line_key(const char **line, size_t *len)
{
	HistEvent event;
	int count = 0;
	const char *text;

	errno = 0;
	is_key_cut = false;
	text = el_gets(el, &count);
	if (errno == EIO)
		return EDIT_LINE_END;
	if (!text || count < 1)
		return EDIT_LINE_MORE;
	if (is_key_cut) {
		if (text[count - 1] == '\004')
			take_back_end();
		return EDIT_LINE_MORE;
	}
	if (count == 1 && text[0] == '\004')
		return EDIT_LINE_END;
	if (text[count - 1] != '\n' && text[count - 1] != '\r')
		return EDIT_LINE_MORE;
	free(given_line);
	given_line = strndup(text, (size_t)count - 1);
	el_set(el, EL_UNBUFFERED, 0);
	if (!given_line)
		return EDIT_LINE_END;
	if (given_line[0])
		history(past_lines, &event, H_ENTER, given_line);
	*line = given_line;
	*len = strlen(given_line);
	return EDIT_LINE_DONE;
}

void edit_line_resize(void)
{
	el_resize(el);
}

#else

bool edit_line_open(const char *prompt)
{
	(void)prompt;
	return false;
}

void edit_line_close(void)
{
}

void edit_line_show(void)
{
}

void edit_line_hide(void)
{
}

void edit_line_erase(void)
{
}

void edit_line_forget(void)
{
}

enum edit_line_event edit_line_key(const char **line, size_t *len)
{
	(void)line;
	(void)len;
	return EDIT_LINE_END;
}

void edit_line_resize(void)
{
}

#endif
