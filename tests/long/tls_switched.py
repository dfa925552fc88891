# SPDX-License-Identifier: MIT
"""All tests of behaviour with TLS switched in: see tests/programs/tls_switch.py.

    tls_switched.py [PROGRAM ...]       all, or check_dial ...
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))

import tls_switch


def main():
    why = tls_switch.why_not()
    if why:
        print("SKIPPED:", why)
        return 77
    failed = 0
    programs = sys.argv[1:] or tls_switch.programs()
    with tls_switch.switched_on() as env:
        for name in programs:
            output = tls_switch.run(name, env)
            if output is not None:
                failed += 1
                print(output, flush=True)
    print("%d test programs, %d failed; left out: %d and %d single tests" %
          (len(programs), failed, len(tls_switch.PROGRAMS),
           len(tls_switch.LEFT_OUT)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
