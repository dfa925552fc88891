# SPDX-License-Identifier: MIT
"""Our histogram logs as others read them: a decoder written here from the
description of the format, and HdrHistogram's own tool (Debian's package
libhdrhistogram-java) where it is installed.  Both find the counts that were
recorded, and the percentiles that we find.
"""

import base64
import math
import os
import random
import re
import shutil
import struct
import subprocess
import tempfile
import unittest
import zlib
from collections import Counter

from weirtest import TestCase, main, run

STARTED_MS = 1752300000123
SECONDS = 5
JARS = ("/usr/share/java/HdrHistogram.jar", "/usr/share/java/hdrhistogram.jar")
JAR = next(filter(os.path.exists, JARS), None)

# Distributions that differ in size, width and shape; ns.
KINDS = {
    "from-plan": lambda r: int(r.expovariate(1 / 200e3)),
    "from-send": lambda r: int(r.lognormvariate(11, 2)),
    "client-lag": lambda r: r.randrange(3000),
    "connect": lambda r: int(math.exp(r.uniform(0, math.log(3.6e12)))),
}


def numbers(data):
    """The signed numbers of a V2 block of counts."""
    value = shift = 0
    for byte in data:
        last = byte < 0x80 or shift == 56
        value |= (byte if last else byte & 0x7f) << shift
        shift += 7
        if last:
            yield (value >> 1) ^ -(value & 1)
            value = shift = 0
    assert shift == 0, "the last number has no end"


def decode(text):
    """Slot -> count of a histogram with one unit and three digits."""
    packed = base64.b64decode(text, validate=True)
    cookie, length = struct.unpack(">II", packed[:8])
    assert (cookie, length) == (0x1c849314, len(packed) - 8)
    block = zlib.decompress(packed[8:])
    header = struct.unpack(">IIIIQQd", block[:40])
    assert header == (0x1c849313, len(block) - 40, 0, 3, 1,
                      3600 * 10 ** 9, 1.0)
    counts, slot = {}, 0
    for number in numbers(block[40:]):
        if number < 0:
            slot -= number
        else:
            counts[slot] = number
            slot += 1
    return counts


def slot_of(value):
    shift = max(value.bit_length() - 11, 0)
    return shift * 1024 + (value >> shift)


def highest_in(slot):
    shift = max(slot // 1024 - 1, 0)
    return ((slot - shift * 1024 + 1) << shift) - 1


def percentile(counts, percent):
    rank = max(1, math.ceil(percent / 100 * sum(counts.values()) - 1e-6))
    for slot in sorted(counts):
        rank -= counts[slot]
        if rank <= 0:
            return highest_in(slot)
    raise AssertionError("more than all")


def java(*args):
    """HdrHistogram's log processor; values in ns."""
    return subprocess.run(
        ["java", "-cp", JAR, "org.HdrHistogram.HistogramLogProcessor",
         "-outputValueUnitRatio", "1.0", *args],
        check=True, stdout=subprocess.PIPE, timeout=120).stdout.decode()


class HlogReader(TestCase):

    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.place.cleanup)
        cls.log = os.path.join(cls.place.name, "log")
        source = random.Random(7)
        cls.samples = {}
        for tag, draw in KINDS.items():
            for second in range(SECONDS):
                cls.samples[tag, second] = [
                    draw(source) for _ in range(source.randrange(1, 4000))]
        cls.samples["connect", 3] = [0]
        done = run("WEIR_HLOG_TOOL", "write", cls.log, str(STARTED_MS),
                   input="".join(
                       "%s %d %d\n" % (tag, second, value)
                       for (tag, second), values in sorted(
                           cls.samples.items(), key=lambda item: item[0][1])
                       for value in values).encode())
        if done.returncode == 77:
            raise unittest.SkipTest("a build without zlib")
        assert done.returncode == 0

    def ours(self, tag, percents):
        done = run("WEIR_HLOG_TOOL", "percentiles", self.log, tag,
                   input="".join("%.15g\n" % p for p in percents).encode())
        self.assertEqual(done.returncode, 0)
        return [int(line) for line in done.stdout.split()]

    def of_kind(self, tag):
        return [value for (kind, _), values in self.samples.items()
                if kind == tag for value in values]

    def test_what_was_recorded_is_in_the_log(self):
        with open(self.log) as file:
            lines = file.read().splitlines()
        self.assertEqual(lines[1:5], [
            "#[Histogram log format version 1.3]",
            "#[BaseTime: 1752300000.123 (seconds since epoch)]",
            "#[StartTime: 1752300000.123 (seconds since epoch), "
            "2025-07-12T06:00:00Z]",
            '"StartTimestamp","Interval_Length","Interval_Max",'
            '"Interval_Compressed_Histogram"'])
        found = {}
        for line in lines[5:]:
            tag, start, length, greatest, text = line.split(",")
            counts = decode(text)
            self.assertEqual(length, "1.000")
            self.assertEqual(greatest,
                             "%.3f" % (highest_in(max(counts)) / 1e6))
            found[tag[len("Tag="):], float(start)] = {
                slot: n for slot, n in counts.items() if n > 0}
        self.assertEqual(found, {
            key: Counter(map(slot_of, values))
            for key, values in self.samples.items()})

    def test_percentiles_are_the_same(self):
        percents = [0.1, 1, 5, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100]
        for tag in KINDS:
            counts = Counter(map(slot_of, self.of_kind(tag)))
            self.assertEqual(self.ours(tag, percents),
                             [percentile(counts, p) for p in percents])

    @unittest.skipUnless(JAR and shutil.which("java"),
                         "no HdrHistogram for Java here")
    def test_the_tool_of_hdrhistogram_reads_it(self):
        self.assertEqual(sorted(java("-i", self.log, "-listtags").split()[-4:]),
                         sorted(KINDS))
        for tag in KINDS:
            text = java("-i", self.log, "-tag", tag)
            rows = re.findall(r"^ *(\d+)\.0+ (\d\.\d{12}) +(\d+) ", text, re.M)
            rows += re.findall(r"^ *(\d+)\.0+ (1\.0{12}) +(\d+)$", text, re.M)
            self.assertGreater(len(rows), 40)
            values = [int(value) for value, _, _ in rows]
            percents = [100 * float(percent) for _, percent, _ in rows]
            # The percentages are rounded to twelve digits.
            least = self.ours(tag, [p - 1e-9 for p in percents])
            most = self.ours(tag, [p + 1e-9 for p in percents])
            for low, value, high in zip(least, values, most):
                self.assertLessEqual(low, value)
                self.assertLessEqual(value, high)
            count = len(self.of_kind(tag))
            self.assertRegex(text, r"Total count += +%d\]" % count)

    @unittest.skipUnless(JAR and shutil.which("java"),
                         "no HdrHistogram for Java here")
    def test_the_tool_of_hdrhistogram_finds_each_second(self):
        for second in range(SECONDS):
            text = java("-i", self.log, "-tag", "from-plan", "-start",
                        "%.1f" % (second - 0.1), "-end",
                        "%.1f" % (second + 0.1))
            count = len(self.samples["from-plan", second])
            self.assertRegex(text, r"Total count += +%d\]" % count)


if __name__ == "__main__":
    main()
