#!/bin/sh
# SPDX-License-Identifier: MIT
# bootstrap says in a line why it cannot go on: in a path that autoconf does not
# take, and in a tree that cannot be written.  What it makes does not depend on the
# time that it takes.

top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 99
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
rc=0

# says FOLDER PATTERN: bootstrap fails there with this line and no other.
says()
{
	mkdir -p "$work/$1" && cp "$top/bootstrap" "$work/$1" || exit 99
	[ "$1" != fixed ] || chmod a-w "$work/$1"
	"$work/$1/bootstrap" >"$work/said" 2>&1 && status=0 || status=$?
	[ $status = 1 ] && [ "$(wc -l <"$work/said")" = 1 ] &&
		grep -q "^bootstrap: .*$2" "$work/said" || {
		echo "in '$1': exit status $status, not 1; or not '$2' but:"
		cat "$work/said"
		rc=1
	}
}

says 'my projects/weir' 'cannot build below .*without spaces'
says 'a#b' 'cannot build below'
if [ "$(id -u)" = 0 ]; then
	echo 'what cannot be written is left to others than root'
else
	says fixed 'cannot be written'
fi

# As if all files were made in one second: aclocal.m4 is as old as the traces of an
# earlier one.
cat >"$work/aclocal" <<'TEXT'
#!/bin/sh
aclocal "$@" || exit
old=autom4te.cache/traces.1
[ ! -f $old ] || touch -r $old aclocal.m4
TEXT
chmod +x "$work/aclocal"
for tool in aclocal automake autoreconf libtoolize; do
	command -v $tool >/dev/null || {
		echo "SKIPPED: $tool is not installed"
		[ $rc = 0 ] || exit $rc
		exit 77
	}
done
mkdir "$work/fast" && cd "$top" || exit 99
find bootstrap configure.ac Makefile.am bench cli client completions debian \
	deploy docs examples lib packaging server tests third_party tls \
	\( -name bootstrap -o -name configure.ac -o -name '*.am' \
	-o -name '*.in' \) -print | tar -cf - -T - | tar -C "$work/fast" -xf - ||
	exit 99
cd "$work/fast" && ACLOCAL=$work/aclocal ./bootstrap >"$work/said" 2>&1 || {
	cat "$work/said"
	rc=1
}
grep -q m4/libtool.m4 Makefile.in || {
	echo 'Makefile.in does not know m4/libtool.m4'
	rc=1
}
exit $rc
