/* SPDX-License-Identifier: MIT */
/*
 * The PROXY header of a connection.
 *
 * "The header takes no input": no byte behind it leaves the kernel, so that
 * the first reader, a handler or a layer, finds its own first byte.  Where the
 * header ends is known only after it was seen.  So the input is read twice, the
 * first time with MSG_PEEK.
 */
#include <errno.h>
#include <string.h>

#include "address.h"
#include "conn.h"
#include "sys.h"

/* Bytes that are looked at in one call; most headers are shorter. */
#define LOOK 1024

/* The mode of a Unix socket decides which processes connect. */
static bool is_trusted(struct weir_conn *c)
{
	struct sockaddr_storage peer;

	if (!c->is_tcp)
		return true;
	return wr_conn_direct_peer(c, &peer) >= 0 &&
	       wr_service_trusts(c->service, (struct sockaddr *)&peer);
}

static int keep_header(struct weir_conn *c, const struct wr_proxy_header *h)
{
	struct wr_proxy *proxy = NULL;

	if (h->family != 0) {
		proxy = wr_proxy_keep(h);
		if (proxy == NULL)
			return -ENOMEM;
	}
	wr_word_lock(&c->lock);
	c->proxy = proxy;
	wr_word_unlock(&c->lock);
	wr_buffer_consume(&c->in.buf, wr_buffer_len(&c->in.buf));
	c->rare &= (uint8_t)~WR_RARE_PROXY;
	return 1;
}

static ssize_t take(struct weir_conn *c, size_t len)
{
	unsigned char waste[LOOK];
	ssize_t n = wr_sys_recv(c->fd, waste, len, 0);

	if (n > 0)
		c->in.last_at = c->ctx->now;
	return n;
}

/* 0: call again; -EAGAIN: no more has come; else as wr_conn_take_header(). */
static ssize_t read_more(struct weir_conn *c, struct wr_proxy_header *h)
{
	struct wr_buffer *in = &c->in.buf;
	size_t had = wr_buffer_len(in), proxy_max = c->service->set.proxy_max;
	size_t most = WR_PROXY_HEAD + proxy_max - had;
	unsigned char look[LOOK];
	ssize_t n, len, taken;
	int rc;

	n = wr_sys_recv(c->fd, look, wr_min(sizeof(look), most), MSG_PEEK);
	if (n <= 0)
		return n == 0 ? -ENODATA : n;
	rc = wr_buffer_append(in, look, (size_t)n, WR_PROXY_HEAD + proxy_max);
	if (rc < 0)
		return rc;
	len = wr_proxy_read(h, (unsigned char *)wr_buffer_data(in),
			    wr_buffer_len(in), proxy_max);
	if (len < 0)
		return len;
	taken = take(c, len > 0 ? (size_t)len - had : (size_t)n);
	in->end = in->start + had + (size_t)(taken > 0 ? taken : 0);
	if (taken <= 0)
		return taken == 0 ? -ENODATA : taken;
	if (len == 0 || wr_buffer_len(in) < (size_t)len)
		return 0;
	rc = keep_header(c, h);
	if (rc < 0 || taken < n)
		return rc; /* there is input behind it */
	rc = wr_conn_input_probe(c);
	c->in.is_ready = rc > 0;
	return rc < 0 ? rc : 1;
}

static int note_failure(struct weir_conn *c, int error)
{
	if (atomic_load(&c->is_cut))
		return -ECANCELED; /* our shutdown, not the peer's */
	if (error == -ENODATA)
		c->in.end = WR_IN_EOF;
	else if (error != -ENOMEM)
		c->in.error = error;
	return error;
}

int wr_conn_take_header(struct weir_conn *c, const char **why)
{
	struct wr_proxy_header h = { .wrong = NULL };
	ssize_t rc = 0;

	if (!is_trusted(c))
		return -EACCES;
	while (rc == 0 && c->in.is_ready)
		rc = read_more(c, &h);
	if (rc == -EAGAIN) {
		c->in.is_ready = false;
		return 0;
	}
	if (rc == -EPROTO)
		*why = h.wrong;
	else if (rc < 0)
		return note_failure(c, (int)rc);
	return (int)rc;
}

int weir_conn_via(const weir_conn *c, char *buf, size_t cap)
{
	struct sockaddr_storage addr;
	int len;

	if (c == NULL || buf == NULL)
		return -EINVAL;
	if (c->proxy == NULL)
		return -ENODATA;
	len = wr_conn_direct_peer(c, &addr);
	return len < 0 ? len
		       : wr_address_format((struct sockaddr *)&addr,
					   (socklen_t)len, buf, cap);
}

int weir_conn_proxy_tlv(const weir_conn *c, int type, int index,
			const void **ret, size_t *len)
{
	const void *value;
	size_t value_len;

	if (c == NULL || ret == NULL || len == NULL || type < 0 ||
	    type > UINT8_MAX || index < 0)
		return -EINVAL;
	value = c->proxy ? wr_proxy_tlv(c->proxy, type, index, &value_len)
			 : NULL;
	if (value == NULL)
		return -ENODATA;
	*ret = value;
	*len = value_len;
	return 0;
}

int weir_conn_proxy_tls(const weir_conn *c)
{
	static const unsigned char verified[4];
	const void *value;
	const unsigned char *bytes;
	size_t len;
	int rc = weir_conn_proxy_tlv(c, WEIR_PROXY_TLS, 0, &value, &len);

	if (rc < 0)
		return rc;
	bytes = value;
	rc = bytes[0];
	if (rc & (WEIR_PROXY_CERTIFICATE | WEIR_PROXY_IN_SESSION) &&
	    memcmp(bytes + 1, verified, sizeof(verified)) == 0)
		rc |= WEIR_PROXY_VERIFIED;
	return rc;
}

int weir_conn_proxy_header(const weir_conn *c, int version, void *buf,
			   size_t cap)
{
	struct sockaddr_storage source, target;
	int rc;

	if (c == NULL || (version != 1 && version != 2) ||
	    !wr_is_memory(buf, cap))
		return -EINVAL;
	rc = wr_conn_client(c, &source);
	if (rc >= 0)
		rc = wr_conn_target(c, &target);
	return rc < 0 ? rc
		      : wr_proxy_write(buf, cap, version,
				       (struct sockaddr *)&source,
				       (struct sockaddr *)&target);
}
