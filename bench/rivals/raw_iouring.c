/* SPDX-License-Identifier: MIT */
/*
 * Bare on io_uring: each thread has a listener and a ring, with a multishot
 * accept and multishot receives into provided buffers, which are sent as they
 * are and returned.
 *
 * Each connection has one send at a time, which keeps its bytes in order;
 * waiting buffers are chained.  A receive that found no buffer is started
 * again when one is returned.
 */
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rival.h"

#define BUFFERS	    1024 /* a power of two */
#define BUFFER_SIZE 16384
#define GROUP	    0
#define NONE	    (-1)

enum { ACCEPT, RECEIVE, SEND };

struct link {
	int first, last; /* buffers to send; the first is under way */
	bool receives;
	bool is_over;
};

struct ring {
	struct io_uring io;
	struct io_uring_buf_ring *offers;
	char *memory;
	int listener;
	unsigned len[BUFFERS];
	int next[BUFFERS];
	int starving[RIVAL_FILES], starving_count;
	struct link links[RIVAL_FILES];
};

static struct io_uring_sqe *begin(struct ring *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->io);

	while (sqe == NULL) {
		io_uring_submit(&r->io);
		sqe = io_uring_get_sqe(&r->io);
	}
	return sqe;
}

static void tag(struct io_uring_sqe *sqe, int what, int fd)
{
	io_uring_sqe_set_data64(sqe, (uint64_t)what << 32 | (uint32_t)fd);
}

static void receive(struct ring *r, int fd)
{
	struct io_uring_sqe *sqe = begin(r);

	io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	tag(sqe, RECEIVE, fd);
	r->links[fd].receives = true;
}

static void send_first(struct ring *r, int fd)
{
	struct io_uring_sqe *sqe = begin(r);
	int id = r->links[fd].first;

	io_uring_prep_send(sqe, fd, r->memory + (size_t)id * BUFFER_SIZE,
			   r->len[id], MSG_NOSIGNAL | MSG_WAITALL);
	tag(sqe, SEND, fd);
}

static void give_back(struct ring *r, int id)
{
	io_uring_buf_ring_add(r->offers, r->memory + (size_t)id * BUFFER_SIZE,
			      BUFFER_SIZE, (unsigned short)id, BUFFERS - 1, 0);
	io_uring_buf_ring_advance(r->offers, 1);
	while (r->starving_count > 0)
		receive(r, r->starving[--r->starving_count]);
}

static void close_if_done(struct ring *r, int fd)
{
	struct link *l = &r->links[fd];

	if (l->is_over && !l->receives && l->first == NONE)
		close(fd);
}

static void on_accept(struct ring *r, const struct io_uring_cqe *cqe)
{
	int fd = cqe->res;

	if (fd >= 0 && fd < RIVAL_FILES) {
		r->links[fd] = (struct link){ .first = NONE, .last = NONE };
		receive(r, fd);
	}
	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		struct io_uring_sqe *sqe = begin(r);

		io_uring_prep_multishot_accept(sqe, r->listener, NULL, NULL,
					       SOCK_CLOEXEC);
		tag(sqe, ACCEPT, 0);
	}
}

static void on_receive(struct ring *r, int fd, const struct io_uring_cqe *cqe)
{
	struct link *l = &r->links[fd];
	int id = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);

	l->receives = cqe->flags & IORING_CQE_F_MORE;
	if (cqe->res > 0) {
		char *data = r->memory + (size_t)id * BUFFER_SIZE;

		rival_nap(data, (size_t)cqe->res);
		r->len[id] = (unsigned)cqe->res;
		r->next[id] = NONE;
		if (l->first == NONE)
			l->first = id;
		else
			r->next[l->last] = id;
		l->last = id;
		if (l->first == id)
			send_first(r, fd);
		if (!l->receives)
			receive(r, fd);
	} else if (cqe->res == -ENOBUFS) {
		l->receives = true;
		r->starving[r->starving_count++] = fd;
	} else {
		l->is_over = true;
		close_if_done(r, fd);
	}
}

static void on_send(struct ring *r, int fd, const struct io_uring_cqe *cqe)
{
	struct link *l = &r->links[fd];
	bool failed = cqe->res < (int)r->len[l->first];

	do {
		int id = l->first;

		l->first = r->next[id];
		give_back(r, id);
	} while (failed && l->first != NONE);
	if (failed && !l->is_over)
		shutdown(fd, SHUT_RDWR); /* the receive ends too */
	if (l->first != NONE)
		send_first(r, fd);
	else
		close_if_done(r, fd);
}

static void prepare(struct ring *r)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
		.cq_entries = 16384,
	};
	struct io_uring_buf_reg reg = { .ring_entries = BUFFERS,
					.bgid = GROUP };
	size_t offers = BUFFERS * sizeof(struct io_uring_buf);
	size_t all = offers + (size_t)BUFFERS * BUFFER_SIZE;
	char *memory = mmap(NULL, all, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		rival_fail("mmap");
	r->offers = (struct io_uring_buf_ring *)memory;
	r->memory = memory + offers;
	reg.ring_addr = (uintptr_t)memory;
	errno = -io_uring_queue_init_params(4096, &r->io, &params);
	if (errno == 0)
		errno = -io_uring_register_buf_ring(&r->io, &reg, 0);
	if (errno != 0)
		rival_fail("io_uring");
	io_uring_buf_ring_init(r->offers);
	for (int i = 0; i < BUFFERS; i++)
		give_back(r, i);
	on_accept(r, &(struct io_uring_cqe){ .res = -1 });
}

static void *work(void *arg)
{
	struct rival *rival = (struct rival *)arg;
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int ready;
	struct ring *r = calloc(1, sizeof(*r));
	struct io_uring_cqe *cqe;
	unsigned head, count;

	if (r == NULL)
		rival_fail("calloc");
	pthread_mutex_lock(&lock);
	r->listener = rival_listen(rival);
	prepare(r);
	if (++ready == rival->threads)
		rival_ready(rival);
	pthread_mutex_unlock(&lock);
	for (;;) {
		io_uring_submit_and_wait(&r->io, 1);
		count = 0;
		io_uring_for_each_cqe(&r->io, head, cqe)
		{
			int fd = (int)(uint32_t)cqe->user_data;

			if (cqe->user_data >> 32 == ACCEPT)
				on_accept(r, cqe);
			else if (cqe->user_data >> 32 == RECEIVE)
				on_receive(r, fd, cqe);
			else
				on_send(r, fd, cqe);
			count++;
		}
		io_uring_cq_advance(&r->io, count);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct rival r;

	rival_begin(&r, argc, argv);
	rival_threads(&r, work, &r);
}
