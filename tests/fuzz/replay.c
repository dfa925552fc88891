/* SPDX-License-Identifier: MIT */
/*
 * main() of a target without libFuzzer: every input of its corpus, or the
 * files that are named, through the entry point.  Works with any compiler and
 * sanitizer.
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

/* Whole, in memory of just its size: what reads on is seen by a sanitizer. */
static bool replay(const char *path)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	uint8_t *data;
	size_t size;

	if (!f || fstat(fileno(f), &st) < 0) {
		perror(path);
		return false;
	}
	size = (size_t)st.st_size;
	data = malloc(size > 0 ? size : 1);
	REQUIRE(data && fread(data, 1, size, f) == size);
	fclose(f);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return true;
}

static int replay_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[4096];
	int count = 0, len;

	if (!dir) {
		perror(folder);
		return 1;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		len = snprintf(path, sizeof(path), "%s/%s", folder,
			       entry->d_name);
		if (len < 0 || (size_t)len >= sizeof(path)) {
			fprintf(stderr, "%s: a name is too long\n", folder);
			return 1;
		}
		if (!replay(path))
			return 1;
		count++;
	}
	closedir(dir);
	printf("%d inputs\n", count);
	return count == 0;
}

int main(int argc, char **argv)
{
	const char *top = getenv("srcdir");
	char folder[4096];

	if (argc > 1) {
		for (int i = 1; i < argc; i++)
			if (!replay(argv[i]))
				return 1;
		return 0;
	}
	snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s",
		 top ? top : ".", fuzz_corpus);
	return replay_folder(folder);
}
