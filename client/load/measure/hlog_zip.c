/* SPDX-License-Identifier: MIT */
/*
 * Packing with zlib, or without it the answer that there is none.
 */
#include "hlog_zip.h"

#include <errno.h>
#include <stdlib.h>

#include "hlog.h"

#ifdef HAVE_ZLIB

#include <zlib.h>

bool hlog_is_available(void)
{
	return true;
}

int hlog_zip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	     size_t len)
{
	uLongf room = compressBound(len);
	unsigned char *to = malloc(room);

	if (!to)
		return -ENOMEM;
	if (compress2(to, &room, from, len, Z_DEFAULT_COMPRESSION) != Z_OK) {
		free(to);
		return -ENOMEM;
	}
	*ret = to;
	*ret_len = room;
	return 0;
}

/* Give the stream more room; one byte beyond max tells that it is longer. */
static int make_room(z_stream *z, unsigned char **to, size_t max)
{
	size_t used = z->total_out;
	size_t room = used > 0 ? 4 * used : 4096;
	unsigned char *more;

	if (used > max)
		return -EFBIG;
	if (room > max + 1)
		room = max + 1;
	more = realloc(*to, room);
	if (!more)
		return -ENOMEM;
	*to = more;
	z->next_out = more + used;
	z->avail_out = (uInt)(room - used);
	return 0;
}

static int unpack(z_stream *z, unsigned char **to, size_t max)
{
	int rc;

	do {
		if (z->avail_out == 0) {
			rc = make_room(z, to, max);
			if (rc < 0)
				return rc;
		}
		rc = inflate(z, Z_NO_FLUSH);
	} while (rc == Z_OK);
	if (rc == Z_MEM_ERROR)
		return -ENOMEM;
	if (rc != Z_STREAM_END || z->avail_in > 0)
		return -EBADMSG;
	return z->total_out > max ? -EFBIG : 0;
}

int hlog_unzip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	       size_t len, size_t max)
{
	z_stream z = { .next_in = (z_const Bytef *)from,
		       .avail_in = (uInt)len };
	unsigned char *to = NULL;
	int rc;

	if (inflateInit(&z) != Z_OK)
		return -ENOMEM;
	rc = unpack(&z, &to, max);
	inflateEnd(&z);
	if (rc < 0) {
		free(to);
		return rc;
	}
	*ret = to;
	*ret_len = z.total_out;
	return 0;
}

#else

bool hlog_is_available(void)
{
	return false;
}

int hlog_zip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	     size_t len)
{
	(void)ret, (void)ret_len, (void)from, (void)len;
	return -ENOTSUP;
}

int hlog_unzip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	       size_t len, size_t max)
{
	(void)ret, (void)ret_len, (void)from, (void)len, (void)max;
	return -ENOTSUP;
}

#endif
