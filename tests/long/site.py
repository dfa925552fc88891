#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""site.py [FOLDER]: tools/site makes a site whose links all lead somewhere, and
no page is wider than the window of a desktop or a phone.  FOLDER gets a picture
of each of the pages that are named below, at both widths."""

import base64
import fcntl
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SHOWN = ("index", "README.zh-CN", "docs/index", "docs/COOKBOOK",
         "docs/PERFORMANCE", "docs/RELIABILITY", "docs/FROM_LIBEVENT",
         "api/weir.3", "api/weir_service.3", "api/weir-server.8")
WIDTHS = (1280, 390)
WIDTH = "document.documentElement.scrollWidth"
WIDEST = """[...document.querySelectorAll("body *")].filter(e => e.clientWidth &&
    e.getBoundingClientRect().right > screen.width).map(e => e.tagName + " " +
    e.className + " " + e.textContent.slice(0, 40)).slice(0, 3).join("; ")"""


class Browser:
    """A Chromium without windows, which is told what to do through a pipe."""

    def __init__(self, program, folder):
        commands, to_it = os.pipe()
        from_it, answers = os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (commands, answers)]

        def take_pipes():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)
        # The children of the browser keep no pipe of ours.
        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu",
             "--user-data-dir=" + folder, "--remote-debugging-pipe"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=take_pipes)
        for fd in (commands, answers, *high):
            os.close(fd)
        self.to_it, self.from_it = os.fdopen(to_it, "wb"), from_it
        self.unread, self.count, self.session = b"", 0, None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target,
                                flatten=True)["sessionId"]
        self.ask("Page.enable")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()

    def hear(self):
        while b"\0" not in self.unread:
            data = os.read(self.from_it, 1 << 20)
            if not data:
                raise EOFError("the browser has ended")
            self.unread += data
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)

    def ask(self, method, until=None, **params):
        """The result; after it the event of that name has come."""
        self.count += 1
        command = {"id": self.count, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        self.to_it.write(json.dumps(command).encode() + b"\0")
        self.to_it.flush()
        result = None
        while result is None or until:
            message = self.hear()
            if message.get("id") == self.count:
                result = message["result"]
            elif message.get("method") == until:
                until = None
        return result

    def show(self, path, width):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=844,
                 deviceScaleFactor=1, mobile=width < 600)
        self.ask("Page.navigate", until="Page.loadEventFired",
                 url="file://" + path)

    def value(self, expression):
        return self.ask("Runtime.evaluate", returnByValue=True,
                        expression=expression)["result"].get("value")

    def picture(self, path):
        data = self.ask("Page.captureScreenshot")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))


def look(browser, html, pictures):
    wrong = 0
    paths = sorted(glob.glob(html + "/**/*.html", recursive=True))
    names = [os.path.relpath(path, html)[:-len(".html")] for path in paths]
    assert set(SHOWN) <= set(names), names
    for path, name in zip(paths, names):
        for width in WIDTHS:
            browser.show(path, width)
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
        program = shutil.which("chromium")
        if not program:
            print("SKIPPED: chromium is not installed")
            return 77
        with Browser(program, folder + "/browser") as browser:
            return look(browser, folder + "/site/html", pictures) > 0


if __name__ == "__main__":
    sys.exit(main())
