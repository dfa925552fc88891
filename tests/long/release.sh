#!/bin/sh
# SPDX-License-Identifier: MIT
# release.sh : a rehearsal of a release.

top=$(cd "${srcdir:-.}" && pwd) || exit 99
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
"$top/tools/release" "$work"
