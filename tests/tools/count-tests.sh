#!/bin/sh
# SPDX-License-Identifier: MIT
# tools/count-tests counts each test once, also one with sub-tests, and names
# what was skipped.

top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 99
rc=0

# counts RESULT EXPECTED: of log.log, of a program with this result.
counts()
{
	echo ":test-result: $1" >log.trs
	"$top/tools/count-tests" log.log >said
	[ "$(tail -n 1 said)" = "$2" ] && return
	echo "counted '$(tail -n 1 said)', not '$2', in:"
	cat log.log
	rc=1
}

# names NAME WHY: said to be skipped.
names()
{
	grep -q "^SKIPPED: log: $1 '$2'" said || { cat said; rc=1; }
}

cat >cases.py <<'TEXT'
import unittest

class Cases(unittest.TestCase):
    def test_good(self):
        """With a text."""

    def test_parts_skipped(self):
        """With a text."""
        for i in range(3):
            with self.subTest(i=i):
                if i:
                    self.skipTest("no part %d" % i)

    @unittest.skip("whole")
    def test_skipped(self):
        pass

    def test_skipped_with_a_text(self):
        """With a text."""
        self.skipTest("text")

class Skipped(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise unittest.SkipTest("class")

    def test_of_it(self):
        pass

unittest.main(verbosity=2)
TEXT
sed '/^class Skipped/,/pass/d' cases.py | sed '/^unittest/d' >bad_cases.py
cat >>bad_cases.py <<'TEXT'
    def test_parts_bad(self):
        for i in range(5):
            with self.subTest(i=i):
                self.assertEqual(i, 0)

    def test_bad(self):
        """With a text."""
        raise OSError

class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise OSError

    def test_of_it(self):
        pass

unittest.main(verbosity=2)
TEXT
${PYTHON:-python3} cases.py >log.log 2>&1 || { cat log.log; rc=1; }
counts PASS '2 passed, 0 failed, 3 skipped'
names test_skipped whole
names test_skipped_with_a_text text
names test_parts_skipped 'no part 1'
${PYTHON:-python3} bad_cases.py >log.log 2>&1
counts FAIL '2 passed, 3 failed, 2 skipped'

printf 'SKIPPED: no IPv6\n50%%: Checks: 4, Failures: 1, Errors: 1\n' >log.log
counts FAIL '1 passed, 2 failed, 1 skipped'
echo 'SKIPPED: no gdb' >log.log
counts SKIP '0 passed, 0 failed, 1 skipped'
echo 'nothing' >log.log
counts PASS '1 passed, 0 failed'
counts FAIL '0 passed, 1 failed'
exit $rc
