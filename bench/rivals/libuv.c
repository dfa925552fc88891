/* SPDX-License-Identifier: MIT */
/*
 * libuv: for each thread a loop, a listener on the shared port and a read
 * buffer; output is tried at once, and copied only if it has to wait.
 */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "rival.h"

struct later {
	uv_write_t req;
	char data[];
};

static void on_close(uv_handle_t *handle)
{
	free(handle);
}

static void on_written(uv_write_t *req, int status)
{
	(void)status;
	free(req);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *ret)
{
	(void)hint;
	*ret = uv_buf_init((char *)handle->loop->data, RIVAL_CHUNK);
}

static void write_later(uv_stream_t *stream, const char *data, size_t len)
{
	struct later *l = malloc(sizeof(*l) + len);
	uv_buf_t buf;

	if (l == NULL)
		rival_fail("malloc");
	memcpy(l->data, data, len);
	buf = uv_buf_init(l->data, (unsigned)len);
	uv_write(&l->req, stream, &buf, 1, on_written);
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	uv_buf_t out;
	int sent;

	if (n < 0) {
		uv_close((uv_handle_t *)stream, on_close);
		return;
	}
	if (n == 0)
		return;
	rival_nap(buf->base, (size_t)n);
	out = uv_buf_init(buf->base, (unsigned)n);
	sent = uv_try_write(stream, &out, 1);
	if (sent < 0)
		sent = 0;
	if (sent < n)
		write_later(stream, buf->base + sent, (size_t)(n - sent));
}

static void on_accept(uv_stream_t *listener, int status)
{
	uv_tcp_t *peer = status < 0 ? NULL : malloc(sizeof(*peer));

	if (peer == NULL)
		return;
	uv_tcp_init(listener->loop, peer);
	if (uv_accept(listener, (uv_stream_t *)peer) == 0)
		uv_read_start((uv_stream_t *)peer, on_alloc, on_input);
	else
		uv_close((uv_handle_t *)peer, on_close);
}

static uv_loop_t *next_loop;

static void *work(void *arg)
{
	uv_loop_t *loop = __atomic_fetch_add(&next_loop, sizeof(uv_loop_t),
					     __ATOMIC_RELAXED);

	(void)arg;
	uv_run(loop, UV_RUN_DEFAULT);
	return NULL;
}

int main(int argc, char **argv)
{
	struct rival r;
	uv_loop_t *loops;
	uv_tcp_t *listeners;

	rival_begin(&r, argc, argv);
	loops = calloc((size_t)r.threads, sizeof(*loops));
	listeners = calloc((size_t)r.threads, sizeof(*listeners));
	if (loops == NULL || listeners == NULL)
		rival_fail("calloc");
	for (int i = 0; i < r.threads; i++) {
		uv_loop_init(&loops[i]);
		loops[i].data = malloc(RIVAL_CHUNK);
		uv_tcp_init(&loops[i], &listeners[i]);
		if (uv_tcp_open(&listeners[i], rival_listen(&r)) < 0 ||
		    uv_listen((uv_stream_t *)&listeners[i], 4096, on_accept))
			rival_fail("libuv");
	}
	next_loop = loops;
	rival_ready(&r);
	rival_threads(&r, work, NULL);
}
