/* SPDX-License-Identifier: MIT */
/*
 * A script: what each connection sends and expects, in a file of lines.
 *
 *   # a comment
 *   connect                 on each new connection, before it is used
 *     send AUTH secret\r\n
 *     expect line
 *     ok +OK
 *   loop                    again and again: these exchanges are measured
 *     send SET key{seq} {random:1000}\r\n
 *     expect line
 *     bad -
 *
 * A step of the loop is a send and an expect.  In the connect part either may
 * stand alone.  ok, bad and match belong to the expect before them.
 */
#ifndef LOAD_SCRIPT_H
#define LOAD_SCRIPT_H

#include "expectation.h"
#include "template.h"

#define SCRIPT_STEPS_MAX 64 /* of a part */

struct script_step {
	bool has_text, has_reply;
	struct template text;
	struct expectation expected;
};

struct script_part {
	struct script_step *steps;
	size_t count;
};

struct load_script {
	struct script_part connect, loop;
	bool has_line; /* a text has {line} */
	char *source;  /* the file; match expressions refer to it */
};

/*
 * Take over the content of a file, which ends in a NUL.  Returns false after
 * printing an error that names the file and the line; call script_fini() in
 * any case.
 */
bool script_parse(struct load_script *ret, const char *path, char *source);
void script_fini(struct load_script *s);

/* See template_bind(). */
void script_bind(struct load_script *s, const struct data_lines *lines,
		 uint64_t seed, uint32_t connections);

#endif
