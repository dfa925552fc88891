/* SPDX-License-Identifier: MIT */
#include "denied.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>

/* The machine that this was built for: others number their calls otherwise. */
#if defined(__x86_64__) && defined(__LP64__)
#define OURS AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define OURS AUDIT_ARCH_I386
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define OURS AUDIT_ARCH_AARCH64
#elif defined(__arm__) && defined(__ARMEL__)
#define OURS AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define OURS AUDIT_ARCH_RISCV64
#elif defined(__s390x__)
#define OURS AUDIT_ARCH_S390X
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define OURS AUDIT_ARCH_PPC64LE
#endif

bool call_is_denied(unsigned number, unsigned error)
{
#ifdef OURS
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OURS, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(rules) / sizeof(rules[0]), rules };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
#else
	(void)number;
	(void)error;
	return false;
#endif
}
