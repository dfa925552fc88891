/* SPDX-License-Identifier: MIT */
/*
 * A script: what each connection sends and expects, in a file of lines.
 *
 *   # a comment
 *   connect                 on each new connection; not measured
 *     expect line
 *   once                    then; measured on a clock of its own
 *     send AUTH secret\r\n
 *     expect line
 *     ok +OK
 *   loop                    again and again: these exchanges are measured
 *     send SET key{seq} {random:1000}\r\n
 *     expect line
 *     bad -
 *     pause 100ms
 *     close               at the end: each pass has its own connection
 *   end                     before this client closes the connection
 *     send QUIT\r\n
 *     expect line
 *
 * A step of once and loop is a send and an expect.  In the other parts either
 * may stand alone.  ok, bad and match belong to the expect before them.
 */
#ifndef LOAD_SCRIPT_H
#define LOAD_SCRIPT_H

#include "framer.h"
#include "template.h"

#define SCRIPT_STEPS_MAX 64 /* of a part */

struct script_step {
	bool has_text, has_reply;
	struct template text;
	struct expectation expected;
	int64_t pause_ns; /* after it */
};

struct script_part {
	struct script_step *steps;
	size_t count;
};

enum script_part_kind {
	SCRIPT_CONNECT,
	SCRIPT_ONCE,
	SCRIPT_LOOP,
	SCRIPT_END,
	SCRIPT_PARTS
};

struct load_script {
	struct script_part parts[SCRIPT_PARTS];
	bool has_line;	/* a text has {line} */
	bool has_pause; /* the loop has */
	bool has_close; /* a pass through the loop ends the connection */
	char *source;	/* the file; match expressions refer to it */
};

/*
 * Takes over source, which has room for a NUL behind its len bytes;
 * script_fini() in any case.  Returns false after printing an error.
 */
bool script_parse(struct load_script *ret, const char *path, char *source,
		  size_t len);
void script_fini(struct load_script *s);

void script_bind(struct load_script *s, const struct data_lines *lines,
		 uint64_t seed, uint32_t connections);

#endif
