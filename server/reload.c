/* SPDX-License-Identifier: MIT */
#include "reload.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "../cli/cli.h"
#include "certificate.h"
#include "descriptors.h"
#include "journal.h"
#include "systemd.h"

#define END_MS 1000 /* for a reload that is under way */

/*
 * A reload reads files, which may take long.  It holds `lock` all the time, but
 * `now_lock` only to change `now`, so that status pages and a stop do not wait.
 */
static struct {
	pthread_mutex_t lock;	  /* of all that follows */
	pthread_mutex_t now_lock; /* writers of `now`, readers without `lock` */
	weir_server *server;	  /* NULL: it has ended */
	struct options now;	  /* in effect; the arguments are ours */
	bool owns_tls; /* not that of the start, which main() frees */
	const struct listeners *listeners; /* in the order of their ids */
	int argc;
	char **argv;
} reloaded = { .lock = PTHREAD_MUTEX_INITIALIZER,
	       .now_lock = PTHREAD_MUTEX_INITIALIZER };

void reload_start(weir_server *s, const struct options *o, int argc,
		  char **argv)
{
	pthread_mutex_lock(&reloaded.lock);
	pthread_mutex_lock(&reloaded.now_lock);
	reloaded.now = *o;
	(void)weir_access_dup(o->config.access);
	reloaded.now.arguments = (struct arguments){ 0 };
	reloaded.now.listeners = (struct listeners){ 0 };
	pthread_mutex_unlock(&reloaded.now_lock);
	reloaded.server = s;
	reloaded.listeners = &o->listeners;
	reloaded.argc = argc;
	reloaded.argv = argv;
	pthread_mutex_unlock(&reloaded.lock);
}

bool reload_end(void)
{
	for (int ms = 0; pthread_mutex_trylock(&reloaded.lock) != 0; ms++) {
		if (ms == END_MS)
			return false;
		(void)poll(NULL, 0, 1);
	}
	reloaded.server = NULL;
	pthread_mutex_unlock(&reloaded.lock);
	return true;
}

int reload_drain_ms(void)
{
	int ms;

	pthread_mutex_lock(&reloaded.now_lock);
	ms = reloaded.now.config.drain_ms;
	pthread_mutex_unlock(&reloaded.now_lock);
	return ms;
}

struct certificate_ends reload_certificate_ends(void)
{
	struct certificate_ends ends;

	pthread_mutex_lock(&reloaded.now_lock);
	ends = certificate_ends(&reloaded.now);
	pthread_mutex_unlock(&reloaded.now_lock);
	return ends;
}

static bool reload_refuse(int rc, char *why, size_t cap)
{
	snprintf(why, cap, "%s", weir_strerror(rc));
	return false;
}

static bool has_server_locked(char *why, size_t cap)
{
	if (!reloaded.server)
		snprintf(why, cap, "the server has ended");
	return reloaded.server != NULL;
}

static int change_limits_locked(const struct options *o)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < reloaded.listeners->count; i++) {
		struct weir_service limits;

		listener_limits(&limits, o, &reloaded.listeners->all[i]);
		rc = weir_server_configure_service(reloaded.server, (int)i,
						   &limits);
	}
	return rc;
}

static bool change_locked(const struct options *o, char *why, size_t cap)
{
	int rc = change_limits_locked(o);

	if (rc == 0)
		rc = weir_server_configure(reloaded.server, &o->config);
	if (rc < 0)
		return reload_refuse(rc, why, cap);
	return certificate_replace(reloaded.server, reloaded.listeners, o, why,
				   cap);
}

static void follow_locked(const struct weir_config *config)
{
	journal_set_level(config->log_level);
	systemd_configure(config);
}

/*
 * The values were checked, so nothing but a lack of memory can fail.  What has
 * changed before it is changed back, which needs no memory: the library keeps
 * all that it once had.
 */
static bool apply_options_locked(const struct options *o, char *why, size_t cap)
{
	const char *fixed = options_fixed_change(o, &reloaded.now);

	if (fixed) {
		snprintf(why, cap,
			 "--%s cannot change while the server runs; "
			 "restart it",
			 fixed);
		return false;
	}
	if (!change_locked(o, why, cap)) {
		(void)change_locked(&reloaded.now, NULL, 0);
		return false;
	}
	follow_locked(&o->config);
	return true;
}

static bool read_again_locked(char *why, size_t cap)
{
	struct options fresh = { 0 };
	int status;

	cli_redirect_errors(why, cap);
	status = options_parse(&fresh, reloaded.argc, reloaded.argv);
	cli_redirect_errors(NULL, 0);
	/* What the machine has may have changed. */
	if (!fresh.has_workers && !reloaded.now.has_workers)
		fresh.config.workers = reloaded.now.config.workers;
	if (status >= 0 || !apply_options_locked(&fresh, why, cap)) {
		options_fini(&fresh);
		return false;
	}
	pthread_mutex_lock(&reloaded.now_lock);
	if (!reloaded.owns_tls)
		reloaded.now.tls = NULL;
	options_fini(&reloaded.now);
	reloaded.now = fresh;
	pthread_mutex_unlock(&reloaded.now_lock);
	descriptors_allow(&fresh, reloaded.listeners);
	reloaded.owns_tls = true;
	return true;
}

static bool reload_locked(char *text, size_t cap)
{
	const char *file;

	if (!has_server_locked(text, cap))
		return false;
	file = options_reloaded_file(&reloaded.now);
	if (!file) {
		snprintf(text, cap,
			 "nothing to reload: there is no --config, no file of "
			 "--access and no --tls-certificate");
		return true;
	}
	if (reloaded.now.root) {
		snprintf(text, cap,
			 "--chroot has put '%s' out of reach; restart the "
			 "server",
			 file);
		return false;
	}
	if (!read_again_locked(text, cap))
		return false;
	text[0] = '\0';
	return true;
}

static void log_reload_locked(void)
{
	journal(WEIR_LOG_INFO, "reloaded '%s'",
		options_reloaded_file(&reloaded.now));
	certificate_log_warnings(&reloaded.now);
}

bool reload_run(char *text, size_t cap)
{
	bool is_done;

	pthread_mutex_lock(&reloaded.lock);
	systemd_reloading();
	is_done = reload_locked(text, cap);
	systemd_reloaded();
	if (!is_done)
		journal(WEIR_LOG_WARNING, "not reloaded: %s", text);
	else if (text[0] != '\0')
		journal(WEIR_LOG_INFO, "%s", text);
	else
		log_reload_locked();
	pthread_mutex_unlock(&reloaded.lock);
	return is_done;
}

bool reload_log_level(const char *name, char *why, size_t cap)
{
	struct weir_config config;
	bool is_done = false;
	int level = journal_level_of(name), rc;

	pthread_mutex_lock(&reloaded.lock);
	config = reloaded.now.config;
	config.log_level = level;
	if (!has_server_locked(why, cap))
		;
	else if (level < 0)
		snprintf(why, cap, "'%s' is not error, warning, info or debug",
			 name);
	else if ((rc = weir_server_configure(reloaded.server, &config)) < 0)
		(void)reload_refuse(rc, why, cap);
	else
		is_done = true;
	if (is_done) {
		follow_locked(&config);
		pthread_mutex_lock(&reloaded.now_lock);
		reloaded.now.config.log_level = level;
		pthread_mutex_unlock(&reloaded.now_lock);
	}
	pthread_mutex_unlock(&reloaded.lock);
	return is_done;
}
