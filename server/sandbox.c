/* SPDX-License-Identifier: MIT */
/*
 * Folders are allowed, not files: a file that an editor replaces is another
 * file.  Open descriptors are not restricted: standard output, the log and the
 * listeners.
 *
 * A kernel has a version of Landlock (ABI) and refuses rights that it does not
 * know.  The numbers below are copied from linux/landlock.h, because the header
 * that is installed may be older than the kernel.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "journal.h"
#include "options.h"
#include "rules.h"

/* The same on all machines. */
#define CREATE_RULESET 444
#define ADD_RULE       445
#define RESTRICT_SELF  446

#define CREATE_RULESET_VERSION 1
#define RULE_PATH_BENEATH      1

#define READ_FILE   (UINT64_C(1) << 2)
#define REMOVE_FILE (UINT64_C(1) << 5)
#define MAKE_REG    (UINT64_C(1) << 8)
#define MAKE_SOCK   (UINT64_C(1) << 9)

/* struct landlock_ruleset_attr */
struct handled {
	uint64_t files;
	uint64_t net;
	uint64_t scoped;
};

/* struct landlock_path_beneath_attr */
struct beneath {
	uint64_t allowed;
	int32_t folder;
} __attribute__((packed));

/* By ABI, from 1 on: how many rights there are, and bytes of struct handled. */
static const struct {
	int file_rights, net_rights, scopes;
	size_t size;
} versions[] = {
	{ 13, 0, 0, 8 },  { 14, 0, 0, 8 },  { 15, 0, 0, 8 },
	{ 15, 2, 0, 16 }, { 16, 2, 0, 16 }, { 16, 2, 2, 24 },
};

#define VERSIONS (long)(sizeof(versions) / sizeof(versions[0]))

static uint64_t first_bits(int count)
{
	return (UINT64_C(1) << count) - 1;
}

static int open_rules(long *abi)
{
	struct handled handled;
	int rules;

	*abi = syscall(CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);
	if (*abi < 1) {
		cli_error("--sandbox: this kernel has no Landlock: %s",
			  strerror(errno));
		return -1;
	}
	if (*abi > VERSIONS)
		*abi = VERSIONS;
	handled = (struct handled){
		.files = first_bits(versions[*abi - 1].file_rights),
		.net = first_bits(versions[*abi - 1].net_rights),
		.scoped = first_bits(versions[*abi - 1].scopes),
	};
	rules = (int)syscall(CREATE_RULESET, &handled, versions[*abi - 1].size,
			     0);
	if (rules < 0)
		cli_error("--sandbox: %s", strerror(errno));
	return rules;
}

static bool allow_folder(int rules, const char *folder, uint64_t rights)
{
	struct beneath beneath = { .allowed = rights };
	bool is_allowed;

	beneath.folder = open(folder, O_PATH | O_CLOEXEC | O_DIRECTORY);
	if (beneath.folder < 0) {
		cli_error("--sandbox: '%s': %s", folder, strerror(errno));
		return false;
	}
	is_allowed =
		syscall(ADD_RULE, rules, RULE_PATH_BENEATH, &beneath, 0) == 0;
	if (!is_allowed)
		cli_error("--sandbox: '%s': %s", folder, strerror(errno));
	close(beneath.folder);
	return is_allowed;
}

static bool allow_beside(int rules, const char *path, uint64_t rights)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	char folder[PATH_MAX];

	if (!path)
		return true;
	if (!slash)
		return allow_folder(rules, ".", rights);
	snprintf(folder, sizeof(folder), "%.*s",
		 slash == path ? 1 : (int)(slash - path), path);
	return allow_folder(rules, folder, rights);
}

/* path may be a symbolic link into another folder; certbot replaces links. */
static bool allow_linked(int rules, const char *path)
{
	char real[PATH_MAX];

	return !path || (allow_beside(rules, path, READ_FILE) &&
			 allow_beside(rules, realpath(path, real) ? real : path,
				      READ_FILE));
}

static bool allow_socket(int rules, const char *where)
{
	return allow_beside(rules, address_path(where),
			    REMOVE_FILE | MAKE_SOCK);
}

static bool allow_listeners(int rules, const struct listeners *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (!allow_socket(rules, l->all[i].where))
			return false;
	return true;
}

static bool allow_tls(int rules, const struct tls_options *t)
{
	for (size_t i = 0; i < t->certificate_count; i++)
		if (!allow_linked(rules, t->certificates[i]) ||
		    !allow_linked(rules, t->keys[i]))
			return false;
	return allow_linked(rules, t->client_ca) &&
	       allow_linked(rules, t->crl) &&
	       allow_linked(rules, t->ticket_keys);
}

static bool allow_rules(int rules, const struct options *o)
{
	for (size_t i = 0; i < o->rule_count; i++)
		if (!allow_linked(rules, rules_path(o->rules[i])))
			return false;
	return true;
}

/* Behind another root nothing is reloaded, and the paths mean nothing. */
static bool allow_all(int rules, const struct options *o)
{
	if (!allow_linked(rules, o->file))
		return false;
	if (o->root)
		return true;
	return allow_linked(rules, o->config_file) && allow_rules(rules, o) &&
	       allow_tls(rules, &o->tls_options) &&
	       allow_beside(rules, o->pid_file,
			    READ_FILE | REMOVE_FILE | MAKE_REG) &&
	       allow_beside(rules, o->control, REMOVE_FILE | MAKE_SOCK) &&
	       allow_socket(rules, o->status) &&
	       allow_socket(rules, o->agent) &&
	       allow_listeners(rules, &o->listeners);
}

bool sandbox_enter(const struct options *o)
{
	long abi;
	int rules = open_rules(&abi);
	bool is_done = rules >= 0 && allow_all(rules, o);

	if (is_done && syscall(RESTRICT_SELF, rules, 0) < 0) {
		cli_error("--sandbox: %s", strerror(errno));
		is_done = false;
	}
	if (rules >= 0)
		close(rules);
	if (is_done && versions[abi - 1].net_rights == 0)
		journal(WEIR_LOG_WARNING,
			"the sandbox does not restrict TCP: Landlock of this "
			"kernel has version %ld, which is below 4",
			abi);
	return is_done;
}
