/* SPDX-License-Identifier: MIT */
/*
 * What the targets share: see fuzz.h.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../cli/cli.h"

/* What the programs say is short; what is longer is cut. */
static char heard[8192];
static int ear = -1, silence, old_out, old_err = -1;

/* Where a sanitizer writes what it found; there if there is a sanitizer. */
__attribute__((weak)) void __sanitizer_set_report_fd(void *fd);

void fuzz_fail(const char *file, int line, const char *text)
{
	if (old_err >= 0)
		dup2(old_err, STDERR_FILENO);
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
	abort();
}

char *fuzz_text(const uint8_t *data, size_t size)
{
	size_t len = size > 0 ? strnlen((const char *)data, size) : 0;
	char *text = malloc(len + 1);

	REQUIRE(text);
	if (len > 0)
		memcpy(text, data, len);
	text[len] = '\0';
	return text;
}

static int new_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	REQUIRE(fd >= 0);
	return fd;
}

void fuzz_listen(void)
{
	if (ear < 0) {
		ear = new_file("heard");
		silence = open("/dev/null", O_WRONLY | O_CLOEXEC);
		old_out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		old_err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
		REQUIRE(silence >= 0 && old_out >= 0 && old_err >= 0);
		if (__sanitizer_set_report_fd)
			__sanitizer_set_report_fd((void *)(intptr_t)old_err);
	}
	fflush(stdout);
	REQUIRE(dup2(silence, STDOUT_FILENO) >= 0);
	REQUIRE(dup2(ear, STDERR_FILENO) >= 0);
}

const char *fuzz_heard(void)
{
	ssize_t len = pread(ear, heard, sizeof(heard) - 1, 0);

	fflush(stdout);
	dup2(old_out, STDOUT_FILENO);
	dup2(old_err, STDERR_FILENO);
	REQUIRE(len >= 0 && ftruncate(ear, 0) == 0 &&
		lseek(ear, 0, SEEK_SET) == 0);
	heard[len] = '\0';
	return heard;
}

bool fuzz_is_one_line(const char *text)
{
	size_t len = strlen(text);

	if (len < 2 || text[len - 1] != '\n')
		return false;
	for (size_t i = 0; i < len - 1; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return true;
}

int fuzz_arguments(char **argv, int max, char *text)
{
	char *rest = text, *word;
	int argc = 1;

	while (argc <= max && *text && (word = strsep(&rest, "\n")))
		argv[argc++] = word;
	argv[argc] = NULL;
	return argc;
}

void fuzz_expect_answer(int status)
{
	const char *said = fuzz_heard();

	REQUIRE(status >= -1 && status <= CLI_USAGE);
	if (status == CLI_USAGE)
		REQUIRE(fuzz_is_one_line(said));
	else
		REQUIRE(*said == '\0');
}

void fuzz_file_make(struct fuzz_file *f, const uint8_t *data, size_t size)
{
	f->fd = new_file("input");
	REQUIRE(write(f->fd, data, size) == (ssize_t)size);
	snprintf(f->path, sizeof(f->path), "/proc/self/fd/%d", f->fd);
}

void fuzz_file_close(struct fuzz_file *f)
{
	close(f->fd);
}
