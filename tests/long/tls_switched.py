# SPDX-License-Identifier: MIT
"""All tests of behaviour with TLS switched in: see tests/programs/tls_switch.py.

    tls_switched.py [PROGRAM ...]       all, or check_dial ...
"""

import concurrent.futures
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))

import tls_switch


TOGETHER = 2  # many tests wait rather than compute


def run_and_say(name, env):
    """Has it failed?"""
    start = time.monotonic()
    output = tls_switch.run(name, env)
    print("%s (%.0f s)%s" % (name, time.monotonic() - start,
                             ":\n" + output if output else ""), flush=True)
    return output is not None


def main():
    why = tls_switch.why_not()
    if why:
        print("SKIPPED:", why)
        return 77
    programs = sys.argv[1:] or tls_switch.programs()
    with tls_switch.switched_on() as env, \
            concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        failed = sum(pool.map(lambda name: run_and_say(name, env), programs))
    print("%d test programs, %d failed; left out: %d and %d single tests" %
          (len(programs), failed, len(tls_switch.PROGRAMS),
           len(tls_switch.LEFT_OUT)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
