/* SPDX-License-Identifier: MIT */
/*
 * main() of a target without libFuzzer: runs the entry point on every input of
 * the target's archive, or on the files that are named.  Works with any
 * compiler and sanitizer.
 */
#include "fuzz.h"

#define BLOCK 512 /* of a tar archive (ustar) */

/* An input in memory of just its size: a sanitizer sees a read behind it. */
static void replay(FILE *f, size_t size, const char *name)
{
	uint8_t *data = malloc(size > 0 ? size : 1);

	REQUIRE(data && fread(data, 1, size, f) == size);
	printf("%s\n", name);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
}

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "re");
	long size;

	if (!f || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < 0) {
		perror(path);
		return 1;
	}
	rewind(f);
	replay(f, (size_t)size, path);
	fclose(f);
	return 0;
}

/* A header is the name, 24 bytes, the size in octal; zeros are the end. */
static int replay_archive(const char *path)
{
	FILE *f = fopen(path, "re");
	char header[BLOCK];
	int count = 0;

	if (!f) {
		perror(path);
		return 1;
	}
	while (fread(header, BLOCK, 1, f) == 1 && header[0] != '\0') {
		size_t size = strtoul(header + 124, NULL, 8);

		header[99] = '\0';
		replay(f, size, header);
		fseek(f, (long)((BLOCK - size % BLOCK) % BLOCK), SEEK_CUR);
		count++;
	}
	fclose(f);
	printf("%d inputs\n", count);
	return count == 0;
}

int main(int argc, char **argv)
{
	const char *top = getenv("srcdir");
	char path[4096];
	int rc = 0;

	for (int i = 1; i < argc && rc == 0; i++)
		rc = replay_file(argv[i]);
	if (argc > 1)
		return rc;
	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s.tar",
		 top ? top : ".", fuzz_corpus);
	return replay_archive(path);
}
