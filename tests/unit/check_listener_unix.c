/* SPDX-License-Identifier: MIT */
/*
 * The path of a Unix socket: which path may be taken, its mode, and that no
 * other file is ever removed.  The program runs in a directory that is removed
 * at its end.
 */
#include "test.h"

#include <fcntl.h>

#include "listening.h"

#define A10 "aaaaaaaaaa"

static void plain_file(const char *path)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

START_TEST(a_path_is_there_while_somebody_listens)
{
	struct wr_listener l;
	char buf[64];
	int fd;

	open_path(&l, "there");
	ck_assert(!l.is_tcp && !l.is_shared);
	ck_assert(fcntl(l.fd, F_GETFL) & O_NONBLOCK);
	ck_assert_int_eq(fcntl(l.fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(wr_listener_address(&l, buf, sizeof(buf)), 10);
	ck_assert_str_eq(buf, "unix:there");
	ck_assert_int_eq(try_connect(&fd, "there"), 0);
	ck_assert_int_ge(wr_sys_accept4(l.fd, NULL, NULL, 0), 0);
	wr_listener_close(&l);
	ck_assert_uint_eq(inode("there"), 0);
	wr_listener_close(&l);
}
END_TEST

START_TEST(a_stale_path_is_replaced)
{
	struct wr_listener l;

	leave_stale("stale");
	open_path(&l, "stale");
	ck_assert(is_live("stale"));
	wr_listener_close(&l);
	/* A socket of another type too, once it is unused. */
	close(socket_file("stale", SOCK_DGRAM));
	open_path(&l, "stale");
	ck_assert(is_live("stale"));
	wr_listener_close(&l);
}
END_TEST

START_TEST(a_live_path_stays_with_its_owner)
{
	struct wr_listener l, second;
	ino_t before;

	open_path(&l, "live");
	before = inode("live");
	ck_assert_int_eq(try_open_path(&second, "live", 0600), -EADDRINUSE);
	wr_listener_close(&second);
	ck_assert_uint_eq(inode("live"), before);
	ck_assert(is_live("live"));
	wr_listener_close(&l);
}
END_TEST

START_TEST(an_owner_too_busy_to_answer_is_alive)
{
	int owner = socket_file("busy", SOCK_STREAM), fd, count = 0;
	struct wr_listener l;
	ino_t before = inode("busy");

	ck_assert_int_eq(listen(owner, 0), 0);
	while (try_connect(&fd, "busy") == 0)
		ck_assert_int_lt(++count, 10);
	ck_assert_int_eq(try_open_path(&l, "busy", 0600), -EADDRINUSE);
	ck_assert_uint_eq(inode("busy"), before);
	unlink("busy");
}
END_TEST

START_TEST(a_datagram_socket_in_use_is_alive)
{
	int owner = socket_file("datagrams", SOCK_DGRAM);
	struct wr_listener l;
	ino_t before = inode("datagrams");

	ck_assert_int_eq(try_open_path(&l, "datagrams", 0600), -EADDRINUSE);
	ck_assert_uint_eq(inode("datagrams"), before);
	close(owner);
}
END_TEST

START_TEST(whatever_is_no_socket_stays)
{
	static const char *const paths[] = { "file", "folder", "link",
					     "dangling" };
	struct wr_listener l;
	size_t i;

	plain_file("file");
	ck_assert_int_eq(mkdir("folder", 0700), 0);
	leave_stale("target");
	ck_assert_int_eq(symlink("target", "link"), 0);
	ck_assert_int_eq(symlink("nowhere", "dangling"), 0);
	for (i = 0; i < wr_array_len(paths); i++) {
		ino_t before = inode(paths[i]);

		ck_assert_int_eq(try_open_path(&l, paths[i], 0600), -ENOTSOCK);
		ck_assert_uint_eq(inode(paths[i]), before);
	}
	ck_assert_uint_ne(inode("target"), 0);
	ck_assert_uint_eq(inode("nowhere"), 0);
	ck_assert_int_eq(try_open_path(&l, "no-folder/x", 0600), -ENOENT);
	ck_assert_int_eq(try_open_path(&l, "file/x", 0600), -ENOTDIR);
}
END_TEST

START_TEST(a_path_is_as_long_as_the_system_allows)
{
	const char *path = A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 "aaaaaaa";
	struct wr_listener l;
	char buf[200];

	open_path(&l, path);
	ck_assert(is_live(path));
	ck_assert_int_eq(wr_listener_address(&l, buf, sizeof(buf)), 5 + 107);
	ck_assert_str_eq(buf + 5, path);
	wr_listener_close(&l);
	ck_assert_uint_eq(inode(path), 0);
}
END_TEST

START_TEST(a_path_from_the_root_works_too)
{
	struct wr_listener l;
	char dir[70], path[80];

	ck_assert_ptr_nonnull(getcwd(dir, sizeof(dir)));
	snprintf(path, sizeof(path), "%s/rooted", dir);
	leave_stale(path);
	open_path(&l, path);
	ck_assert(is_live("rooted"));
	wr_listener_close(&l);
	ck_assert_uint_eq(inode("rooted"), 0);
}
END_TEST

static mode_t mode_at_listen;
static int error_at_listen;

static int look_before_listen(enum wr_sys_call call, size_t *len)
{
	struct stat st;
	int fd;

	(void)len;
	if (call != WR_SYS_listen)
		return 0;
	ck_assert_int_eq(lstat("modes", &st), 0);
	mode_at_listen = st.st_mode & 07777;
	error_at_listen = try_connect(&fd, "modes");
	close(fd);
	return 0;
}

START_TEST(the_mode_is_set_before_anybody_can_come)
{
	static const mode_t modes[] = { 0600, 0660, 0666, 0700 };
	struct wr_listener l;
	size_t i;

	umask(077);
	wr_sys_fault = look_before_listen;
	for (i = 0; i < wr_array_len(modes); i++) {
		mode_at_listen = 0;
		ck_assert_int_eq(try_open_path(&l, "modes", modes[i]), 0);
		ck_assert_uint_eq(mode_at_listen, modes[i]);
		ck_assert_int_eq(error_at_listen, ECONNREFUSED);
		ck_assert(is_live("modes"));
		wr_listener_close(&l);
	}
}
END_TEST

START_TEST(a_file_put_in_our_place_stays)
{
	struct wr_listener l, other;
	ino_t before;

	open_path(&l, "place");
	ck_assert_int_eq(unlink("place"), 0);
	plain_file("place");
	before = inode("place");
	wr_listener_close(&l);
	ck_assert_uint_eq(inode("place"), before);
	ck_assert_int_eq(unlink("place"), 0);
	/* Even a socket; and the fence looks as closely. */
	open_path(&l, "place");
	ck_assert_int_eq(unlink("place"), 0);
	open_path(&other, "place");
	wr_listener_fence(&l);
	wr_listener_close(&l);
	ck_assert(is_live("place"));
	wr_listener_close(&other);
	ck_assert_uint_eq(inode("place"), 0);
}
END_TEST

START_TEST(a_fence_takes_the_path_away)
{
	struct wr_listener l, next;
	int early, late, fd;
	char c;

	open_path(&l, "fenced");
	ck_assert_int_eq(try_connect(&early, "fenced"), 0);
	ck_assert_int_eq(send(early, "x", 1, 0), 1);
	wr_listener_fence(&l);
	ck_assert_int_eq(try_connect(&late, "fenced"), ENOENT);
	/* The next server takes the path, and keeps it at our close. */
	open_path(&next, "fenced");
	fd = wr_sys_accept4(l.fd, NULL, NULL, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(recv(fd, &c, 1, 0), 1);
	ck_assert_int_eq(wr_sys_accept4(l.fd, NULL, NULL, 0), -EAGAIN);
	wr_listener_close(&l);
	ck_assert(is_live("fenced"));
	wr_listener_close(&next);
}
END_TEST

/* ---- the folder changes between check and use of a path */

static const char *swapped_in; /* takes our name */
static enum wr_sys_call swap_at;

static int swap(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call == swap_at && swapped_in && rename(swapped_in, "swapped") == 0)
		swapped_in = NULL;
	return 0;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static int calls_before_swap;

static int swap_later(enum wr_sys_call call, size_t *len)
{
	swap_at = call;
	return calls_before_swap-- > 0 ? 0 : swap(call, len);
}

/* False: the start has fewer calls than those before the swap. */
static bool start_and_swap(int calls_before, bool is_link)
{
	struct wr_listener l;
	int rc;

	if (is_link)
		ck_assert_int_eq(symlink("precious", "trap"), 0);
	else
		ck_assert_int_eq(link("precious", "trap"), 0);
	calls_before_swap = calls_before;
	swapped_in = "trap";
	wr_sys_fault = swap_later;
	rc = try_open_path(&l, "swapped", 0666);
	wr_sys_fault = NULL;
	ck_assert_uint_eq(mode_of("precious"), 0600);
	ck_assert_int_eq(access("swapped", F_OK), 0);
	if (rc == 0)
		wr_listener_close(&l);
	unlink("swapped");
	unlink("trap");
	return !swapped_in;
}

/* Before each call of a start. */
START_TEST(the_mode_of_no_other_file_is_changed)
{
	mode_t before = umask(022); /* so that a mode is to be set */
	int calls[2] = { 0, 0 };

	plain_file("precious");
	for (int is_link = 0; is_link < 2; is_link++)
		while (start_and_swap(calls[is_link], is_link))
			calls[is_link]++;
	ck_assert_int_gt(calls[0], 5);
	ck_assert_int_gt(calls[1], 5);
	umask(before);
}
END_TEST

START_TEST(a_path_that_is_taken_at_the_last_moment_stays)
{
	static const enum wr_sys_call calls[] = { WR_SYS_unlink,
						  WR_SYS_rename };
	struct wr_listener l;
	size_t i;

	for (i = 0; i < wr_array_len(calls); i++) {
		/* while a stale one is removed */
		leave_stale("swapped");
		plain_file("newcomer");
		swap_at = calls[i];
		swapped_in = "newcomer";
		wr_sys_fault = swap;
		(void)try_open_path(&l, "swapped", 0600);
		ck_assert_ptr_null(swapped_in);
		wr_sys_fault = NULL;
		wr_listener_close(&l);
		ck_assert_int_eq(access("swapped", F_OK), 0);
		unlink("swapped");
		/* while ours goes */
		open_path(&l, "swapped");
		plain_file("newcomer");
		swapped_in = "newcomer";
		wr_sys_fault = swap;
		wr_listener_close(&l);
		wr_sys_fault = NULL;
		ck_assert_ptr_null(swapped_in);
		ck_assert_int_eq(access("swapped", F_OK), 0);
		unlink("swapped");
	}
}
END_TEST

START_TEST(a_folder_that_cannot_be_read_will_do)
{
	static const mode_t modes[] = { 0300, 0733 };
	char folder[] = "/tmp/weir-unreadable-XXXXXX", path[64];
	struct wr_listener l;
	size_t i;

	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	for (i = 0; i < wr_array_len(modes); i++) {
		ck_assert_int_eq(chmod(folder, modes[i]), 0);
		open_path(&l, path);
		ck_assert(is_live(path));
		wr_listener_close(&l);
	}
	ck_assert_int_eq(rmdir(folder), 0);
	/* A process that is not its user's cannot look for its own leaks. */
	ck_assert_int_eq(seteuid(getuid()), 0);
}
END_TEST

START_TEST(an_abstract_name_takes_no_mode_that_it_cannot_have)
{
	static const mode_t modes[] = { 0600, 0660, 0 };
	struct wr_listener l;
	char name[64];
	size_t i;

	snprintf(name, sizeof(name), "@weir-test-%d", (int)getpid());
	for (i = 0; modes[i]; i++)
		ck_assert_int_eq(try_open_path(&l, name, modes[i]), -EINVAL);
	ck_assert_int_eq(try_open_path(&l, name, 0666), 0);
	wr_listener_close(&l);
}
END_TEST

START_TEST(a_name_that_does_not_print_is_refused)
{
	static const char *const names[] = { "a\nb", "c\x01", "@d\x1b[2J",
					     "e\x7f" };
	struct wr_listener l;
	size_t i;

	for (i = 0; i < wr_array_len(names); i++) {
		ck_assert_int_eq(try_open_path(&l, names[i], 0), -EINVAL);
		ck_assert_uint_eq(inode(names[i]), 0);
	}
}
END_TEST

static int no_files(enum wr_sys_call call, size_t *len)
{
	(void)len;
	return call == WR_SYS_open || call == WR_SYS_stat ? -EACCES : 0;
}

START_TEST(an_abstract_name_has_no_file)
{
	struct wr_listener l, second;
	char name[64], buf[80];

	wr_sys_fault = no_files;
	snprintf(name, sizeof(name), "@weir-test-%d", (int)getpid());
	ck_assert_int_eq(try_open_path(&l, name, 0), 0);
	ck_assert_int_eq(l.path[0], '\0');
	ck_assert_int_gt(wr_listener_address(&l, buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf + 5, name);
	ck_assert_int_eq(try_open_path(&second, name, 0), -EADDRINUSE);
	wr_listener_fence(&l);
	wr_listener_close(&l);
	ck_assert_int_eq(try_open_path(&second, name, 0), 0);
	wr_listener_close(&second);
}
END_TEST

START_TEST(the_path_of_an_inherited_socket_stays)
{
	struct wr_address addr = { .kind = WR_ADDRESS_FD };
	struct wr_listener l;

	addr.fd = socket_file("inherited", SOCK_STREAM);
	ck_assert_int_eq(listen(addr.fd, 8), 0);
	ck_assert_int_eq(wr_listener_open(&l, &addr, 8, 0600, NULL), 0);
	ck_assert(l.is_shared && !l.is_tcp);
	wr_listener_fence(&l);
	ck_assert(is_live("inherited"));
	wr_listener_close(&l);
	ck_assert_uint_ne(inode("inherited"), 0);
}
END_TEST

static int run_all(void)
{
	return RUN_TESTS(
		"listener_unix", a_path_is_there_while_somebody_listens,
		a_stale_path_is_replaced, a_live_path_stays_with_its_owner,
		an_owner_too_busy_to_answer_is_alive,
		a_datagram_socket_in_use_is_alive, whatever_is_no_socket_stays,
		a_path_is_as_long_as_the_system_allows,
		a_path_from_the_root_works_too,
		the_mode_is_set_before_anybody_can_come,
		a_file_put_in_our_place_stays, a_fence_takes_the_path_away,
		an_abstract_name_has_no_file,
		the_mode_of_no_other_file_is_changed,
		a_path_that_is_taken_at_the_last_moment_stays,
		a_folder_that_cannot_be_read_will_do,
		an_abstract_name_takes_no_mode_that_it_cannot_have,
		a_name_that_does_not_print_is_refused,
		the_path_of_an_inherited_socket_stays);
}

int main(void)
{
	return run_in_own_directory(run_all);
}
