#!/bin/sh
# SPDX-License-Identifier: MIT
# Each call of weir.map and weir-tls.map has a manual page with its name and its
# parameters, or a link to one.  The pages are clean mdoc and refer to pages that
# exist.  Run from the build folder.

top=$(cd "$(dirname "$0")/../.." && pwd)
pages=docs/man3
[ -f $pages/stamp ] || pages=$top/docs/man3
[ -f $pages/stamp ] || { echo 'no pages were made'; exit 1; }
rc=0

# page NAME: the file that man(1) shows.
page()
{
	find $pages -name "$1.3" | head -n 1
}

for name in $(sed -n 's/^[[:space:]]*\(weir_[a-z0-9_]*\);$/\1/p' \
	"$top/lib/weir.map" "$top/tls/weir-tls.map"); do
	file=$(page "$name")
	[ -n "$file" ] || { echo "no page for $name()"; rc=1; continue; }
	link=$(sed -n 's|^\.so man3/\(.*\)\.3$|\1|p' "$file")
	[ -z "$link" ] || file=$(page "$link")
	for line in ".Nm $name" ".Fo $name"; do
		grep -q "^$line\( ,\)*\$" "$file" || {
			echo "$name(3): no line '$line'"; rc=1
		}
	done
done
for name in $(cat $pages/*.3 $pages/tls/*.3 "$top/docs/man/weir.7" |
	sed -n 's/^\.\(It \|Pf [^ ]* \)*Xr \(weir[a-z0-9_]*\) 3.*/\2/p' |
	sort -u); do
	[ -n "$(page "$name")" ] || { echo "no page $name(3)"; rc=1; }
done
if ! command -v mandoc >/dev/null; then
	echo 'mandoc is not installed'
	[ $rc != 0 ] || rc=77
	exit $rc
fi
grep -L '^\.so ' $pages/*.3 $pages/tls/*.3 |
	xargs mandoc -Tlint -Wwarning || rc=1
exit $rc
