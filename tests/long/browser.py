# SPDX-License-Identifier: MIT
"""Chromium, for tests of pages."""

import base64
import fcntl
import json
import os
import shutil
import subprocess

CHROMIUM = shutil.which("chromium")
WIDTH = "document.documentElement.scrollWidth"


def is_error(message):
    """Does this event tell that something is wrong with a page?"""
    method = message.get("method")
    return method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled") \
        or method == "Log.entryAdded" and \
        message["params"]["entry"]["level"] == "error"


class Browser:
    """A Chromium without windows, which is told what to do through a pipe."""

    def __init__(self, folder):
        commands, to_it = os.pipe()
        from_it, answers = os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (commands, answers)]

        def take_pipes():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)
        # The children of the browser keep no pipe of ours.
        self.process = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu",
             "--user-data-dir=" + folder, "--remote-debugging-pipe"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=take_pipes)
        for fd in (commands, answers, *high):
            os.close(fd)
        self.to_it, self.from_it = os.fdopen(to_it, "wb"), from_it
        self.unread, self.count, self.session = b"", 0, None
        self.errors = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target,
                                flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Log":
            self.ask(domain + ".enable")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        self.to_it.close()
        os.close(self.from_it)

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
            if is_error(message):
                self.errors.append(json.dumps(message["params"]))
            if message.get("id") == self.count:
                result = message["result"]
            elif message.get("method") == until:
                until = None
        return result

    def resize(self, width, height=844):
        self.ask("Emulation.setDeviceMetricsOverride", width=width,
                 height=height, deviceScaleFactor=1, mobile=width < 600)

    def show(self, url, width):
        self.resize(width)
        self.ask("Page.navigate", until="Page.loadEventFired", url=url)

    def value(self, expression):
        return self.ask("Runtime.evaluate", returnByValue=True,
                        expression=expression)["result"].get("value")

    def prefer(self, scheme):
        """Dark or light, as the user of the browser says."""
        self.ask("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path):
        data = self.ask("Page.captureScreenshot")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
