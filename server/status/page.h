/* SPDX-License-Identifier: MIT */
/* The page of /status, in page.c, which page/embed.sh makes. */
#ifndef SERVER_STATUS_PAGE_H
#define SERVER_STATUS_PAGE_H

#include <stddef.h>

extern const unsigned char status_page[];
extern const size_t status_page_len;

#endif
