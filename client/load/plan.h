/* SPDX-License-Identifier: MIT */
/*
 * What a run is asked to do: the checked command line of weir-client load.
 * Constant during the run.
 */
#ifndef LOAD_PLAN_H
#define LOAD_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../cli/proxy_header.h"
#include "engine/framer.h"
#include "engine/script.h"
#include "engine/template.h"

enum plan_mode {
	PLAN_EXCHANGE, /* messages and replies on connections that stay */
	PLAN_CHURN,    /* connect, one exchange, close */
	PLAN_UPLOAD,   /* one way, as fast as the server takes it */
	PLAN_DOWNLOAD, /* one way, as fast as the server sends */
};

enum plan_schedule {
	PLAN_CLOSED,   /* the next message after each reply */
	PLAN_CONSTANT, /* open loop: evenly spaced instants */
	PLAN_POISSON,  /* open loop: independent arrivals */
};

enum plan_payload {
	PAYLOAD_LINES,	/* printable, numbered, ends in a newline */
	PAYLOAD_RANDOM, /* numbered, then any bytes */
	PAYLOAD_TEXT,	/* a template: --text, --payload-file */
};

enum plan_expect {
	EXPECT_ECHO,  /* the message itself */
	EXPECT_REPLY, /* "Server replies: " and the message; banner "Connect" */
	EXPECT_FRAMED, /* as expected says; not compared with the message */
};

enum plan_banner {
	BANNER_NONE, /* the client speaks first */
	BANNER_ANY,  /* whatever comes first */
	BANNER_LINE,
	BANNER_TEXT, /* banner_text */
};

enum bad_client_kind {
	BAD_CLIENT_SLOW_READ,
	BAD_CLIENT_DRIP,
	BAD_CLIENT_HALF_CLOSE,
	BAD_CLIENT_RESET,
	BAD_CLIENT_IDLE,
	BAD_CLIENT_FLOOD,
	BAD_CLIENT_VANISH,
	BAD_CLIENT_KINDS
};

extern const char *const bad_client_names[BAD_CLIENT_KINDS];

/* Options of the sockets; 0, false and NULL leave the default. */
struct plan_socket {
	int receive_buffer, send_buffer; /* bytes */
	int mark_dscp;			 /* 0 to 63 */
	int segment;			 /* TCP_MAXSEG */
	bool has_nagle;			 /* no TCP_NODELAY */
	const char *congestion;		 /* TCP_CONGESTION */
	const char *device;		 /* SO_BINDTODEVICE */
};

/* A part of the measured time in which the rate changes evenly. */
struct plan_stage {
	double from, to; /* messages a second */
	int64_t length_ns;
};

#define PLAN_STAGES 16

/* A length of time, drawn each time; high is 0: none. */
struct plan_span {
	int64_t low, high;   /* ns; evenly distributed from low to high */
	bool is_exponential; /* low and high are the mean */
};

#define ALPN_MAX 255

/* TLS; it begins on each connection after the PROXY header. */
struct plan_tls {
	bool is_wanted;
	bool is_insecure; /* any certificate is good */
	bool is_full;	  /* no session is resumed */
	const char *name; /* that the certificate must have; NULL: any */
	const char *ca, *certificate, *key; /* files; NULL */
	const char *alpn_given;		    /* as --alpn has it; NULL: none */
	unsigned char alpn[ALPN_MAX + 1];   /* as in the handshake */
	size_t alpn_len;
};

struct plan {
	const char *address;
	enum plan_mode mode;
	enum plan_schedule schedule;
	int connections;
	int threads;
	int depth;   /* messages under way on a connection, at most */
	double rate; /* messages (churn: connections) a second; 0: closed loop
		      */
	/* Stages of the measured part; rate is their mean then. */
	struct plan_stage stages[PLAN_STAGES];
	size_t stage_count;  /* 0: the rate is constant */
	double connect_rate; /* connections a second at the start; 0: any */
	int idle;	     /* silent connections in addition */
	uint64_t count;	     /* messages in all; 0: duration_ns ends the run */
	int64_t duration_ns; /* measured part; INT64_MAX: only count ends the
				run */
	int64_t warmup_ns;
	int64_t start_at_ns; /* CLOCK_REALTIME; 0: once all is connected */
	int64_t timeout_ns;  /* from the send to the reply */
	int64_t connect_timeout_ns;
	struct plan_span think;	   /* closed loop: after each reply */
	struct plan_span lifetime; /* of a connection */
	bool reconnect;
	bool close_by_reset; /* --close rst */
	uint64_t seed;

	enum plan_payload payload;
	size_t size_min, size_max;	  /* bytes of a message */
	const struct template *text;	  /* PAYLOAD_TEXT, bound; else NULL */
	const struct load_script *script; /* bound; or NULL.  payload is
					PAYLOAD_TEXT, expect EXPECT_FRAMED; text
					and expected are not used */
	const char *script_path;
	const char *text_given; /* as --text has it; NULL: a file */

	enum plan_expect expect;
	const char *expect_given;    /* as --expect has it; NULL: echo */
	struct expectation expected; /* EXPECT_FRAMED */
	int64_t expect_quiet_ns; /* FRAMER_ANY: a reply ends when nothing came
				    for this long; 0: with what is there */
	enum plan_banner banner;
	const char *banner_text; /* with escapes */

	int bad_clients[BAD_CLIENT_KINDS];
	const double *percentiles; /* that are shown; NULL: the usual ones */
	size_t percentile_count;
	const char *const *sources; /* addresses to connect from */
	size_t source_count;
	bool is_spread;		 /* over all addresses of the name */
	enum proxy_header proxy; /* sent first on each connection */
	struct plan_socket socket;
	struct plan_tls tls;
};

const char *plan_mode_text(const struct plan *p);

#define PLAN_FAR 4e18 /* ns, 126 years */

/* At most PLAN_FAR, to which the time of a clock can be added. */
int64_t plan_ns(double ns);

/*
 * Stages: when that many messages are due, in ns from the start of the measured
 * part.  After the last stage its rate goes on.
 */
int64_t plan_instant(const struct plan *p, double messages);

/*
 * The banner as a step, which has no reply if none is expected; to be freed
 * with expectation_fini().  Returns false without memory.
 */
bool plan_banner(const struct plan *p, struct script_step *ret);

int64_t span_draw(const struct plan_span *s, uint64_t *state);

/* The rate of the warm-up. */
double plan_first_rate(const struct plan *p);

#define PLAN_PERCENTILES      5
#define PLAN_MORE_PERCENTILES 8
extern const double plan_usual_percentiles[PLAN_PERCENTILES];

/* The percentiles that are shown, ascending. */
const double *plan_percentiles(const struct plan *p, size_t *count);

#endif
