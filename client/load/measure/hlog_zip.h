/* SPDX-License-Identifier: MIT */
/*
 * The one place that knows of zlib, which a build may be without.
 */
#ifndef LOAD_HLOG_ZIP_H
#define LOAD_HLOG_ZIP_H

#include <stddef.h>

/*
 * Both return 0 with *ret to be freed, or -ENOMEM, -ENOTSUP without zlib, and
 * when unpacking -EBADMSG for what is no whole zlib stream and nothing more,
 * -EFBIG for one of more than max bytes.
 */
int hlog_zip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	     size_t len);
int hlog_unzip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	       size_t len, size_t max);

#endif
