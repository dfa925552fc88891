/* SPDX-License-Identifier: MIT */
/*
 * The TLS of one connection: OpenSSL between the connection and its socket.
 *
 * "OpenSSL sees no socket": it reads and writes memory that the thread lends
 * (lent.c), and the core receives and sends.  At the end of each operation the
 * rest of the input moves to the connection, and the output to the kernel.
 *
 * "Half a hello costs its own bytes": there is no SSL object before the first
 * record is whole and looks like a hello.
 */
#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <time.h>

#include "sys.h"
#include "tls.h"

/*
 * Limits of records without data: in a handshake, and after it in a second.
 * Such a record costs this side more than the peer.
 */
#define HANDSHAKE_RECORDS 4096
#define OTHER_RECORDS	  100

/* Plain bytes that become records in one send. */
#define SEND_BYTES ((size_t)64 * 1024)

/*
 * With more unsent bytes no record is read.  What goes beyond one send can only
 * be answers to records of the peer, such as repeated requests for a handshake.
 */
#define UNSENT_BYTES (2 * SEND_BYTES)

struct stream {
	struct wr_layer layer; /* first */
	struct weir_tls *tls;
	SSL *ssl;	       /* NULL: the first record is not whole */
	struct tls_lent *lent; /* during an operation */
	const char *failed;    /* why; NULL */
	X509 *refused;	       /* a certificate of the peer; NULL */
	char *name;	       /* of the peer, instead of that of tls; NULL */
	int64_t others_since;  /* ns */
	uint32_t others;       /* records without data since then */
	int error;	       /* of the input: of the socket, or ours */
	int out_error;	       /* the same of the output */
	int last;	       /* what receive returns, with has_last */
	bool has_last;
	bool saw_eof;
	bool lacks_body; /* of a record whose header came before the end */
	bool is_up;
	bool is_untold; /* the log does not know yet that it has failed */
};

static struct stream *stream_of(const struct wr_layer *l)
{
	return (struct stream *)(uintptr_t)l;
}

static int64_t coarse_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* OpenSSL reads the header of each record with a read of its own. */
static bool has_too_many_records(struct stream *s)
{
	int64_t now;

	if (++s->others <= (s->is_up ? OTHER_RECORDS : HANDSHAKE_RECORDS))
		return false;
	if (!s->is_up)
		return true;
	now = coarse_ns();
	if (now - s->others_since < INT64_C(1000000000))
		return true;
	s->others_since = now;
	s->others = 0;
	return false;
}

static void fail(struct stream *s, const char *why)
{
	s->failed = why;
	s->is_untold = true;
}

static bool is_flooded(struct stream *s)
{
	if (has_too_many_records(s))
		fail(s, "too many records without data");
	else if (wr_buffer_len(&s->layer.out) > UNSENT_BYTES)
		fail(s, "the peer does not take the answers to its records");
	else
		return false;
	return true;
}

/* > 0; 0: end of input; -EAGAIN; -errno. */
static ssize_t take_input(struct stream *s, char *buf, size_t cap)
{
	struct wr_buffer *in = &s->layer.in;
	struct tls_lent *lent = s->lent;
	ssize_t n;

	if (wr_buffer_len(in) > 0)
		return (ssize_t)wr_buffer_take(in, buf, cap);
	if (lent->at == lent->len) {
		n = wr_layer_recv(&s->layer, lent->in, sizeof(lent->in));
		if (n <= 0)
			return n;
		lent->at = 0;
		lent->len = (size_t)n;
	}
	n = (ssize_t)wr_min(cap, lent->len - lent->at);
	memcpy(buf, lent->in + lent->at, (size_t)n);
	lent->at += (size_t)n;
	return n;
}

static int bio_read(BIO *bio, char *buf, int cap)
{
	struct stream *s = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (s->error)
		return -1;
	n = take_input(s, buf, (size_t)cap);
	s->lacks_body = n == 0 && (size_t)cap != TLS_HEADER;
	if (n == 0)
		s->saw_eof = true;
	else if (n == -EAGAIN)
		BIO_set_retry_read(bio);
	else if (n < 0)
		s->error = (int)n;
	else if ((size_t)cap == TLS_HEADER && is_flooded(s))
		n = s->error = -EPROTO;
	return n < 0 ? -1 : (int)n;
}

/* The first error stays: a record is missing. */
static void flush_lent(struct stream *s)
{
	struct tls_lent *lent = s->lent;

	if (lent->out_len > 0 && s->out_error == 0)
		s->out_error =
			wr_layer_put(&s->layer, lent->out, lent->out_len);
	lent->out_len = 0;
}

/* It hides errors of the output, so that OpenSSL still reads. */
static int bio_write(BIO *bio, const char *data, int len)
{
	struct stream *s = BIO_get_data(bio);
	struct tls_lent *lent = s->lent;
	size_t n = wr_min((size_t)len, sizeof(lent->out));

	BIO_clear_retry_flags(bio);
	if (n > sizeof(lent->out) - lent->out_len)
		flush_lent(s);
	if (s->out_error)
		return len;
	memcpy(lent->out + lent->out_len, data, n);
	lent->out_len += n;
	return (int)n;
}

static long bio_ctrl(BIO *bio, int what, long number, void *pointer)
{
	const struct stream *s = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	if (what == BIO_CTRL_EOF)
		return s->saw_eof;
	return what == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static void make_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
				     "weir");

	if (m == NULL)
		return;
	BIO_meth_set_read(m, bio_read);
	BIO_meth_set_write(m, bio_write);
	BIO_meth_set_ctrl(m, bio_ctrl);
	BIO_meth_set_create(m, bio_create);
	bio_method = m;
}

/* Of this thread.  A look costs less than clearing a queue that is empty. */
static void forget_errors(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}

static int begin(struct stream *s)
{
	s->lent = tls_lent();
	forget_errors();
	return s->lent ? 0 : -ENOMEM;
}

/*
 * Leave nothing in the memory that is lent.  An error here is told by the next
 * operation, unless this one has taken and given nothing.
 */
static int finish(struct stream *s, int rc)
{
	struct tls_lent *lent = s->lent;
	struct wr_buffer *in = &s->layer.in;
	int kept = 0;

	flush_lent(s);
	if (lent->at < lent->len)
		kept = wr_buffer_append(in, lent->in + lent->at,
					lent->len - lent->at, SIZE_MAX / 2);
	if (kept < 0)
		s->error = kept;
	lent->at = lent->len = 0;
	if (in->mem && wr_buffer_len(in) == 0)
		wr_buffer_release(in);
	s->lent = NULL;
	if (rc != -EAGAIN)
		return rc;
	return s->error ? s->error : s->out_error ? s->out_error : rc;
}

static int finish_output(struct stream *s, int rc)
{
	rc = finish(s, rc);
	return rc >= 0 && s->out_error ? s->out_error : rc;
}

static void note_failure(struct stream *s)
{
	if (s->failed)
		return;
	fail(s, tls_reason(s->ssl));
	s->layer.failure = tls_failure(s->ssl);
}

/* Not in an operation of the output: the connection's lock may be held. */
static void tell_failure(struct stream *s)
{
	char text[160];

	if (!s->is_untold)
		return;
	s->is_untold = false;
	(void)snprintf(text, sizeof(text), "TLS: %s", s->failed);
	wr_layer_log(&s->layer, text);
}

static bool is_inside_record(const struct stream *s)
{
	return s->lacks_body || SSL_has_pending(s->ssl);
}

static int note_truncated(struct stream *s)
{
	s->layer.is_truncated = s->is_up;
	s->layer.is_torn = is_inside_record(s);
	return -ECONNRESET;
}

/* With WEIR_TLS_EOF_IS_END OpenSSL accepts an end of TCP inside a record. */
static int check_last_record(struct stream *s)
{
	return s->saw_eof && is_inside_record(s) ? note_truncated(s) : 0;
}

/* Of a call that has not succeeded: 0: the peer's end; -EAGAIN; -errno. */
static int error_of(struct stream *s, int n)
{
	int error = SSL_get_error(s->ssl, n);

	if (error == SSL_ERROR_WANT_READ)
		return -EAGAIN;
	if (error == SSL_ERROR_ZERO_RETURN)
		return check_last_record(s);
	if (s->error && s->failed == NULL)
		return s->error;
	if (s->saw_eof)
		return note_truncated(s);
	note_failure(s);
	return -EPROTO;
}

static int refuse_text(struct stream *s)
{
	s->failed = "the client does not speak TLS";
	s->layer.failure = WEIR_HANDSHAKE_NOT_TLS;
	wr_layer_log(&s->layer, s->failed);
	return -EPROTO;
}

static int check_hello(struct stream *s)
{
	const struct wr_buffer *in = &s->layer.in;
	int rc = tls_hello_check(wr_buffer_data(in), wr_buffer_len(in));

	return rc < 0 ? refuse_text(s) : rc;
}

static int await_hello(struct stream *s)
{
	struct tls_lent *lent = tls_lent();
	ssize_t n;
	int rc;

	if (lent == NULL)
		return -ENOMEM;
	while ((rc = check_hello(s)) == 0) {
		n = wr_layer_recv(&s->layer, lent->in, sizeof(lent->in));
		if (n <= 0)
			return n == -EAGAIN ? 0 : n == 0 ? -ECONNRESET : (int)n;
		rc = wr_buffer_append(&s->layer.in, lent->in, (size_t)n,
				      SIZE_MAX / 2);
		if (rc < 0)
			return rc;
	}
	return rc;
}

/* OpenSSL does not keep a certificate that it refuses. */
static int on_verified(int is_good, X509_STORE_CTX *ctx)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct stream *s = BIO_get_data(SSL_get_rbio(ssl));
	X509 *shown = X509_STORE_CTX_get0_cert(ctx);

	if (!is_good && s->refused == NULL && X509_up_ref(shown))
		s->refused = shown;
	return is_good;
}

static int set_peer(struct stream *s)
{
	const char *name = s->name ? s->name : s->tls->config.name;
	bool is_insecure = s->tls->config.flags & WEIR_TLS_INSECURE;

	return tls_set_peer(s->ssl, name, is_insecure ? NULL : on_verified);
}

static int open_ssl(struct stream *s)
{
	BIO *bio;

	(void)pthread_once(&bio_once, make_bio_method);
	bio = bio_method ? BIO_new(bio_method) : NULL;
	s->ssl = bio ? SSL_new(s->tls->first.ssl) : NULL;
	if (s->ssl == NULL) {
		BIO_free(bio);
		return -ENOMEM;
	}
	BIO_set_data(bio, s);
	SSL_set_bio(s->ssl, bio, bio);
	if (!s->tls->layer.speaks_first) {
		SSL_set_accept_state(s->ssl);
		SSL_set_verify(s->ssl, SSL_get_verify_mode(s->ssl),
			       on_verified);
		return 0;
	}
	SSL_set_connect_state(s->ssl);
	return set_peer(s) == 1 ? 0 : -ENOMEM;
}

static int tls_handshake(struct wr_layer *l)
{
	struct stream *s = stream_of(l);
	int rc = 1, n;

	if (s->ssl == NULL) {
		if (!s->tls->layer.speaks_first)
			rc = await_hello(s);
		if (rc > 0)
			rc = open_ssl(s);
		if (s->ssl == NULL || rc < 0)
			return rc;
	}
	rc = begin(s);
	if (rc < 0)
		return rc;
	n = SSL_do_handshake(s->ssl);
	if (n == 1) {
		s->is_up = true;
		s->layer.is_resumed = SSL_session_reused(s->ssl);
		s->others = 0;
		rc = 1;
	} else {
		rc = error_of(s, n);
		rc = rc == 0 ? -ECONNRESET : rc;
	}
	rc = finish_output(s, rc);
	tell_failure(s);
	return rc == -EAGAIN ? 0 : rc;
}

static int keep_last(struct stream *s, int rc)
{
	s->has_last = true;
	return s->last = rc;
}

static int take_plain(struct stream *s, void *buf, size_t cap, bool peek)
{
	int most = cap > INT32_MAX ? INT32_MAX : (int)cap, rc, n;

	if (s->has_last)
		return s->last;
	rc = begin(s);
	if (rc < 0)
		return rc;
	n = peek ? SSL_peek(s->ssl, buf, most) : SSL_read(s->ssl, buf, most);
	if (n > 0)
		s->others = 0;
	rc = finish(s, n > 0 ? n : error_of(s, n));
	tell_failure(s);
	return rc > 0 || rc == -EAGAIN ? rc : keep_last(s, rc);
}

static int tls_look(struct wr_layer *l)
{
	char byte;
	int n = take_plain(stream_of(l), &byte, 1, true);

	return n > 0	      ? WR_LOOK_INPUT
	       : n == -EAGAIN ? WR_LOOK_NOTHING
			      : WR_LOOK_END;
}

static ssize_t tls_receive(struct wr_layer *l, void *buf, size_t cap)
{
	return take_plain(stream_of(l), buf, cap, false);
}

static bool tls_has_rest(const struct wr_layer *l)
{
	const struct stream *s = stream_of(l);

	return wr_buffer_len(&l->in) > 0 || s->has_last ||
	       SSL_has_pending(s->ssl);
}

/* One record, or several if the peer takes only shorter ones. */
static int write_record(struct stream *s, const void *data, size_t len)
{
	int n = SSL_write(s->ssl, data, (int)len), rc;

	if (n == (int)len)
		return 0;
	rc = n > 0 ? -EPROTO : error_of(s, n);
	return rc < 0 && rc != -EAGAIN ? rc : -EPROTO;
}

/* Small pieces share a record. */
static int write_records(struct stream *s, const struct iovec *iov, int count)
{
	struct tls_lent *lent = s->lent;
	size_t fill = 0, total = 0;
	int rc = 0;

	for (int i = 0; i < count && total < SEND_BYTES; i++) {
		const char *from = iov[i].iov_base;
		size_t left = wr_min(iov[i].iov_len, SEND_BYTES - total);

		total += left;
		while (rc == 0 && left > 0) {
			size_t n = wr_min(left, TLS_RECORD - fill);

			if (n == TLS_RECORD) {
				rc = write_record(s, from, n);
			} else {
				memcpy(lent->record + fill, from, n);
				fill += n;
			}
			if (fill == TLS_RECORD) {
				rc = write_record(s, lent->record, fill);
				fill = 0;
			}
			from += n;
			left -= n;
		}
	}
	if (rc == 0 && fill > 0)
		rc = write_record(s, lent->record, fill);
	return rc < 0 ? rc : (int)total;
}

/*
 * OpenSSL writes nothing while it has a part of a message of the peer, such as
 * a ticket in two records.
 */
static int end_message(struct stream *s)
{
	int n, rc;

	s->layer.wants_input = false;
	if (!SSL_in_init(s->ssl))
		return 0;
	n = SSL_do_handshake(s->ssl);
	if (n == 1)
		return 0;
	rc = error_of(s, n);
	s->layer.wants_input = rc == -EAGAIN;
	return rc == 0 ? -ECONNRESET : rc;
}

static ssize_t tls_send(struct wr_layer *l, const struct iovec *iov, int count)
{
	struct stream *s = stream_of(l);
	int rc = begin(s);

	if (rc < 0)
		return rc;
	rc = end_message(s);
	return finish_output(s, rc < 0 ? rc : write_records(s, iov, count));
}

/* close_notify */
static int tls_bye(struct wr_layer *l)
{
	struct stream *s = stream_of(l);
	int rc;

	if (s->failed)
		return 0;
	rc = begin(s);
	if (rc < 0)
		return rc;
	rc = end_message(s);
	if (rc == 0)
		(void)SSL_shutdown(s->ssl);
	return finish_output(s, rc == -EAGAIN ? rc : 0);
}

static void tls_end(struct wr_layer *l)
{
	struct stream *s = stream_of(l);

	tell_failure(s);
	SSL_free(s->ssl);
	X509_free(s->refused);
	forget_errors();
	tls_unref(s->tls);
	wr_sys_free(s->name);
	wr_sys_free(s);
}

static const struct wr_layer_ops ops = {
	.handshake = tls_handshake,
	.look = tls_look,
	.receive = tls_receive,
	.has_rest = tls_has_rest,
	.send = tls_send,
	.bye = tls_bye,
	.end = tls_end,
};

static int copy_name(char **ret, const char *name)
{
	size_t size = name ? strlen(name) + 1 : 0;

	if (name == NULL)
		return 0;
	*ret = wr_sys_alloc(size);
	if (*ret)
		memcpy(*ret, name, size);
	return *ret ? 0 : -ENOMEM;
}

struct wr_layer *tls_make(struct weir_layer *from, const char *name)
{
	struct stream *s = wr_sys_alloc(sizeof(*s));

	if (s == NULL || copy_name(&s->name, name) < 0) {
		wr_sys_free(s);
		return NULL;
	}
	s->layer.ops = &ops;
	s->tls = wr_container_of(from, struct weir_tls, layer);
	tls_ref(s->tls);
	return &s->layer;
}

/* The peer may have chosen the bytes. */
static void copy_text(char *to, size_t cap, const void *text, size_t len)
{
	const char *from = text;

	len = wr_min(len, cap - 1);
	for (size_t i = 0; i < len; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[len] = '\0';
}

static void copy_string(char *to, size_t cap, const char *text)
{
	copy_text(to, cap, text, text ? strlen(text) : 0);
}

static const char *group_of(SSL *ssl)
{
	int id = (int)SSL_get_negotiated_group(ssl);

	return id ? SSL_group_to_name(ssl, id) : NULL;
}

/* OpenSSL's errors come first: they say more than the end that follows. */
static const char *why_of(const struct stream *s)
{
	if (s->failed)
		return s->failed;
	if (!s->is_up && (s->saw_eof || s->error == -ECONNRESET))
		return "the peer closed the connection in the handshake";
	return s->saw_eof && s->last == -ECONNRESET
		       ? "the peer ended without close_notify"
		       : NULL;
}

static void describe_peer(struct weir_tls_info *ret, const struct stream *s)
{
	X509 *shown = s->ssl ? SSL_get0_peer_certificate(s->ssl) : NULL;

	if (shown == NULL)
		shown = s->refused;
	if (shown)
		(void)tls_add_names(ret->names, sizeof(ret->names), shown);
	forget_errors();
}

/* NULL: it has shown none, or nothing was verified. */
static const X509 *verified(const struct stream *s)
{
	bool is_good = s->is_up &&
		       SSL_get_verify_mode(s->ssl) & SSL_VERIFY_PEER &&
		       SSL_get_verify_result(s->ssl) == X509_V_OK;

	return is_good ? SSL_get0_peer_certificate(s->ssl) : NULL;
}

ssize_t weir_conn_tls_name(const weir_conn *c, int kind, int index, char *buf,
			   size_t cap)
{
	const struct wr_layer *l = wr_layer_of(c);
	const X509 *x;
	ssize_t n;

	if (c == NULL || buf == NULL || cap == 0 || index < 0)
		return -EINVAL;
	if (l == NULL || l->ops != &ops)
		return -ENOTCONN;
	x = verified(stream_of(l));
	n = x ? tls_give_name(x, kind, index, buf, cap) : -ENOENT;
	ERR_clear_error();
	return n;
}

static void describe(struct weir_tls_info *ret, const struct stream *s)
{
	const unsigned char *alpn = NULL;
	unsigned int alpn_len = 0;

	copy_string(ret->version, sizeof(ret->version),
		    SSL_get_version(s->ssl));
	copy_string(ret->cipher, sizeof(ret->cipher),
		    SSL_get_cipher_name(s->ssl));
	copy_string(ret->group, sizeof(ret->group), group_of(s->ssl));
	SSL_get0_alpn_selected(s->ssl, &alpn, &alpn_len);
	copy_text(ret->alpn, sizeof(ret->alpn), alpn, alpn_len);
	copy_string(ret->sni, sizeof(ret->sni),
		    SSL_get_servername(s->ssl, TLSEXT_NAMETYPE_host_name));
	ret->resumed = SSL_session_reused(s->ssl);
	ret->verified = verified(s) != NULL;
}

int weir_conn_tls(const weir_conn *c, struct weir_tls_info *ret, size_t size)
{
	const struct wr_layer *l = wr_layer_of(c);
	struct weir_tls_info info = { .version = "" };
	const struct stream *s;

	if (c == NULL || ret == NULL)
		return -EINVAL;
	if (l == NULL || l->ops != &ops)
		return -ENOTCONN;
	s = stream_of(l);
	copy_string(info.why, sizeof(info.why), why_of(s));
	describe_peer(&info, s);
	if (s->is_up)
		describe(&info, s);
	memset(ret, 0, size);
	memcpy(ret, &info, wr_min(size, sizeof(info)));
	return 0;
}
