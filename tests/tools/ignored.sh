#!/bin/sh
# SPDX-License-Identifier: MIT
# ignored.sh : git ignores what "make" and "make check" leave in the source tree
# if they run there.  Runs in a build folder.

srcdir=${srcdir:-.}
# A release has no .gitignore, and may lie in another repository.
[ -f "$srcdir/.gitignore" ] &&
	git -C "$srcdir" rev-parse >/dev/null 2>&1 || {
	echo 'SKIPPED: there is no repository'
	exit 77
}
made=$(printf '%s\n' 'include Makefile' 'made:' \
	'	@echo $(bin_PROGRAMS) $(check_PROGRAMS) $(long_programs) \
		$(long_helpers) $(EXTRA_PROGRAMS) $(lib_LTLIBRARIES) $(CLEANFILES)' |
	MAKEFLAGS= make -s -f - made) || exit 1
rc=0
for file in $made; do
	git -C "$srcdir" check-ignore -q --no-index "$file" || {
		echo "$file is made in the tree, and git does not ignore it"
		rc=1
	}
done
exit $rc
