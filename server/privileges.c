/* SPDX-License-Identifier: MIT */
#include "privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "../cli/text.h"
#include "journal.h"
#include "options.h"
#include "rules.h"
#include "sandbox.h"
#include "services.h"

#define GROUPS_MOST 256

static struct identity {
	uid_t uid;
	gid_t gid;
	gid_t groups[GROUPS_MOST];
	int count;
} identity;

static bool find_user(struct identity *ret, const char *name, bool has_group)
{
	const struct passwd *user = getpwnam(name);
	int number;

	ret->count = 0;
	if (!user && cli_parse_number(name, 0, INT_MAX, &number)) {
		ret->uid = (uid_t)number;
		user = getpwuid(ret->uid);
		if (!user && has_group)
			return true;
		if (!user) {
			cli_error("--user: user %s has no name and so no "
				  "group; use %s:GROUP",
				  name, name);
			return false;
		}
	}
	if (!user) {
		cli_error("--user: there is no user '%s'", name);
		return false;
	}
	ret->uid = user->pw_uid;
	ret->gid = user->pw_gid;
	ret->count = GROUPS_MOST;
	if (!has_group && getgrouplist(user->pw_name, user->pw_gid, ret->groups,
				       &ret->count) < 0) {
		cli_error("--user: '%s' is in more than %d groups", name,
			  GROUPS_MOST);
		return false;
	}
	return true;
}

static bool find_group(struct identity *ret, const char *name)
{
	const struct group *group = getgrnam(name);
	int number;

	if (!group && !cli_parse_number(name, 0, INT_MAX, &number)) {
		cli_error("--user: there is no group '%s'", name);
		return false;
	}
	ret->gid = group ? group->gr_gid : (gid_t)number;
	ret->groups[0] = ret->gid;
	ret->count = 1;
	return true;
}

/* USER or USER:GROUP, names or numbers. */
static bool parse_user(struct identity *ret, const char *text)
{
	const char *colon = strchr(text, ':');
	char name[256];
	int len = colon ? (int)(colon - text) : (int)strlen(text);

	if (len <= 0 || (size_t)len >= sizeof(name)) {
		cli_error("--user: '%s' is not USER or USER:GROUP", text);
		return false;
	}
	snprintf(name, sizeof(name), "%.*s", len, text);
	return find_user(ret, name, colon != NULL) &&
	       (!colon || find_group(ret, colon + 1));
}

static bool has_group(const struct identity *i, gid_t gid)
{
	for (int n = 0; n < i->count; n++)
		if (i->groups[n] == gid)
			return true;
	return gid == i->gid;
}

static bool has_no_other_group(const struct identity *i)
{
	int count = getgroups(0, NULL);
	bool is_good = count >= 0;
	gid_t *groups =
		calloc((size_t)(is_good ? count + 1 : 1), sizeof(*groups));

	is_good = is_good && groups && getgroups(count, groups) == count;
	for (int n = 0; is_good && n < count; n++)
		is_good = has_group(i, groups[n]);
	free(groups);
	return is_good;
}

/* A successor begins as this user already. */
static bool is_identity(const struct identity *i)
{
	uid_t uid, euid, suid;
	gid_t gid, egid, sgid;

	return getresuid(&uid, &euid, &suid) == 0 &&
	       getresgid(&gid, &egid, &sgid) == 0 && uid == i->uid &&
	       euid == i->uid && suid == i->uid && gid == i->gid &&
	       egid == i->gid && sgid == i->gid && has_no_other_group(i);
}

static bool fail(const char *option, const char *call)
{
	cli_error("%s: %s: %s", option, call, strerror(errno));
	return false;
}

static bool is_irrevocable(const struct identity *i)
{
	if (i->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
		return false;
	return is_identity(i);
}

static bool change_identity(const struct identity *i)
{
	if (setgroups((size_t)i->count, i->groups) < 0)
		return fail("--user", "setgroups");
	if (setgid(i->gid) < 0)
		return fail("--user", "setgid");
	if (setuid(i->uid) < 0)
		return fail("--user", "setuid");
	return true;
}

static bool become(const struct identity *i)
{
	if (!is_identity(i) && !change_identity(i))
		return false;
	if (is_irrevocable(i))
		return true;
	cli_error("--user: the process could become root again");
	return false;
}

/* The rest of path below the folder dir; NULL: it is elsewhere. */
static const char *path_below(const char *dir, const char *path)
{
	static char real[PATH_MAX];
	char root[PATH_MAX];
	size_t len;

	if (!realpath(dir, root) || !realpath(path, real))
		return NULL;
	len = strcmp(root, "/") == 0 ? 0 : strlen(root);
	return strncmp(real, root, len) == 0 && real[len] == '/' ? real + len
								 : NULL;
}

static bool contradicts(const char *option, const char *with, const char *why)
{
	cli_error("%s does not go together with %s: %s", option, with, why);
	return false;
}

/* A host name, which is looked up for each client. */
static bool is_name(const char *where)
{
	return strncmp(where, "unix:", 5) != 0 && where[0] != '[' &&
	       where[0] != ':' && where[strspn(where, "0123456789.")] != ':';
}

static bool has_file(const char *folder, const char *name)
{
	char path[PATH_MAX];

	return (size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) <
		       sizeof(path) &&
	       access(path, R_OK) == 0;
}

static bool has_resolver_files(const char *root)
{
	return has_file(root, "etc/hosts") || has_file(root, "etc/resolv.conf");
}

static bool check_chroot(struct options *o)
{
	struct stat st;
	const char *below;

	if (stat(o->root, &st) < 0) {
		cli_error("--chroot: '%s': %s", o->root, strerror(errno));
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		cli_error("--chroot: '%s' is not a folder", o->root);
		return false;
	}
	if (geteuid() != 0) {
		cli_error("--chroot: only root can do that");
		return false;
	}
	if (o->control)
		return contradicts("--chroot", "--control",
				   "the socket could not be removed");
	if (o->pid_file)
		return contradicts("--chroot", "--pid-file",
				   "the file could not be removed");
	if (listeners_have_file(&o->listeners) || address_path(o->status) ||
	    address_path(o->agent))
		return contradicts("--chroot", "unix:/path",
				   "the socket could not be removed");
	if (address_path(o->to))
		return contradicts("--chroot", "unix:/path in --to",
				   "the socket would be out of reach");
	if (o->to && is_name(o->to) && !has_resolver_files(o->root))
		return contradicts("--chroot", "a name in --to",
				   "the folder has neither etc/hosts nor "
				   "etc/resolv.conf to look it up");
	if (!o->file)
		return true;
	below = path_below(o->root, o->file);
	if (!below)
		return contradicts("--chroot", "--file",
				   "the file is not in that folder");
	snprintf(o->file_below, sizeof(o->file_below), "%s", below);
	o->file = o->file_below;
	return true;
}

bool privileges_check(struct options *o)
{
	if (o->root && !check_chroot(o))
		return false;
	if (o->user && !parse_user(&identity, o->user))
		return false;
	if (o->user && geteuid() != 0 && !is_identity(&identity)) {
		cli_error("--user: only root can become '%s'; this process is "
			  "another user, or has other groups",
			  o->user);
		return false;
	}
	if ((o->root || o->sandbox) &&
	    listeners_use(&o->listeners, SERVICE_TERMINAL))
		return contradicts(o->root ? "--chroot" : "--sandbox", "chat",
				   "the terminal is out of reach");
	return true;
}

/* The options were checked as the user that started the server. */
static bool can_read(const char *file)
{
	if (access(file, R_OK) == 0)
		return true;
	cli_error("--file: the server's user cannot read '%s': %s", file,
		  strerror(errno));
	return false;
}

/* A stop removes the path, if the user may write to its folder. */
static void warn_of_path(const char *path)
{
	char folder[PATH_MAX];
	char *slash;

	if (!path || (size_t)snprintf(folder, sizeof(folder), "%s", path) >=
			     sizeof(folder))
		return;
	slash = strrchr(folder, '/');
	if (!slash)
		strcpy(folder, ".");
	else
		slash[slash == folder] = '\0';
	if (access(folder, W_OK) < 0)
		journal(WEIR_LOG_WARNING,
			"'%s' will stay behind: the server's user cannot "
			"remove it from its folder",
			path);
}

static void warn_of_paths(const struct options *o)
{
	warn_of_path(o->pid_file);
	warn_of_path(o->control);
	warn_of_path(address_path(o->status));
	warn_of_path(address_path(o->agent));
	for (size_t i = 0; i < o->listeners.count; i++)
		warn_of_path(address_path(o->listeners.all[i].where));
}

static void warn_of_unreadable(const char *path)
{
	if (path && access(path, R_OK) < 0)
		journal(WEIR_LOG_WARNING,
			"the server's user cannot read '%s': %s; a reload or "
			"an upgrade will fail",
			path, strerror(errno));
}

static void warn_of_files(const struct options *o)
{
	const struct tls_options *t = &o->tls_options;

	warn_of_unreadable(o->config_file);
	for (size_t i = 0; i < o->rule_count; i++)
		warn_of_unreadable(rules_path(o->rules[i]));
	for (size_t i = 0; i < t->certificate_count; i++) {
		warn_of_unreadable(t->certificates[i]);
		warn_of_unreadable(t->keys[i]);
	}
	warn_of_unreadable(t->client_ca);
	warn_of_unreadable(t->crl);
	warn_of_unreadable(t->ticket_keys);
}

/*
 * The folder may be another user's, who may have put another file in the place
 * of the socket: a link to a file of ours, too.
 */
static int give_socket(const char *path, uid_t uid)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int rc;

	if (fd < 0)
		return -errno;
	rc = fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0 && (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid() ||
			st.st_nlink != 1))
		rc = -ESTALE;
	if (rc == 0 && fchownat(fd, "", uid, (gid_t)-1, AT_EMPTY_PATH) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

/* Its mode lets its owner alone use it. */
static void give_control(const char *path)
{
	int rc = is_identity(&identity) ? 0 : give_socket(path, identity.uid);

	if (rc < 0)
		journal(WEIR_LOG_WARNING,
			"'%s' stays root's, so the server's user cannot use "
			"it: %s",
			path,
			rc == -ESTALE ? "another process has replaced it"
				      : strerror(-rc));
}

bool privileges_drop(const struct options *o)
{
	tzset(); /* its files are out of reach soon */
	if (o->root && (chroot(o->root) < 0 || chdir("/") < 0))
		return fail("--chroot", o->root);
	if (o->user && o->control)
		give_control(o->control);
	if (o->user && !become(&identity))
		return false;
	/* An outer sandbox may deny it. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 &&
	    (o->user || o->root || o->sandbox)) {
		cli_error("cannot set no_new_privs: %s", strerror(errno));
		return false;
	}
	if (o->user)
		warn_of_paths(o);
	if (o->user && !o->root) /* behind another root neither is possible */
		warn_of_files(o);
	if (o->sandbox && !sandbox_enter(o))
		return false;
	return !o->file || can_read(o->file);
}
