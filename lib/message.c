/* SPDX-License-Identifier: MIT */
/* Shared messages.  Any thread. */
#include "message.h"

#include <errno.h>
#include <string.h>

#include "sys.h"

ssize_t wr_pieces_len(const struct iovec *iov, int count)
{
	size_t n = 0;

	if (count < 0 || count > 1024 || (!iov && count > 0))
		return -EINVAL;
	for (int i = 0; i < count; i++) {
		if (!wr_is_memory(iov[i].iov_base, iov[i].iov_len) ||
		    iov[i].iov_len > SSIZE_MAX - n)
			return -EINVAL;
		n += iov[i].iov_len;
	}
	return (ssize_t)n;
}

int weir_msg_newv(weir_msg **ret, const struct iovec *iov, int count)
{
	WR_NO_CANCEL();
	ssize_t len = ret ? wr_pieces_len(iov, count) : -EINVAL;
	weir_msg *msg;
	char *to;

	if (len < 0)
		return (int)len;
	msg = wr_sys_alloc(sizeof(*msg) + (size_t)len);
	if (msg == NULL)
		return -ENOMEM;
	atomic_init(&msg->refs, 1);
	msg->len = (size_t)len;
	to = msg->bytes;
	for (int i = 0; i < count; i++) {
		if (iov[i].iov_len > 0)
			memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	*ret = msg;
	return 0;
}

int weir_msg_new(weir_msg **ret, const void *data, size_t len)
{
	const struct iovec iov = { (void *)(uintptr_t)data, len };

	return weir_msg_newv(ret, &iov, 1);
}

weir_msg *weir_msg_dup(weir_msg *msg)
{
	/* Relaxed: the caller has a reference. */
	if (msg)
		atomic_fetch_add_explicit(&msg->refs, 1, memory_order_relaxed);
	return msg;
}

/* Acquire and release: other threads have read it before it is freed. */
void weir_msg_unref(weir_msg *msg)
{
	if (msg == NULL ||
	    atomic_fetch_sub_explicit(&msg->refs, 1, memory_order_acq_rel) > 1)
		return;
	wr_sys_free(msg);
}
