/* SPDX-License-Identifier: MIT */
/*
 * Where the load goes, and from where.  Constant after target_resolve();
 * any thread.
 */
#ifndef LOAD_TARGET_H
#define LOAD_TARGET_H

#include <stddef.h>
#include <sys/socket.h>

#include "../measure/result.h"
#include "../plan.h"

struct endpoint {
	struct sockaddr_storage addr;
	socklen_t len;
};

struct target {
	struct endpoint to;
	struct endpoint *from;
	size_t from_count;
	char text[128];
};

/*
 * Look the plan's addresses up, for at most its connect timeout.  Of several
 * that a name has, it is the first that lets itself be connected to.  Returns
 * CLI_DONE, or the exit status after a complaint; undo with target_fini().
 */
int target_resolve(struct target *ret, const struct plan *plan);

void target_fini(struct target *t);

/*
 * Begin a connection that does not block, the number-th, so that sources take
 * turns.  Returns the descriptor; *phase and *error say how far it is: error
 * is 0 when it is there, EINPROGRESS, or else why it failed in phase, and
 * then the return value is -1.
 */
int target_connect(const struct target *t, unsigned number,
		   enum error_phase *phase, int *error);

/*
 * How a connection came out that was in progress: 0, or the error.  A socket
 * that met only itself was refused: nobody listens there.
 */
int target_connected(const struct target *t, int fd);

#endif
