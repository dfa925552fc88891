#!/bin/sh
# SPDX-License-Identifier: MIT
# The manual pages are clean mdoc.

cd "$(dirname "$0")/../.." || exit 99
command -v mandoc >/dev/null || { echo "no mandoc here"; exit 77; }
mandoc -Tlint -Wwarning docs/man/*.[1-8]
