#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""100 hot upgrades of weir-server under load: no client is lost or refused."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "programs"))
os.environ["WEIR_UPGRADES"] = "100"
import test_server_upgrade

if __name__ == "__main__":
    unittest.main(module=test_server_upgrade, verbosity=2, argv=[
        sys.argv[0], "Upgrade.test_under_load_nothing_is_lost_or_refused"])
