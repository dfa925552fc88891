#!/bin/sh
# SPDX-License-Identifier: MIT
# The installed library as a stranger's program meets it: pkg-config alone
# says how to compile and link the examples, shared and static, and a C++17
# file.  "make installcheck" runs it with the folders and the compiler in the
# environment.

top=$(cd "$(dirname "$0")/.." && pwd)
PKG_CONFIG_PATH=$DESTDIR$pkgconfigdir
PKG_CONFIG_SYSROOT_DIR=$DESTDIR
LD_LIBRARY_PATH=$DESTDIR$libdir
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR LD_LIBRARY_PATH
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
rc=0

complain()
{
	echo "installcheck: $*"
	rc=1
}

# converse PROGRAM: examples/echo.c answers at its fixed address, and ends
# well when asked to.
converse()
{
	"$PYTHON" - "$1" <<'TEXT'
import signal, socket, subprocess, sys, time

where = ("127.0.0.1", 1234)
try:
    socket.create_server(where).close()
except OSError as error:
    sys.exit(f"port 1234, which examples/echo.c listens on, is taken: {error}")
with subprocess.Popen([sys.argv[1]]) as server:
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                client = socket.create_connection(where, 20)
                break
            except ConnectionRefusedError:
                if server.poll() is not None or time.monotonic() > deadline:
                    sys.exit("echo does not listen")
                time.sleep(0.01)
        with client:
            client.sendall(b"hello\n")
            answer = client.makefile("rb").readline()
        server.send_signal(signal.SIGTERM)
        code = server.wait(20)
    finally:
        server.kill()
if answer != b"hello\n":
    sys.exit(f"echo answered {answer}")
if code != 0:
    sys.exit(f"echo ended with {code}")
TEXT
}

cflags=$(pkg-config --cflags weir) || exit 1
for kind in shared static; do
	# A build made with --disable-shared or --disable-static has no such.
	eval "wanted=\$$kind"
	[ "$wanted" = yes ] || continue
	if [ $kind = static ]; then
		libs=$(pkg-config --static --libs weir |
			sed 's/-lweir/-l:libweir.a/')
	else
		libs=$(pkg-config --libs weir)
	fi
	for source in "$top"/examples/*.c "$top"/examples/*/*.c; do
		name=$(basename "$source" .c)
		program=$work/$name-$kind
		$CC $cflags -Wall -Wextra -Werror "$source" -o "$program" \
			$libs || { complain "$kind $name: no compile"; continue; }
		linked=static
		! ldd "$program" | grep -q libweir || linked=shared
		[ $linked = $kind ] || complain "$kind $name: linked $linked"
		[ "$name" != calls ] || "$program" ||
			complain "$kind $name: does not work"
		[ "$name" != echo ] || converse "$program" ||
			complain "$kind $name: does not work"
		echo "$kind $name: done"
	done
done

cat >"$work/use.cc" <<'TEXT'
#include <weir.h>
#include <cstring>

int main()
{
	return std::strcmp(weir_version(), WEIR_VERSION);
}
TEXT
if command -v "${CXX%% *}" >/dev/null; then
	$CXX -std=c++17 -pedantic -Wall -Wextra -Werror $cflags \
		"$work/use.cc" -o "$work/use" $(pkg-config --libs weir) &&
		"$work/use" || complain "C++17: does not work"
	echo "C++17: done"
else
	echo "C++17: SKIPPED, no ${CXX:-C++ compiler}"
fi

for program in weir-server weir-client; do
	"$DESTDIR$bindir/$program" --version ||
		complain "$program: does not run as installed"
done
exit $rc
