#!/bin/sh
# SPDX-License-Identifier: MIT
# alpine.sh : the functions of packaging/APKBUILD, called as abuild calls them, in
# what "make dist" makes, with musl-gcc as Alpine's compiler.  Each package gets
# its files and no others.  After check() the other tests in C run with that
# build, too.  Check, which they are written with, is built from Debian's sources.
# Runs in a build folder.

top=$(cd "${srcdir:-.}" && pwd) || exit 99
work=$(mktemp -d) || exit 99
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

skip()
{
	echo "SKIPPED: $*"
	exit 77
}

fail()
{
	echo "FAIL: $*"
	exit 1
}

# log NAME COMMAND...: its output is shown only if it fails.
log()
{
	name=$1
	shift
	"$@" >"$work/log" 2>&1 || {
		grep -E 'error|undefined reference' "$work/log" ||
			tail -n 40 "$work/log"
		fail "$name"
	}
}

apt()
{
	apt-get -qq -o "Dir::Etc::SourceList=$work/apt/sources.list" \
		-o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$work/apt/lists" \
		-o APT::Sandbox::User=root "$@"
}

unpack_check()
{
	mkdir -p "$work/apt/lists" "$work/check" && cd "$work/check" || exit 99
	apt-get indextargets 'Created-By: Packages' 'Origin: Debian' \
		--format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' |
		sort -u >"$work/apt/sources.list"
	apt update && apt source --download-only check &&
		tar --strip-components=1 -xf check_*.orig.tar.*
}

build_check()
{
	./configure --disable-shared --disable-subunit \
		--disable-timeout-tests && make -C lib &&
		make -C src libcheck.la
}

# Debian's libgcc asks glibc for the unwind tables of an object.
build_find_object()
{
	cat >"$work/find_object.c" <<'TEXT'
#define _GNU_SOURCE
#include <link.h>
#include <stddef.h>

struct object {
	unsigned long long flags;
	void *start, *end, *map, *tables;
	unsigned long long rest[7];
	char *pc;
};

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct object *o = arg;
	void *tables = NULL;
	int has = 0;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		char *at = (char *)info->dlpi_addr + p->p_vaddr;

		if (p->p_type == PT_GNU_EH_FRAME)
			tables = at;
		if (p->p_type != PT_LOAD || o->pc < at || o->pc >= at + p->p_memsz)
			continue;
		has = 1;
		o->start = at;
		o->end = at + p->p_memsz;
	}
	o->tables = tables;
	return has;
}

int _dl_find_object(void *pc, void *result);
int _dl_find_object(void *pc, void *result)
{
	struct object o = { .pc = pc };

	if (!dl_iterate_phdr(look, &o) || !o.tables)
		return -1;
	__builtin_memcpy(result, &o, offsetof(struct object, rest));
	return 0;
}
TEXT
	musl-gcc -O2 -c -o "$work/find_object.o" "$work/find_object.c"
}

# What abuild has for recipes.
cat >"$work/abuild" <<'TEXT'
amove()
{
	for path; do
		case $path in
		*/*) mkdir -p "$subpkgdir/${path%/*}" ;;
		esac
		mv "$path" "$subpkgdir/$path"
	done
}

default_dev()
{
	amove usr/include usr/lib/pkgconfig usr/lib/cmake
	for path in usr/lib/*.so; do
		[ ! -L "$path" ] || amove "$path"
	done
}

dev() { default_dev; }
static() { amove usr/lib/*.a; }
doc() { amove usr/share/man usr/share/doc; }
bashcomp() { amove usr/share/bash-completion/completions; }
fishcomp() { amove usr/share/fish/vendor_completions.d; }
zshcomp() { amove usr/share/zsh/site-functions; }
TEXT

# recipe FUNCTION [FOLDER]: in a shell that ends when a command fails.
recipe()
{
	(cd "${2:-.}" && sh -ec '. "$1"; . "$2"; "$3"' sh "$work/abuild" \
		"$top/packaging/APKBUILD" "$1")
}

# split PACKAGE: the function that makes it.
split()
{
	case $1 in
	*-bash-completion) function=bashcomp ;;
	*-fish-completion) function=fishcomp ;;
	*-zsh-completion) function=zshcomp ;;
	*:*) function=${1#*:} ;;
	*) function=${1##*-} ;;
	esac
	export subpkgname="${1%%:*}" subpkgdir="$work/packages/${1%%:*}"
	log "$function(), for $subpkgname" recipe "$function" "$pkgdir"
}

# has PACKAGE PATTERN...: for each of them a file at least, and no other file.
has()
{
	found=$(cd "$work/packages/$1" && find . ! -type d | sed 's|^./||' | sort)
	package=$1 rest=$found
	shift
	for pattern; do
		echo "$found" | grep -qxE "$pattern" ||
			fail "$package: no $pattern in: $found"
		rest=$(echo "$rest" | grep -vxE "$pattern")
	done
	[ -z "$rest" ] || fail "$package: not to be there: $rest"
	has=" $package $has"
}

for tool in musl-gcc apt-get; do
	command -v $tool >/dev/null || skip "$tool is not installed"
done
. "$top/packaging/APKBUILD" || fail 'packaging/APKBUILD'
log 'make dist' make -s dist
mv "$source" "$work" && tar -C "$work" -xf "$work/$source" ||
	fail "source=$source"

# musl-gcc hides what belongs to glibc, and the headers of the kernel with it.
mkdir "$work/kernel" && for folder in linux asm-generic; do
	ln -s "/usr/include/$folder" "$work/kernel/$folder"
done
ln -s "/usr/include/$(gcc -print-multiarch 2>/dev/null)/asm" "$work/kernel/asm"
export CC=musl-gcc CPPFLAGS="-idirafter $work/kernel" MAKEFLAGS=-sj2
unpack_check >"$work/log" 2>&1 || skip 'no sources of Debian'
log 'Check' build_check
log 'find_object.c' build_find_object
export CHECK_CFLAGS="-I$work/check -I$work/check/src"
export CHECK_LIBS="$work/find_object.o $work/check/src/.libs/libcheck.a"
export LDFLAGS=-Wl,--eh-frame-hdr
# They are not there for musl-gcc.
echo 'SKIPPED: TLS, JSON, line editing, logs of HdrHistogram: not with musl-gcc'
export PKG_CONFIG_LIBDIR=$work/none

export pkgdir="$work/packages/$pkgname"
cd "$work/$pkgname-$pkgver" || fail "pkgver=$pkgver"
log 'build()' recipe build
log 'package()' recipe package
# It stands for the library that is not there.
touch "$pkgdir/usr/lib/libweir-tls.so.0"
for package in $subpackages; do
	split "$package"
done
has=
has weir 'usr/bin/weir-client' 'usr/bin/weir-server'
has libweir 'usr/lib/libweir\.so\.0' 'usr/lib/libweir\.so\.0\.[0-9.]*'
has libweir-tls 'usr/lib/libweir-tls\.so\.0'
has weir-dev 'usr/include/weir\.h' 'usr/include/weir\.hpp' \
	'usr/lib/libweir\.so' 'usr/lib/pkgconfig/weir\.pc' \
	'usr/lib/cmake/weir/[^/]*\.cmake' 'usr/share/weir/weir-gdb\.py'
has weir-static 'usr/lib/libweir\.a'
has weir-doc 'usr/share/man/man1/weir-client(-load)?\.1' \
	'usr/share/man/man8/weir-server\.8' 'usr/share/man/man7/weir\.7' \
	'usr/share/man/man3/weir[^/]*\.3' 'usr/share/doc/weir/[A-Z_]*\.md' \
	'usr/share/doc/weir/examples/scripts/.*\.(load|md)'
has weir-bash-completion 'usr/share/bash-completion/completions/weir-.*'
has weir-fish-completion 'usr/share/fish/vendor_completions.d/weir-.*'
has weir-zsh-completion 'usr/share/zsh/site-functions/_weir.*'
for package in $(ls "$work/packages"); do
	case $has in
	*" $package "*) ;;
	*) fail "what belongs into $package?" ;;
	esac
done
for program in weir-client weir-server; do
	said=$(LD_LIBRARY_PATH="$work/packages/libweir/usr/lib" \
		"$pkgdir/usr/bin/$program" --version | head -n 1)
	case $said in
	*"$pkgver"*) ;;
	*) fail "$program --version: $said" ;;
	esac
	readelf -lW "$pkgdir/usr/bin/$program" | grep -q 'interpreter: .*ld-musl' ||
		fail "$program is not linked with musl"
done
echo "the functions of packaging/APKBUILD but check(): passed"

# tests COMMAND...: shows what failed.
tests()
{
	"$@" >"$work/log" 2>&1 || rc=1
	cat test-count || fail "$*"
	[ $rc = 0 ] || "$top/tools/failed-tests" .
}

# Many tests wait rather than compute.
export MAKEFLAGS=-sj4
rc=0
tests recipe check
tests make check TESTS='$(fault_tests) $(short_tests) $(load_tests)' \
	check_PROGRAMS='$(c_tests)'
exit $rc
