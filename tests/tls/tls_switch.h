/* SPDX-License-Identifier: MIT */
/* See tls_switch.c. */
#ifndef TESTS_TLS_TLS_SWITCH_H
#define TESTS_TLS_TLS_SWITCH_H

#include <stdint.h>

/* A client's first bytes to tls_proxy; the answer is 0 or an errno. */
struct tls_call {
	uint16_t port;
	int receive_buffer; /* bytes; 0: the default */
};

#endif
