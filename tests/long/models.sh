#!/bin/sh
# SPDX-License-Identifier: MIT
# The models with more workers and more work than make check has time for: all
# states of each.

exec sh "${srcdir:-$(dirname "$0")/../..}/tests/tools/model.sh" all
