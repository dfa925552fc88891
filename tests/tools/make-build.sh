#!/bin/sh
# SPDX-License-Identifier: MIT
# tools/make-build configures a folder again when, and only when, configure
# could answer differently: after a package came, with other arguments, after
# a failure.  Objects that were made with other flags are not kept.  In a tree
# whose bootstrap and configure write down that they ran.  The tools that call it
# refuse wrong arguments.

top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/a tree/tools" "$work/packages"
cp "$top/tools/make-build" "$work/a tree/tools" && cd "$work/a tree" || exit 99
PKG_CONFIG_PATH=$work/packages
export PKG_CONFIG_PATH
rc=0

cat >bootstrap <<'TEXT'
#!/bin/sh
echo bootstrap >>ran
cp configure.in configure
[ ! -f interrupted ] || exit 1
touch Makefile.in
TEXT
cat >configure.in <<'TEXT'
#!/bin/sh
echo configure >>"${0%/*}/ran"
all=$(echo $(ls "$PKG_CONFIG_PATH"))
flags="$2 ${all#check.pc}"
printf 'CHECK_CFLAGS = %s\ntests_a_CFLAGS = %s\n' "$all" "$all" >Makefile
printf 'CFLAGS = %s\nall:\n\t@echo built\ncheck:\n' "$flags" >>Makefile
printf 'clean:\n\t@echo clean >>"%s"\n' "${0%/*}/ran" >>Makefile
[ ! -f "${0%/*}/broken" ]
TEXT
chmod +x bootstrap configure.in
: >ran

# ran WHAT EXPECTED ARGUMENT...: make-build with these arguments has run this.
ran()
{
	what=$1 expected=$2
	shift 2
	tools/make-build "$@" >said 2>&1
	got=$(tr '\n' ' ' <ran)
	: >ran
	[ "$got" = "${expected:+$expected }" ] || {
		echo "$what: ran '$got', not '$expected'"
		cat said
		rc=1
	}
}

touch interrupted
ran 'a bootstrap that is interrupted' bootstrap build
rm interrupted
ran 'the next one' 'bootstrap configure' build
ran 'nothing has changed' '' build
ran 'for the tests' '' --tests build
touch "$work/packages/check.pc"
ran 'Check has come' 'configure' --tests build
touch "$work/packages/zlib.pc"
ran 'zlib has come' 'configure clean' --tests build
ran 'and is known' '' --tests build
ran 'other arguments' 'configure clean' build --with-something
touch broken
ran 'configure fails' 'configure' build --with-more
rm broken
ran 'the arguments before that' 'configure' build --with-something
ran 'a folder elsewhere' 'configure' "$work/elsewhere"
[ -f "$work/elsewhere/Makefile" ] || { echo 'elsewhere: nothing there'; rc=1; }
touch config.status
ran 'a tree that is configured itself' '' build
grep -q 'make distclean' said || { echo 'it does not say how to go on'; rc=1; }

# What is no folder, or no number, is not built in.
for tool in check demo repeat; do
	"$top/tools/$tool" --nonsense >said 2>&1
	[ $? = 2 ] && grep -q "^usage: tools/$tool " said && continue
	echo "tools/$tool takes --nonsense"
	rc=1
done
exit $rc
