#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The soak, for an hour."""

import soak
from soak import Soak  # noqa: the test that runs

if __name__ == "__main__":
    soak.SECONDS = 3600
    soak.main()
