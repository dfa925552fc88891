#!/bin/sh
# SPDX-License-Identifier: MIT
# One concept per file: a file has at most 450 lines (weir.h, which is a manual
# too, may have more) and, outside the tests, a function at most 60, from its
# opening brace to its closing one.

cd "$(dirname "$0")/../.." || exit 99
long=$(awk -v file_max=450 -v function_max=60 '
FNR == 1 {
	body = 0
}
FNR == file_max + 1 && FILENAME != "lib/weir.h" {
	print FILENAME ": more than " file_max " lines"
}
/^{/ {
	body = FNR
}
/^}/ {
	if (body && FNR - body + 1 > function_max && FILENAME !~ /^tests/)
		print FILENAME ":" body ": a function of " \
			FNR - body + 1 " lines"
	body = 0
}' lib/*.[ch] cli/*.[ch] server/*.[ch] client/*.[ch] \
	client/load/*.[ch] examples/*.c examples/*/*.[ch] \
	bench/*.[ch] bench/rivals/*.[ch] tests/*/*.[ch])
[ -z "$long" ] || { echo "$long"; exit 1; }
