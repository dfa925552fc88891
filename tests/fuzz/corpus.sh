#!/bin/sh
# SPDX-License-Identifier: MIT
# corpus.sh TARGET [FILE...] : add these inputs to tests/fuzz/corpus/TARGET.tar
# and pack it again.  An input is named by the hash of its bytes.  The same
# inputs make the same archive.  To remove one, call "tar --delete -f" first.

[ $# -gt 0 ] || { echo "usage: $0 TARGET [FILE...]" >&2; exit 2; }
archive=$(cd "$(dirname "$0")" && pwd)/corpus/$1.tar
shift
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
if [ -f "$archive" ]; then
	tar -xf "$archive" -C "$work" || exit 1
fi
for file in "$@"; do
	name=$(sha1sum <"$file" | cut -d ' ' -f 1)
	cp "$file" "$work/$name" || exit 1
done
(cd "$work" && tar -cf "$archive" --format=ustar --sort=name --owner=0 \
	--group=0 --numeric-owner --mode=0644 --mtime=@0 -- *)
