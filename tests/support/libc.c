/* SPDX-License-Identifier: MIT */
/*
 * What not every C library can tell: the names of errors, and how much of the
 * heap is in use.  Any thread.
 */
#include "test.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#define NAME(error)                                                            \
	{                                                                      \
		error, #error                                                  \
	}

static const struct {
	int error;
	const char *name;
} names[] = {
	NAME(EACCES),	    NAME(EADDRINUSE),	NAME(EADDRNOTAVAIL),
	NAME(EAGAIN),	    NAME(EALREADY),	NAME(EBADF),
	NAME(EBADMSG),	    NAME(EBUSY),	NAME(ECANCELED),
	NAME(ECONNABORTED), NAME(ECONNREFUSED), NAME(ECONNRESET),
	NAME(EDEADLK),	    NAME(EEXIST),	NAME(EHOSTDOWN),
	NAME(EHOSTUNREACH), NAME(EINTR),	NAME(EINVAL),
	NAME(EIO),	    NAME(EISDIR),	NAME(EMFILE),
	NAME(EMSGSIZE),	    NAME(ENAMETOOLONG), NAME(ENETDOWN),
	NAME(ENETUNREACH),  NAME(ENFILE),	NAME(ENOBUFS),
	NAME(ENODATA),	    NAME(ENOENT),	NAME(ENOLCK),
	NAME(ENOMEM),	    NAME(ENONET),	NAME(ENOPROTOOPT),
	NAME(ENOSPC),	    NAME(ENOSR),	NAME(ENOSYS),
	NAME(ENOTCONN),	    NAME(ENOTSOCK),	NAME(EOPNOTSUPP),
	NAME(EPERM),	    NAME(EPIPE),	NAME(EPROTO),
	NAME(ESHUTDOWN),    NAME(ETIMEDOUT),
};

const char *errno_name(int error)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].error == error)
			return names[i].name;
	return NULL;
}

const char *error_name(ssize_t n)
{
	static _Thread_local char text[32];
	const char *name = n < 0 ? errno_name((int)-n) : NULL;

	if (name)
		snprintf(text, sizeof(text), "-%s", name);
	else
		snprintf(text, sizeof(text), "%zd", n);
	return text;
}

size_t heap_in_use(void)
{
#ifdef __GLIBC__
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
#else
	static atomic_flag was_said = ATOMIC_FLAG_INIT;

	if (!atomic_flag_test_and_set(&was_said))
		skip_test("limits of the heap: this C library does not "
			  "tell how much is in use");
	return 0;
#endif
}
