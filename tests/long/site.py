#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""site.py: tools/site makes a site whose links all lead somewhere, and no page
is wider than the window of a desktop or a phone."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PAGES = ("index", "docs/COOKBOOK", "docs/PERFORMANCE", "docs/FROM_LIBEVENT",
         "api/weir.3", "api/weir_service.3", "api/weir-server.8")
WIDTHS = (1280, 500)  # headless windows are at least 500 wide
PROBE = """<script>addEventListener("load", () => document.body.setAttribute(
    "data-widths", document.documentElement.scrollWidth + " " + innerWidth))
</script>"""


def widths(browser, html, page, width):
    """The widths of a page and of its window."""
    with open("%s/%s.html" % (html, page), encoding="utf-8") as file:
        text = file.read()
    probe = "%s/%s-probe.html" % (html, page)
    with open(probe, "w", encoding="utf-8") as file:
        file.write(text.replace("</body>", PROBE + "</body>"))
    with tempfile.TemporaryDirectory() as folder:
        dom = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu",
             "--user-data-dir=" + folder, "--window-size=%d,1000" % width,
             "--dump-dom", "file://" + probe], capture_output=True, text=True,
            timeout=120, check=True).stdout
    os.unlink(probe)
    return map(int, re.search(r'data-widths="(\d+) (\d+)"', dom).groups())


def main():
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree("docs", folder + "/docs")
        done = subprocess.run([TOP + "/tools/site", folder], check=False)
        if done.returncode != 0:
            return done.returncode
        browser = shutil.which("chromium")
        if not browser:
            print("chromium is not installed")
            return 77
        wrong = 0
        for page in PAGES:
            for width in WIDTHS:
                is_wide, window = widths(browser, folder + "/site/html", page,
                                         width)
                if is_wide > window:
                    print("%s: %d wide in a window of %d" % (page, is_wide,
                                                             window))
                    wrong += 1
        return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
