/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share.  A target is one file with one entry point that
 * takes any bytes and compares the result with something simpler.  libFuzzer
 * calls it with bytes it invents (tests/long/fuzzing.sh), replay.c with those
 * of the corpus, in make check.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Its inputs are in corpus/NAME.tar; corpus.sh adds one. */
extern const char fuzz_corpus[];

/* Stays on whatever NDEBUG says. */
#define REQUIRE(cond)                                                          \
	do {                                                                   \
		if (!(cond))                                                   \
			fuzz_fail(__FILE__, __LINE__, #cond);                  \
	} while (0)

_Noreturn void fuzz_fail(const char *file, int line, const char *text);

/* A copy that ends in a NUL and nowhere else; to be freed. */
char *fuzz_text(const uint8_t *data, size_t size);

/*
 * Take what is written to standard output and standard error away, and have
 * what came on standard error so far: a string until the next of these calls.
 */
void fuzz_listen(void);
const char *fuzz_heard(void);

/* Of a complaint: is it one line in printable characters? */
bool fuzz_is_one_line(const char *text);

/*
 * A command line: behind argv[0] the lines of the text, at most max of them,
 * and NULL.  Returns argc.
 */
int fuzz_arguments(char **argv, int max, char *text);

/*
 * After fuzz_listen() a command line was read with this result, an exit status
 * or -1 for "go on": misuse was complained of in one line, all else in none.
 */
void fuzz_expect_answer(int status);

/* A file without a name that holds these bytes; its path, and when done. */
struct fuzz_file {
	int fd;
	char path[32];
};

void fuzz_file_make(struct fuzz_file *f, const uint8_t *data, size_t size);
void fuzz_file_close(struct fuzz_file *f);

#endif
