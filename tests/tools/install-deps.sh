#!/bin/sh
# SPDX-License-Identifier: MIT
# tools/install-deps of a user without rights names what is missing, so that
# somebody else can install it; with everything there it asks for nothing.

top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
rc=0

# stub NAME LINE: a command of that name that does this.
stub()
{
	printf '#!/bin/sh\n%s\n' "$2" >"$work/$1"
	chmod +x "$work/$1"
}

# says STATUS [PATTERN]: it ends so and says this, or nothing.
says()
{
	PATH=$work:$PATH "$top/tools/install-deps" >"$work/said" 2>&1
	status=$?
	if [ -n "${2-}" ]; then
		grep -q -- "$2" "$work/said"
	else
		[ ! -s "$work/said" ]
	fi && [ $status = "$1" ] || {
		echo "exit status $status, not $1; or not '${2-}' but:"
		cat "$work/said"
		rc=1
	}
}

stub id 'echo 1001'
stub apt-get 'echo "apt-get $*"; exit 100'
stub apt-cache 'exit 0'
stub dpkg-query 'exit 1'
stub sudo 'echo "not in the sudoers file" >&2; exit 1'
says 1 'please install: gcc .*make'
stub sudo 'exec "$@"'
says 1 'please install: gcc .*make'
# What this release does not have is nobody's to install.
stub apt-cache '[ $2 = gcc ]'
stub dpkg-query '[ $4 != gcc ] || exit 1; echo "install ok installed"'
says 1 'please install: gcc'
stub dpkg-query '[ $4 != libedit-dev ] || exit 1; echo "install ok installed"'
says 0 'no package libedit-dev here'
stub dpkg-query 'echo "install ok installed"'
stub sudo 'exit 1'
says 0
exit $rc
