/* SPDX-License-Identifier: MIT */
/*
 * "weir-server ctl": send a request to a running server (control.h).
 */
#ifndef SERVER_CTL_H
#define SERVER_CTL_H

/* argv[0] is "ctl". */
int ctl_main(int argc, char **argv);

void ctl_print_options(void);

#endif
