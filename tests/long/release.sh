#!/bin/sh
# SPDX-License-Identifier: MIT
# release.sh : a rehearsal of a release.  The control of tools/abi: it tells that
# a member of a structure is not where the record has it.

top=$(cd "${srcdir:-.}" && pwd) || exit 99
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
"$top/tools/release" "$work" || exit

command -v abidiff >/dev/null || exit 0
mkdir "$work/lib" "$work/tls" "$work/tools" &&
	cp "$top"/lib/weir.h "$top"/lib/weir.abi* "$work/lib" &&
	cp "$top"/tls/weir-tls.h "$top"/tls/weir-tls.abi "$work/tls" &&
	cp "$top/tools/abi" "$work/tools" || exit 99
"$work/tools/abi" . || exit
sed -i "/class-decl name='weir_config'/,/<\/class-decl>/ \
	s/offset-in-bits='64'/offset-in-bits='96'/" "$work/lib/weir.abi"
cmp -s "$top/lib/weir.abi" "$work/lib/weir.abi" && exit 99
if "$work/tools/abi" . >"$work/moved.log"; then
	echo 'FAIL: tools/abi does not tell that a member has moved'
	exit 1
fi
echo 'a member that has moved is told: passed'
