/* SPDX-License-Identifier: MIT */
#include "activation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weir.h>

#include "../cli/cli.h"
#include "../cli/text.h"
#include "listeners.h"
#include "systemd.h"

#define FIRST_FD 3
#define ALL_BITS 07777

struct passed {
	char where[16]; /* fd:N */
	const char *name;
	bool is_taken;
};

static struct {
	struct passed *all;
	size_t count;
	char *names; /* LISTEN_FDNAMES, cut at the colons */
} passed;

/* Returns how many are passed to this process, or -1 after an error. */
static int activation_count(const char *pid, const char *fds)
{
	int meant, count;

	if (!pid || !fds)
		return 0;
	if (!cli_parse_number(pid, 1, INT_MAX, &meant)) {
		cli_error("LISTEN_PID: '%s' is not a process id", pid);
		return -1;
	}
	if (meant != getpid())
		return 0;
	if (!cli_parse_number(fds, 0, INT_MAX - FIRST_FD, &count)) {
		cli_error("LISTEN_FDS: '%s' is not a number of descriptors",
			  fds);
		return -1;
	}
	return count;
}

static bool activation_set_cloexec(int count)
{
	for (int fd = FIRST_FD; fd < FIRST_FD + count; fd++) {
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
			continue;
		cli_error("LISTEN_FDS: '%d', but descriptor %d is not open",
			  count, fd);
		return false;
	}
	return true;
}

/* Without LISTEN_FDNAMES no socket has a name. */
static bool has_name_for_each(const char *names, int count)
{
	int given = 1;

	for (const char *c = names; c && *c; c++)
		given += *c == ':';
	if (!names || given == count)
		return true;
	cli_error("LISTEN_FDNAMES: '%s' has %d names for %d descriptors", names,
		  given, count);
	return false;
}

static bool activation_name(const char *names, int count)
{
	char *rest;

	passed.names = rest = strdup(names ? names : "");
	passed.all = calloc((size_t)count, sizeof(*passed.all));
	if (!passed.all || !passed.names) {
		cli_error("out of memory");
		return false;
	}
	for (int i = 0; i < count; i++) {
		struct passed *p = &passed.all[passed.count++];
		const char *name = strsep(&rest, ":");

		snprintf(p->where, sizeof(p->where), "fd:%d", FIRST_FD + i);
		p->name = name && name[0] != '\0' ? name : "unknown";
	}
	return true;
}

static bool activation_read(void)
{
	const char *names = getenv("LISTEN_FDNAMES");
	int count =
		activation_count(getenv("LISTEN_PID"), getenv("LISTEN_FDS"));
	bool is_good =
		count == 0 || (count > 0 && activation_set_cloexec(count) &&
			       has_name_for_each(names, count) &&
			       activation_name(names, count));

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return is_good;
}

static void report_passed(const char *what, const char *which)
{
	char list[1024] = "";
	size_t used = 0;

	for (size_t i = 0; i < passed.count && used < sizeof(list); i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used,
					 "%s%s", i > 0 ? ", " : "",
					 passed.all[i].name);
	if (passed.count == 0)
		cli_error("%s '%s': no socket was passed (LISTEN_FDS)", what,
			  which);
	else
		cli_error("%s '%s'; passed are: %s", what, which, list);
}

static struct passed *find_passed(const char *name, size_t *at)
{
	while (*at < passed.count) {
		struct passed *p = &passed.all[(*at)++];

		if (strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

/* False: another listener has it. */
static bool take_number(const struct listener *l)
{
	for (size_t i = 0; i < passed.count; i++) {
		struct passed *p = &passed.all[i];

		if (l->kind != WEIR_ADDRESS_FD || l->is_named ||
		    atoi(l->where + strlen("fd:")) != FIRST_FD + (int)i)
			continue;
		if (p->is_taken)
			return false;
		p->is_taken = true;
	}
	return true;
}

static bool append_named(struct listeners *ret, struct listener l)
{
	struct passed *p;
	bool is_found = false;
	size_t at = 0;

	l.is_named = false;
	while ((p = find_passed(l.name, &at))) {
		p->is_taken = true;
		l.where = p->where;
		if (!listeners_append(ret, &l))
			return false;
		is_found = true;
	}
	if (!is_found)
		report_passed("cannot listen on", l.spec);
	return is_found;
}

/* False: no such socket is passed, or another listener has it. */
static bool find_socket(struct listener *l, const char *name)
{
	struct passed *p;
	size_t at = 0;

	l->is_inherited = l->kind == WEIR_ADDRESS_FD;
	snprintf(l->name, sizeof(l->name), "%s",
		 l->is_named ? l->where + strlen("fd:") : name);
	/* Two listeners on port 0 have the same name. */
	while ((p = find_passed(l->name, &at)) && p->is_taken)
		;
	if (!p)
		return !l->is_named && take_number(l);
	p->is_taken = true;
	l->where = p->where;
	l->kind = WEIR_ADDRESS_FD;
	return true;
}

/*
 * A name made of its address, for a successor and for the service manager,
 * which takes ASCII only.  A colon would separate names.  Of a long name the
 * end remains, in which addresses differ.
 */
static void name_socket(char *name, const char *where)
{
	char all[1024] = "";
	size_t len = 0;

	for (const char *c = where; *c && len + 4 < sizeof(all); c++)
		if (*c > ' ' && *c <= '~' && *c != '%')
			all[len++] = *c == ':' ? ',' : *c;
		else
			len += (size_t)snprintf(all + len, sizeof(all) - len,
						"%%%02X", (unsigned char)*c);
	all[len] = '\0';
	snprintf(name, FD_NAME_ROOM, "%c%s", ACTIVATION_OURS,
		 all + (len > FD_NAME_ROOM - 2 ? len - (FD_NAME_ROOM - 2) : 0));
}

static void report_option(const struct listener *l)
{
	char what[64];
	size_t at = 0;

	snprintf(what, sizeof(what), "%s: cannot listen on", l->spec);
	if (l->is_named && !find_passed(l->name, &at))
		report_passed(what, l->where);
	else
		cli_error("%s '%s': another listener has that socket; each "
			  "listener needs its own",
			  what, l->where);
}

bool activation_apply_option(struct listener *l)
{
	char all[1024], name[FD_NAME_ROOM];
	bool is_good;

	snprintf(all, sizeof(all), "%s@%s", l->spec, l->where);
	name_socket(name, all);
	is_good = find_socket(l, name);
	if (!is_good)
		report_option(l);
	return is_good;
}

static bool append_operand(struct listeners *ret, struct listener l)
{
	char name[FD_NAME_ROOM];

	name_socket(name, l.where);
	if (l.is_named) {
		l.is_inherited = true;
		snprintf(l.name, sizeof(l.name), "%s", l.where + strlen("fd:"));
		return append_named(ret, l);
	}
	(void)find_socket(&l, name);
	return listeners_append(ret, &l);
}

static bool activation_resolve(struct listeners *ret, const struct listeners *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (!append_operand(ret, l->all[i]))
			return false;
	return true;
}

bool activation_apply(struct listeners *l)
{
	struct listeners resolved = { 0 };
	bool is_good = activation_read() && activation_resolve(&resolved, l);

	listeners_fini(l);
	*l = resolved;
	return is_good;
}

void activation_forget_rest(void)
{
	for (size_t i = 0; i < passed.count; i++)
		if (!passed.all[i].is_taken &&
		    passed.all[i].name[0] == ACTIVATION_OURS)
			systemd_forget(passed.all[i].name);
}

bool activation_check_rest(bool has_predecessor)
{
	for (size_t i = 0; i < passed.count; i++) {
		if (passed.all[i].is_taken)
			continue;
		if (passed.all[i].name[0] != ACTIVATION_OURS &&
		    !has_predecessor) {
			report_passed("no listener names the passed socket",
				      passed.all[i].name);
			return false;
		}
		close(FIRST_FD + (int)i);
	}
	if (!has_predecessor)
		activation_forget_rest();
	return true;
}

/*
 * By descriptor: the name may be another file's by now, or a link.  A path that
 * is gone or out of reach is left.
 */
int activation_set_mode(const char *path, mode_t mode)
{
	char name[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), rc = 0;
	struct stat st;

	if (fd < 0)
		return 0;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) < 0 ||
	    (S_ISSOCK(st.st_mode) && (st.st_mode & ALL_BITS) != mode &&
	     chmod(name, mode) < 0))
		rc = -errno;
	close(fd);
	return rc;
}

bool activation_set_modes(const struct listeners *l, int mode)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct listener *one = &l->all[i];
		const char *path = address_path(strchr(one->spec, '@') + 1);
		int rc = 0;

		if (path && one->kind == WEIR_ADDRESS_FD)
			rc = activation_set_mode(path,
						 mode ? (mode_t)mode : 0600);
		if (rc < 0) {
			cli_error("cannot set the mode of '%s': %s", path,
				  strerror(-rc));
			return false;
		}
	}
	return true;
}

size_t activation_report(char *text, size_t cap)
{
	size_t n = 0;

	for (; n < passed.count && n < cap; n++)
		text[n] = passed.all[n].is_taken ? 'T' : '-';
	return n;
}

void activation_fini(void)
{
	free(passed.all);
	free(passed.names);
}
