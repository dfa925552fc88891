#!/bin/sh
# SPDX-License-Identifier: MIT
# The installed library as a stranger's program meets it: pkg-config alone
# says how to compile and link the examples, shared and static, and a server
# in C++17 and C++20.  "make installcheck" runs it with the folders and the
# compiler in the environment.

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

# package_of SOURCE: what a program needs.
package_of()
{
	if grep -q '<weir-tls.h>' "$1"; then
		echo weir-tls
	else
		echo weir
	fi
}

# libraries shared|static PACKAGE: the arguments of the linker.
libraries()
{
	if [ $1 = static ]; then
		pkg-config --static --libs "$2" |
			sed -E 's/-l(weir(-tls)?)( |$)/-l:lib\1.a\3/g'
	else
		pkg-config --libs "$2"
	fi
}

cflags=$(pkg-config --cflags weir) || exit 1
for kind in shared static; do
	# A build made with --disable-shared or --disable-static has no such.
	eval "wanted=\$$kind"
	[ "$wanted" = yes ] || continue
	for source in "$top"/examples/*.c "$top"/examples/*/*.c; do
		name=$(basename "$source" .c)
		program=$work/$name-$kind
		package=$(package_of "$source")
		if [ ! -f "$DESTDIR$includedir/$package.h" ]; then
			echo "$kind $name: SKIPPED, $package is not installed"
			continue
		fi
		$CC $cflags -Wall -Wextra -Werror "$source" -o "$program" \
			$(libraries $kind "$package") ||
			{ complain "$kind $name: no compile"; continue; }
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

# How a program in C++ makes a server: with the functions from C++17 on, and
# with the macros from C++20 on.
cat >"$work/c++17.cc" <<'TEXT'
#include <weir.h>

static int start(weir_server **ret, weir_handler_fn *handler)
{
	weir_config config;
	weir_service service;

	weir_config_init(&config, sizeof config);
	weir_service_init(&service, sizeof service);
	config.workers = 2;
	service.readable = handler;
	if (weir_config_check(&config, nullptr, 0) < 0 ||
	    weir_server_new(ret, &config) < 0)
		return -1;
	return weir_server_listen(*ret, "127.0.0.1:0", &service);
}
TEXT
cat >"$work/c++20.cc" <<'TEXT'
#include <weir.h>

static int start(weir_server **ret, weir_handler_fn *handler)
{
	if (weir_server_new(ret, WEIR_CONFIG(.workers = 2)) < 0)
		return -1;
	return weir_server_listen(*ret, "127.0.0.1:0",
				  WEIR_SERVICE(.readable = handler));
}
TEXT
for std in c++17 c++20; do
	cat >>"$work/$std.cc" <<'TEXT'

extern "C" int upper(weir_conn *c, void *)
{
	char line[64];
	ssize_t n;

	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0) {
		line[0] = static_cast<char>(line[0] - 'a' + 'A');
		if (weir_conn_write(c, line, static_cast<size_t>(n)) < 0)
			return -EPIPE;
	}
	return static_cast<int>(n);
}

int main()
{
	char where[64], line[64];
	weir_server *server;
	weir_conn *c;

	if (start(&server, upper) < 0 || weir_server_start(server) < 0 ||
	    weir_server_address(server, 0, where, sizeof where) < 0 ||
	    weir_dial(&c, where, 0) < 0)
		return 1;
	if (weir_conn_printf(c, "hello\n") < 0 ||
	    weir_conn_read_line(c, line, sizeof line) != 6 ||
	    std::strcmp(line, "Hello\n") != 0)
		return 2;
	weir_conn_free(c);
	weir_server_drain(server);
	if (weir_server_join(server, nullptr, 0) != 0)
		return 3;
	weir_server_free(server);
}
TEXT
	sed -i '1i #include <cerrno>\n#include <cstring>' "$work/$std.cc"
	if ! command -v "${CXX%% *}" >/dev/null; then
		echo "$std: SKIPPED, no ${CXX:-C++ compiler}"
	elif ! echo | $CXX -std=$std -fsyntax-only -x c++ - 2>/dev/null; then
		echo "$std: SKIPPED, $CXX does not know it"
	else
		$CXX -std=$std -pedantic -Wall -Wextra -Werror $cflags \
			"$work/$std.cc" -o "$work/$std" \
			$(pkg-config --libs weir) && "$work/$std" ||
			complain "$std: does not work"
		echo "$std: done"
	fi
done

# TLS in C++: a context without files, and one whose file is not there.
cat >"$work/tls.cc" <<'TEXT'
#include <weir-tls.h>

#include <cstring>

int main()
{
	weir_tls_config config;
	char why[200] = "";
	weir_tls *tls;

	weir_tls_config_init(&config, sizeof config);
	config.name = "a.example";
	if (weir_tls_new_client(&tls, &config, why, sizeof why) < 0)
		return 1;
	weir_tls_unref(tls);
	config.name = nullptr;
	config.certificate = "/nowhere/a.pem";
	if (weir_tls_new(&tls, &config, why, sizeof why) >= 0)
		return 2;
	return std::strstr(why, "/nowhere/a.pem: ") ? 0 : 3;
}
TEXT
if ! command -v "${CXX%% *}" >/dev/null; then
	echo "weir-tls.h: SKIPPED, no ${CXX:-C++ compiler}"
elif [ ! -f "$DESTDIR$includedir/weir-tls.h" ]; then
	echo "weir-tls.h: SKIPPED, weir-tls is not installed"
else
	$CXX -std=c++17 -pedantic -Wall -Wextra -Werror \
		$(pkg-config --cflags weir-tls) "$work/tls.cc" -o "$work/tls" \
		$(pkg-config --libs weir-tls) && "$work/tls" ||
		complain "weir-tls.h: does not work in C++"
	echo "weir-tls.h: done"
fi

if command -v "${CXX%% *}" >/dev/null; then
	$CXX -std=c++17 -pedantic -Wall -Wextra -Werror $cflags \
		"$top/tests/tools/hpp.cc" -o "$work/hpp" -pthread \
		$(pkg-config --libs weir) && "$work/hpp" ||
		complain "weir.hpp: does not work"
	# What docs/CPP.md says, without the program that it starts.
	ln -s "$top/examples" "$work/examples"
	sed -n "s|^c++ |$CXX |p" "$top/docs/CPP.md" >"$work/commands"
	[ -s "$work/commands" ] || complain "docs/CPP.md: no command"
	(cd "$work" && sh -e commands && [ -x words ]) ||
		complain "docs/CPP.md: its command does not work"
	echo "weir.hpp: done"
else
	echo "weir.hpp: SKIPPED, ${CXX%% *} is not installed"
fi

# A project of another build system finds the library by itself.
mkdir "$work/project"
cp "$top/examples/echo.c" "$work/project"
with_tls=
[ ! -f "$DESTDIR$includedir/weir-tls.h" ] || {
	cp "$top/examples/tls_echo.c" "$work/project"
	with_tls=yes
}
cat >"$work/project/CMakeLists.txt" <<TEXT
cmake_minimum_required(VERSION 3.13)
project(echo C)
find_package(weir 0.1 REQUIRED COMPONENTS ${with_tls:+tls})
add_executable(echo echo.c)
target_link_libraries(echo weir::weir)
${with_tls:+add_executable(tls_echo tls_echo.c)
target_link_libraries(tls_echo weir::tls)}
TEXT
cat >"$work/project/meson.build" <<TEXT
project('echo', 'c')
executable('echo', 'echo.c', dependencies: dependency('weir', version: '>=0.1'))
${with_tls:+executable('tls_echo', 'tls_echo.c',
	dependencies: dependency('weir-tls'))}
TEXT

# builds TOOL COMMAND : the project in a folder named after the tool.
builds()
{
	if ! command -v $1 >/dev/null; then
		echo "SKIPPED: $1 is not installed"
		return
	fi
	(cd "$work/project" && eval "$2") >"$work/log" 2>&1 &&
		converse "$work/project/$1/echo" ||
		{ cat "$work/log"; complain "$1: does not work"; }
	echo "$1: done"
}
builds cmake 'cmake -S . -B cmake -Dweir_DIR="$DESTDIR$libdir/cmake/weir" &&
	cmake --build cmake'
builds meson 'meson setup meson && meson compile -C meson'

# What find_package() says without OpenSSL, which only weir::tls needs, and of
# another installation in a folder that knew this one.
mkdir "$work/finds"
cat >"$work/finds/CMakeLists.txt" <<'TEXT'
cmake_minimum_required(VERSION 3.13)
project(finds C)
find_package(weir 0.1 REQUIRED OPTIONAL_COMPONENTS tls)
get_target_property(library weir::weir IMPORTED_LOCATION)
get_target_property(header weir::weir INTERFACE_INCLUDE_DIRECTORIES)
message(STATUS "found ${library} ${header} tls=${weir_tls_FOUND}")
TEXT
other=$work/other
mkdir -p "$other/lib/cmake" "$other/include"
cp -R "$DESTDIR$libdir/cmake/weir" "$other/lib/cmake"
cp "$DESTDIR$libdir"/libweir.* "$other/lib"
cp "$DESTDIR$includedir"/weir*.h "$other/include"

# finds LIBDIR ARGUMENT... : what is found there, in the one folder.
finds()
{
	cmake -S "$work/finds" -B "$work/found" -Dweir_DIR="$1/cmake/weir" \
		"$2" >"$work/log" 2>&1 || { cat "$work/log" >&2; return; }
	sed -n 's/^-- found //p' "$work/log"
}
without=-DCMAKE_DISABLE_FIND_PACKAGE_OpenSSL
if command -v cmake >/dev/null; then
	first=$(finds "$DESTDIR$libdir" $without=ON)
	case $first in
	*"/libweir."*" tls=") ;;
	*) complain "cmake without OpenSSL: found '$first'" ;;
	esac
	second=$(finds "$other/lib" $without=ON)
	case $second in
	"$other/lib/libweir."*" $other/include tls=") ;;
	*) complain "cmake, another installation: found '$second'" ;;
	esac
	third=$(finds "$DESTDIR$libdir" $without=OFF)
	[ "$third" = "$first${with_tls:+TRUE}" ] ||
		complain "cmake, the first again: found '$third'"
fi

for program in weir-server weir-client; do
	"$DESTDIR$bindir/$program" --version ||
		complain "$program: does not run as installed"
done
exit $rc
