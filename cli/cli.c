/* SPDX-License-Identifier: MIT */
/*
 * Option tables for getopt_long(3).  Its own error messages are not used: some
 * have two lines, and they show the user's bytes unescaped.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "guess.h"
#include "stream.h"
#include "text.h"

#define OPTIONS_MAX 96

static const char *program_name = "weir";
static bool dies_of_sigpipe; /* it was not ignored at the start */

/* open(2) gives the lowest number that is free. */
static void open_what_is_closed(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null",
				   fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
}

void cli_start(const char *program)
{
	program_name = program;
	dies_of_sigpipe = signal(SIGPIPE, SIG_IGN) == SIG_DFL;
	signal(SIGXFSZ, SIG_IGN);
	open_what_is_closed();
}

const char *cli_program(void)
{
	return program_name;
}

/* Where errors are written; NULL: they are printed. */
static _Thread_local char *redirected;
static _Thread_local size_t redirected_cap;

void cli_redirect_errors(char *buf, size_t cap)
{
	redirected = buf;
	redirected_cap = cap;
}

static _Thread_local char last_error[CLI_ERROR_MOST];

const char *cli_last_error(void)
{
	return last_error;
}

void cli_error(const char *format, ...)
{
	char raw[CLI_ERROR_MOST], line[2 * CLI_ERROR_MOST];
	size_t len;
	va_list ap;

	va_start(ap, format);
	vsnprintf(raw, sizeof(raw), format, ap);
	va_end(ap);
	if (redirected) {
		cli_escape(redirected, redirected_cap, raw, strlen(raw),
			   CLI_KEEP_UTF8);
		return;
	}
	cli_escape(last_error, sizeof(last_error), raw, strlen(raw),
		   CLI_KEEP_UTF8);
	len = (size_t)snprintf(line, sizeof(line), "%s: ", program_name);
	len += cli_escape(line + len, sizeof(line) - 1 - len, raw, strlen(raw),
			  CLI_KEEP_UTF8);
	line[len++] = '\n';
	(void)stream_write(STDERR_FILENO, line, len);
}

static bool is_optional(const char *arg)
{
	return arg && arg[0] == '[';
}

static void translate_table(const struct cli_option *table,
			    struct option longs[OPTIONS_MAX + 1],
			    char shorts[2 * OPTIONS_MAX + 2])
{
	size_t n = 0;

	*shorts++ = ':';
	for (; table->name && n < OPTIONS_MAX; table++) {
		longs[n++] = (struct option){
			.name = table->name,
			.has_arg = is_optional(table->arg) ? optional_argument
				   : table->arg		   ? required_argument
							   : no_argument,
			.val = table->key,
		};
		if (table->key > 255)
			continue;
		*shorts++ = (char)table->key;
		if (table->arg)
			*shorts++ = ':';
	}
	longs[n] = (struct option){ 0 };
	*shorts = '\0';
}

static const char *name_of(const struct cli_option *table, int key)
{
	for (; table->name; table++)
		if (table->key == key)
			return table->name;
	return NULL;
}

void cli_report_unknown(const char *what, const char *word, size_t len,
			const char *(*name_at)(size_t i), const char *rest)
{
	struct guess guess = { .word = word, .len = len };
	const char *name;

	for (size_t i = 0; (name = name_at(i)) != NULL; i++)
		guess_consider(&guess, name);
	if (guess.best)
		cli_error("unknown %s '%.*s'; did you mean '%s'? %s", what,
			  (int)len, word, guess.best, rest);
	else
		cli_error("unknown %s '%.*s'; %s", what, (int)len, word, rest);
}

static void report_unknown_option(const struct cli_option *table,
				  const char *word)
{
	size_t len = strcspn(word, "=");
	struct guess guess = { .word = word + 2, .len = len - 2 };

	for (; table->name; table++)
		guess_consider(&guess, table->name);
	if (guess.best)
		cli_error("unknown option '%.*s'; did you mean '--%s'? see "
			  "--help",
			  (int)len, word, guess.best);
	else
		cli_error("unknown option '%.*s'; see --help", (int)len, word);
}

/*
 * optopt is the key of a known option, the letter of an unknown short option,
 * or 0 for an unknown long option; only then word is the option itself.
 */
static void report_bad_option(const struct cli_option *table, int rc,
			      const char *word)
{
	const char *name = name_of(table, optopt);

	if (rc == ':')
		cli_error("option '--%s' needs a value; see --help", name);
	else if (name)
		cli_error("option '--%s' takes no value; see --help", name);
	else if (optopt != 0)
		cli_error("unknown option '-%c'; see --help", optopt);
	else
		report_unknown_option(table, word);
}

int cli_next(const struct cli_option *table, int argc, char **argv)
{
	struct option longs[OPTIONS_MAX + 1];
	char shorts[2 * OPTIONS_MAX + 2];
	int rc;

	translate_table(table, longs, shorts);
	opterr = 0;
	rc = getopt_long(argc, argv, shorts, longs, NULL);
	if (rc == -1)
		return CLI_END;
	if (rc != '?' && rc != ':')
		return rc;
	report_bad_option(table, rc, argv[optind - 1]);
	return CLI_BAD;
}

/* Further lines of the help are aligned with the first. */
static void print_option_help(const char *help, int column, FILE *to)
{
	for (; *help; help++) {
		putc(*help, to);
		if (*help == '\n')
			fprintf(to, "%*s", column, "");
	}
	putc('\n', to);
}

void cli_print_options(const struct cli_option *table, FILE *to)
{
	enum { COLUMN = 32 };

	for (; table->name; table++) {
		int used = table->key > 255
				   ? fprintf(to, "      --%s", table->name)
				   : fprintf(to, "  -%c, --%s", table->key,
					     table->name);

		if (is_optional(table->arg))
			used += fprintf(to, "[=%s", table->arg + 1);
		else if (table->arg)
			used += fprintf(to, " %s", table->arg);
		fprintf(to, "%*s", used < COLUMN - 1 ? COLUMN - used : 2, "");
		print_option_help(table->help, COLUMN, to);
	}
}

void cli_print_text(const char *name, const char *text)
{
	char shown[1024];

	cli_escape(shown, sizeof(shown), text, strlen(text), CLI_KEEP_UTF8);
	stream_print("%s \"%s\"\n", name, shown);
}

bool cli_is_unsupported(int error)
{
	return error == ENOSYS || error == EPERM || error == EOPNOTSUPP ||
	       error == ENOPROTOOPT || error == ENOTTY;
}

const char *cli_reader(int rc)
{
	static _Thread_local char text[64];

	if (rc != -EACCES)
		return "";
	snprintf(text, sizeof(text), "; it is read as user %ld",
		 (long)geteuid());
	return text;
}

int cli_flush(void)
{
	int rc = stream_flush();

	return rc < 0 ? cli_output_failed(-rc) : CLI_DONE;
}

int cli_output_failed(int error)
{
	if (error == EPIPE && dies_of_sigpipe) {
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
	cli_error("cannot write to standard output: %s", strerror(error));
	return CLI_FAILED;
}
