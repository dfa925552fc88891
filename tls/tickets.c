/* SPDX-License-Identifier: MIT */
/*
 * Keys of resumption tickets.  One key encrypts for half of the lifetime of its
 * tickets, and then only decrypts for as long again.  Keys of a file stay, so
 * that several servers have the same.
 */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base.h"
#include "tls.h"

#define LIFETIME_S 7200
#define MOST_KEYS  3

_Static_assert(sizeof(struct tls_key) == 80, "a key of a file");

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static bool make_key_locked(struct tls_tickets *t)
{
	struct tls_key fresh;

	if (RAND_bytes((unsigned char *)&fresh, sizeof(fresh)) != 1)
		return false;
	t->keys[1] = t->keys[0];
	t->keys[0] = fresh;
	OPENSSL_cleanse(&fresh, sizeof(fresh));
	return true;
}

static bool rotate_locked(struct tls_tickets *t)
{
	int64_t age = now_ms() - t->made_at, lifetime = 1000 * t->lifetime_s;

	if (t->is_from_file || (t->count > 0 && age < lifetime / 2))
		return true;
	if (!make_key_locked(t))
		return false;
	t->count = t->count > 0 && age < lifetime ? 2 : 1;
	if (t->count == 1)
		OPENSSL_cleanse(&t->keys[1], sizeof(t->keys[1]));
	t->made_at = now_ms();
	return true;
}

static bool choose_key(struct tls_tickets *t, struct tls_key *ret)
{
	bool is_there;

	(void)pthread_mutex_lock(&t->lock);
	is_there = rotate_locked(t);
	*ret = t->keys[0];
	(void)pthread_mutex_unlock(&t->lock);
	return is_there;
}

/* 1: the first; 2: another, so the client should get a new ticket; 0: none. */
static int find_key(struct tls_tickets *t, const unsigned char *name,
		    struct tls_key *ret)
{
	int found = 0;

	(void)pthread_mutex_lock(&t->lock);
	(void)rotate_locked(t);
	for (size_t i = 0; found == 0 && i < t->count; i++) {
		if (memcmp(t->keys[i].name, name, sizeof(ret->name)) != 0)
			continue;
		*ret = t->keys[i];
		found = i == 0 ? 1 : 2;
	}
	(void)pthread_mutex_unlock(&t->lock);
	return found;
}

static bool set_mac(EVP_MAC_CTX *mac, struct tls_key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac,
						  sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest,
						 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
		     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypts)
{
	struct tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct tls_key key;
	int rc = 1;

	if (encrypts)
		rc = choose_key(t, &key) && RAND_bytes(iv, 16) == 1 ? 1 : -1;
	else
		rc = find_key(t, name, &key);
	if (rc <= 0)
		return rc;
	if (encrypts)
		memcpy(name, key.name, sizeof(key.name));
	if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv,
			      encrypts) != 1 ||
	    !set_mac(mac, &key))
		rc = -1;
	OPENSSL_cleanse(&key, sizeof(key));
	return rc;
}

static int load_keys(struct tls_tickets *t, const char *path,
		     const struct tls_why *why)
{
	FILE *file = fopen(path, "re");
	unsigned char all[sizeof(t->keys) + 1];
	size_t len;
	int error;

	if (file == NULL) {
		error = errno;
		return tls_refuse(why, -error, "%s: %s", path,
				  weir_strerror(error));
	}
	len = fread(all, 1, sizeof(all), file);
	(void)fclose(file);
	t->count = len / sizeof(t->keys[0]);
	t->is_from_file = true;
	if (len % sizeof(t->keys[0]) != 0 || t->count < 1 ||
	    t->count > MOST_KEYS)
		return tls_refuse(why, -EINVAL,
				  "%s: no ticket keys: 80, 160 or 240 bytes",
				  path);
	memcpy(t->keys, all, len);
	OPENSSL_cleanse(all, sizeof(all));
	return 0;
}

int tls_tickets_init(struct tls_tickets *t, const char *path, int lifetime_s,
		     const struct tls_why *why)
{
	t->lifetime_s = lifetime_s ? lifetime_s : LIFETIME_S;
	return path ? load_keys(t, path, why) : 0;
}

void tls_tickets_fini(struct tls_tickets *t)
{
	OPENSSL_cleanse(t->keys, sizeof(t->keys));
	(void)pthread_mutex_destroy(&t->lock);
}

int tls_tickets_use(SSL_CTX *ssl, struct tls_tickets *t)
{
	SSL_CTX_set_timeout(ssl, (long)t->lifetime_s);
	return SSL_CTX_set_app_data(ssl, t) == 1 &&
	       SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket) == 1;
}
