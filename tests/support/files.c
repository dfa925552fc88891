/* SPDX-License-Identifier: MIT */
/*
 * Folders, and long data that is checked without a copy: byte i depends on i,
 * with a period that is no power of two, so that a lost block shows.
 */
#include "test.h"

#include <sys/mman.h>

bool make_folder(char path[FOLDER_ROOM])
{
	const char *base = getenv("TMPDIR");
	int len = snprintf(path, FOLDER_ROOM, "%s/f-XXXXXX",
			   base ? base : "/tmp");

	if (len >= FOLDER_ROOM)
		snprintf(path, FOLDER_ROOM, "/tmp/weir-XXXXXX");
	return mkdtemp(path) != NULL;
}

char byte_at(size_t i)
{
	return (char)('!' + i % 89);
}

bool bytes_match(const char *data, size_t len, size_t from)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] != byte_at(from + i))
			return false;
	return true;
}

int make_file(size_t len)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	char block[8192];

	ck_assert_int_ge(fd, 0);
	for (size_t at = 0; at < len;) {
		size_t n = len - at < sizeof(block) ? len - at : sizeof(block);

		for (size_t i = 0; i < n; i++)
			block[i] = byte_at(at + i);
		ck_assert_int_eq(write(fd, block, n), (ssize_t)n);
		at += n;
	}
	return fd;
}
