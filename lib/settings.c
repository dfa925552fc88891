/* SPDX-License-Identifier: MIT */
/*
 * Reading option structures of any size.  The caller's header may be older
 * (shorter: the missing fields have their defaults) or newer (longer: fine as
 * long as what we do not know is zero).  Everything out of range is refused
 * here, so that nobody else has to check.
 */
#include "settings.h"

#include <errno.h>
#include <string.h>

#include "bounds.h"
#include "processors.h"
#include "sys.h"

#define MAX_QUEUE	1000000
#define MAX_CONNECTIONS 10000000
#define MIN_STACK	((size_t)64 * 1024)
#define MAX_BUFFER	((size_t)1 << 30)

/* Copy what both sides know; -EINVAL if src says more than we understand. */
static int copy_sized(void *dst, size_t known, const void *src, size_t size)
{
	const char *bytes = src;

	if (size < sizeof(size_t))
		return -EINVAL;
	for (size_t i = known; i < size; i++)
		if (bytes[i] != 0)
			return -EINVAL;
	memset(dst, 0, known);
	memcpy(dst, src, wr_min(known, size));
	return 0;
}

void wr_copy_out(void *dst, size_t size, const void *src, size_t known)
{
	size_t common = wr_min(size, known);

	memcpy(dst, src, common);
	memset((char *)dst + common, 0, size - common);
}

static int use_int(int *field, int preset, int min, int max)
{
	if (*field == 0)
		*field = preset;
	return *field < min || *field > max ? -EINVAL : 0;
}

static int use_size(size_t *field, size_t preset, size_t min, size_t max)
{
	if (*field == 0)
		*field = preset;
	return *field < min || *field > max ? -EINVAL : 0;
}

static int use_ms(int *field, int preset)
{
	return use_int(field, preset, WEIR_NEVER, INT32_MAX);
}

static int complete_config(struct weir_config *c)
{
	int bad = 0;

	if (c->workers == 0)
		c->workers =
			(int)wr_min((size_t)wr_processors(), WR_WORKERS_MOST);
	if (c->workers < 1 || c->workers > WR_WORKERS_MOST)
		bad = -EINVAL;
	bad |= use_int(&c->queue_length, 128, 1, MAX_QUEUE);
	bad |= use_ms(&c->queue_age_ms, 10000);
	bad |= use_int(&c->max_connections, 10000, 1, MAX_CONNECTIONS);
	bad |= use_ms(&c->drain_ms, 10000);
	bad |= use_int(&c->log_level, WEIR_LOG_INFO, WEIR_LOG_ERROR,
		       WEIR_LOG_DEBUG);
	bad |= use_size(&c->stack_size, (size_t)256 * 1024, MIN_STACK,
			MAX_BUFFER);
	if (c->overload != WEIR_HOLD && c->overload != WEIR_REFUSE)
		bad = -EINVAL;
	if (c->affinity != WEIR_AFFINITY_NONE &&
	    c->affinity != WEIR_AFFINITY_SPREAD)
		bad = -EINVAL;
	return bad ? -EINVAL : 0;
}

int wr_config_init(struct wr_config *ret, const struct weir_config *config)
{
	static const struct weir_config defaults = { .size = sizeof(defaults) };
	const char *refusal;
	int rc;

	if (config == NULL)
		config = &defaults;
	rc = copy_sized(&ret->set, sizeof(ret->set), config, config->size);
	if (rc == 0)
		rc = complete_config(&ret->set);
	if (rc < 0)
		return rc;
	refusal = ret->set.refusal ? ret->set.refusal : "busy, try later\n";
	ret->refusal_len = strlen(refusal);
	ret->refusal = wr_sys_alloc(ret->refusal_len + 1);
	if (ret->refusal == NULL)
		return -ENOMEM;
	memcpy(ret->refusal, refusal, ret->refusal_len);
	ret->set.refusal = ret->refusal;
	return 0;
}

void wr_config_fini(struct wr_config *c)
{
	wr_sys_free(c->refusal);
	c->refusal = NULL;
}

int wr_service_init(struct wr_service *ret, const struct weir_service *service)
{
	struct weir_service *s = &ret->set;
	int bad;

	if (service == NULL)
		return -EINVAL;
	bad = copy_sized(s, sizeof(*s), service, service->size);
	if (bad)
		return bad;
	bad |= use_ms(&s->first_byte_ms, 60000);
	bad |= use_ms(&s->read_ms, 30000);
	bad |= use_ms(&s->write_ms, 30000);
	bad |= use_ms(&s->idle_ms, 300000);
	bad |= use_ms(&s->lifetime_ms, WEIR_NEVER);
	bad |= use_size(&s->line_max, (size_t)64 * 1024, 1, MAX_BUFFER);
	bad |= use_size(&s->outbox_max, (size_t)256 * 1024, 1, MAX_BUFFER);
	bad |= use_int(&s->backlog, 4096, 1, INT32_MAX);
	bad |= use_int(&s->mode, 0, 0, 0777);
	if (bad || (s->session == NULL) == (s->readable == NULL))
		return -EINVAL;
	ret->timeout_ms[WR_TMO_FIRST_BYTE] = s->first_byte_ms;
	ret->timeout_ms[WR_TMO_READ] = s->read_ms;
	ret->timeout_ms[WR_TMO_WRITE] = s->write_ms;
	ret->timeout_ms[WR_TMO_IDLE] = s->idle_ms;
	ret->timeout_ms[WR_TMO_LIFETIME] = s->lifetime_ms;
	return 0;
}
