#!/bin/sh
# SPDX-License-Identifier: MIT
# weir.h alone is a whole program text in C11, C17, C++17 and C++20, its macros
# included (in C++ from C++20 on), without a warning, also of names that hide
# others; each header of the library compiles alone;
# each public function says which threads may call it and since when.  Skipped,
# after the C part, where there is no C++ compiler.

cd "$(dirname "$0")/../.." || exit 99
CC=${CC:-cc} CXX=${CXX:-c++}
warn='-Wall -Wextra -Wshadow -pedantic -Werror'
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
rc=0

cat >"$work/use.c" <<'TEXT'
#include <weir.h>
#include <weir.h>

extern weir_handler_fn serve;
int start(weir_server **s);

int start(weir_server **s)
{
	int rc = weir_server_new(s, WEIR_CONFIG(.workers = 2));

	if (rc == 0)
		rc = weir_server_new(s, WEIR_CONFIG());
	if (rc == 0)
		rc = weir_server_listen(*s, ":0", WEIR_SERVICE(.session = serve));
	return rc;
}
TEXT
for std in c11 gnu11 c17; do
	$CC -std=$std $warn -Ilib -fsyntax-only "$work/use.c" || {
		echo "weir.h as $std failed"; rc=1
	}
done

cat >"$work/use_tls.c" <<'TEXT'
#include <weir-tls.h>
#include <weir-tls.h>

int start(weir_tls **tls);

int start(weir_tls **tls)
{
	return weir_tls_new(tls, WEIR_TLS(.certificate = "a", .alpn = "b"), 0,
			    0);
}
TEXT
for std in c11 gnu11 c17; do
	$CC -std=$std $warn -Ilib -Itls -fsyntax-only "$work/use_tls.c" || {
		echo "weir-tls.h as $std failed"; rc=1
	}
done

# A declaration right behind another shares its comment.
awk '/^\/\*/ { comment = "" } { comment = comment $0 }
	/^WEIR_API/ && comment !~ /Thread: .*Since: [0-9]/ {
		print FILENAME ":" FNR ": no \"Thread:\" or \"Since:\": " $0
		bad = 1
	}
	/^$/ { comment = "" }
	END { exit bad }' lib/weir.h tls/weir-tls.h || rc=1

for h in lib/*.h; do
	echo "#include \"${h#lib/}\"" >"$work/alone.c"
	$CC -std=gnu11 -D_GNU_SOURCE $warn -Wno-pedantic -Ilib -fsyntax-only \
		"$work/alone.c" || { echo "$h does not stand alone"; rc=1; }
done

if ! command -v "${CXX%% *}" >/dev/null 2>&1; then
	[ $rc = 0 ] || exit $rc
	echo "SKIPPED: ${CXX%% *} is not installed: weir.h is not tried as C++"
	exit 77
fi
cat >"$work/use.cc" <<'TEXT'
#include <weir.h>

int start(weir_server **s);

int start(weir_server **s)
{
	weir_config config;
	char why[80];

	weir_config_init(&config, sizeof config);
	config.workers = 2;
	if (weir_config_check(&config, why, sizeof why) < 0)
		return -1;
	return weir_server_new(s, &config);
}
TEXT
cat >"$work/macros.cc" <<'TEXT'
#include <weir.h>

extern "C" weir_handler_fn serve;
int start(weir_server **s);

int start(weir_server **s)
{
	int rc = weir_server_new(s, WEIR_CONFIG(.workers = 2, .queue_length = 9));

	if (rc == 0)
		rc = weir_server_new(s, WEIR_CONFIG());
	if (rc == 0)
		rc = weir_server_listen(*s, ":0", WEIR_SERVICE(.session = serve));
	return rc;
}
TEXT
cat >"$work/tls.cc" <<'TEXT'
#include <weir-tls.h>

int start(weir_tls **tls, weir_service *service);

int start(weir_tls **tls, weir_service *service)
{
	weir_tls_config config;

	weir_tls_config_init(&config, sizeof config);
	config.certificate = "server.pem";
	return weir_tls_new(tls, &config, nullptr, 0) < 0
		       ? -1
		       : weir_tls_use(service, *tls);
}
TEXT
for std in c++17 c++20; do
	$CXX -std=$std $warn -Ilib -fsyntax-only "$work/use.cc" || {
		echo "weir.h as $std failed"; rc=1
	}
	$CXX -std=$std $warn -Ilib -Itls -fsyntax-only "$work/tls.cc" || {
		echo "weir-tls.h as $std failed"; rc=1
	}
done
if echo | $CXX -std=c++20 -fsyntax-only -x c++ - 2>/dev/null; then
	$CXX -std=c++20 $warn -Ilib -fsyntax-only "$work/macros.cc" || {
		echo "the macros of weir.h as C++20 failed"; rc=1
	}
	$CXX -std=c++20 $warn -Ilib -Itls -fsyntax-only -x c++ \
		"$work/use_tls.c" || {
		echo "the macro of weir-tls.h as C++20 failed"; rc=1
	}
fi
exit $rc
