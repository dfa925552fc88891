/* SPDX-License-Identifier: MIT */
/* Texts of errors, the version, and the message of a failed assertion. */
#include "test.h"

#include <limits.h>
#include <sys/wait.h>

#include "../../cli/cli.h"
#include "error.h"

START_TEST(each_documented_error_has_a_text)
{
	static const int errors[] = {
		EACCES,	     EADDRINUSE,   EADDRNOTAVAIL, EAGAIN,
		EALREADY,    EBADF,	   EBADMSG,	  EBUSY,
		ECANCELED,   ECONNREFUSED, ECONNRESET,	  EDEADLK,
		EFBIG,	     EHOSTUNREACH, EINTR,	  EINVAL,
		EIO,	     EMFILE,	   EMSGSIZE,	  ENAMETOOLONG,
		ENETUNREACH, ENFILE,	   ENOBUFS,	  ENODATA,
		ENOENT,	     ENOMEM,	   ENOSPC,	  ENOTCONN,
		ENOTSOCK,    EOPNOTSUPP,   EPIPE,	  EPROTO,
		ESHUTDOWN,   ETIMEDOUT,
	};
	size_t i, k;

	for (i = 0; i < wr_array_len(errors); i++) {
		const char *text = weir_strerror(-errors[i]);

		ck_assert_str_ne(text, "unknown error");
		ck_assert_ptr_eq(text, weir_strerror(errors[i]));
		for (k = 0; k < i; k++)
			ck_assert_str_ne(text, weir_strerror(errors[k]));
	}
}
END_TEST

START_TEST(any_other_number_has_one_too)
{
	ck_assert_str_eq(weir_strerror(0), "no error");
	ck_assert_str_eq(weir_strerror(-EXDEV), strerror(EXDEV));
	ck_assert_str_eq(weir_strerror(-99999), "unknown error");
	ck_assert_str_eq(weir_strerror(INT_MAX), "unknown error");
	ck_assert_str_eq(weir_strerror(INT_MIN), "unknown error");
}
END_TEST

START_TEST(a_call_that_is_missing_is_told_from_one_that_failed)
{
	static const int missing[] = { ENOSYS,	EPERM,	     EOPNOTSUPP,
				       ENOTSUP, ENOPROTOOPT, ENOTTY };
	static const int failed[] = { EINVAL, EACCES, EAGAIN, EINTR,  EIO,
				      EBADF,  EMFILE, ENOMEM, ENOENT, EPIPE };
	size_t i;

	for (i = 0; i < wr_array_len(missing); i++) {
		ck_assert(wr_is_unsupported(-missing[i]));
		ck_assert(!wr_is_unsupported(missing[i]));
		ck_assert(cli_is_unsupported(missing[i]));
	}
	for (i = 0; i < wr_array_len(failed); i++) {
		ck_assert(!wr_is_unsupported(-failed[i]));
		ck_assert(!cli_is_unsupported(failed[i]));
	}
	ck_assert(!wr_is_unsupported(0));
	ck_assert(!cli_is_unsupported(0));
}
END_TEST

START_TEST(the_version_is_that_of_the_header)
{
	char text[32];

	snprintf(text, sizeof(text), "%d.%d.%d", WEIR_VERSION_MAJOR,
		 WEIR_VERSION_MINOR, WEIR_VERSION_PATCH);
	ck_assert_str_eq(weir_version(), text);
	ck_assert_str_eq(WEIR_VERSION, text);
}
END_TEST

/* What a child prints on descriptor 2 when this assertion aborts it. */
static void last_words(const char *expr, char *buf, size_t cap)
{
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		wr_assert_failed(expr, "file.c", 17);
	}
	close(fds[1]);
	n = read(fds[0], buf, cap - 1);
	ck_assert_int_gt(n, 0);
	buf[n] = '\0';
	ck_assert_int_eq(read(fds[0], &n, sizeof(n)), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	close(fds[0]);
}

START_TEST(a_broken_invariant_is_named_in_one_line)
{
	char expr[1000], buf[2000];

	last_words("a < b", buf, sizeof(buf));
	ck_assert_str_eq(buf, "weir: file.c:17: broken: a < b\n");
	memset(expr, 'x', sizeof(expr) - 1);
	expr[sizeof(expr) - 1] = '\0';
	last_words(expr, buf, sizeof(buf));
	ck_assert_ptr_eq(strchr(buf, '\n'), buf + strlen(buf) - 1);
}
END_TEST

START_TEST(an_invariant_that_holds_says_nothing)
{
	int evaluated = 0;

	wr_assert(++evaluated == 1);
	ck_assert_int_eq(evaluated, 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS("error", each_documented_error_has_a_text,
			 any_other_number_has_one_too,
			 a_call_that_is_missing_is_told_from_one_that_failed,
			 the_version_is_that_of_the_header,
			 a_broken_invariant_is_named_in_one_line,
			 an_invariant_that_holds_says_nothing);
}
