#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""site.py [FOLDER]: tools/site makes a site whose links all lead somewhere, and
no page is wider than the window of a desktop or a phone.  FOLDER gets a picture
of each of the pages that are named below, at both widths."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile

from browser import CHROMIUM, WIDTH, Browser

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SHOWN = ("index", "README.zh-CN", "docs/index", "docs/COOKBOOK",
         "docs/PERFORMANCE", "docs/RELIABILITY", "docs/FROM_LIBEVENT",
         "api/weir.3", "api/weir_service.3", "api/weir-server.8")
WIDTHS = (1280, 390)
WIDEST = """[...document.querySelectorAll("body *")].filter(e => e.clientWidth &&
    e.getBoundingClientRect().right > screen.width).map(e => e.tagName + " " +
    e.className + " " + e.textContent.slice(0, 40)).slice(0, 3).join("; ")"""


def look(browser, html, pictures):
    wrong = 0
    paths = sorted(glob.glob(html + "/**/*.html", recursive=True))
    names = [os.path.relpath(path, html)[:-len(".html")] for path in paths]
    assert set(SHOWN) <= set(names), names
    for path, name in zip(paths, names):
        for width in WIDTHS:
            browser.show("file://" + path, width)
            is_wide = browser.value(WIDTH)
            if is_wide > width:
                print("%s: %d wide in a window of %d: %s" % (
                    name, is_wide, width, browser.value(WIDEST)))
                wrong += 1
            if pictures and name in SHOWN:
                browser.picture("%s/%s-%d.png" % (
                    pictures, name.replace("/", "-"), width))
    print("%d pages, each %s wide, %d wrong" % (
        len(paths), " and ".join(map(str, WIDTHS)), wrong))
    return wrong


def main():
    pictures = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree("docs", folder + "/docs")
        done = subprocess.run([TOP + "/tools/site", folder], check=False)
        if done.returncode == 77:
            print("SKIPPED: no site can be made here")
        if done.returncode != 0:
            return done.returncode
        if not CHROMIUM:
            print("SKIPPED: chromium is not installed")
            return 77
        with Browser(folder + "/browser") as browser:
            return look(browser, folder + "/site/html", pictures) > 0


if __name__ == "__main__":
    sys.exit(main())
