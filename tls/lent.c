/* SPDX-License-Identifier: MIT */
/*
 * An idle connection has no buffers: each operation uses those of its thread,
 * and leaves them empty, so a session may continue in another thread.
 */
#include <errno.h>
#include <pthread.h>

#include "sys.h"
#include "tls.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int made;

static void make_key(void)
{
	made = -pthread_key_create(&key, wr_sys_free);
}

int tls_lent_init(void)
{
	(void)pthread_once(&once, make_key);
	return made;
}

struct tls_lent *tls_lent(void)
{
	struct tls_lent *lent = pthread_getspecific(key);

	if (lent == NULL) {
		lent = wr_sys_alloc(sizeof(*lent));
		if (lent && pthread_setspecific(key, lent) != 0) {
			wr_sys_free(lent);
			lent = NULL;
		}
	}
	return lent;
}
