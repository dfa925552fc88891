# SPDX-License-Identifier: MIT
"""What documents tell their readers to type, and what they say will be seen.

In a Markdown file that is a block marked "sh", a command a line, or "console",
in which commands follow a "$" and all else is what the terminal shows; in a
manual page it is what the section EXAMPLES displays."""

import re


class Command:
    """A line to type, and the lines that the page shows below it, if any."""

    def __init__(self, line):
        self.line = line
        self.shown = []


def _plain(lines):
    """Commands, one a line; a backslash at its end continues one."""
    text = "\n".join(lines)
    joined = re.sub(r"\\\n\s*", "", text).splitlines()
    return [Command(line) for line in joined
            if line.strip() and not line.lstrip().startswith("#")]


def _console(lines):
    commands = []
    continued = False
    for line in lines:
        if continued:
            commands[-1].line += line.strip()
        elif line.startswith("$ "):
            commands.append(Command(line[2:]))
        else:
            commands[-1].shown.append(line)
            continue
        continued = commands[-1].line.endswith("\\")
        if continued:
            commands[-1].line = commands[-1].line[:-1]
    return commands


def _markdown(text):
    for kind, body in re.findall(r"^```(sh|console)\n(.*?)^```$", text,
                                 re.MULTILINE | re.DOTALL):
        yield (_plain if kind == "sh" else _console)(body.splitlines())


def _manual(text):
    examples = re.search(r"^\.Sh EXAMPLES\n(.*?)^\.Sh ", text,
                         re.MULTILINE | re.DOTALL).group(1)
    for escape, character in ((r"\(dq", '"'), (r"\(aq", "'"), (r"\e", "\\"),
                              (r"\-", "-"), (r"\&", "")):
        examples = examples.replace(escape, character)
    for lines, body in re.findall(
            r"((?:^\.Dl .*\n)+)|^\.Bd -literal.*\n((?:.*\n)*?)\.Ed\n",
            examples, re.MULTILINE):
        if lines:
            yield _plain([line[4:] for line in lines.splitlines()])
        else:
            yield _console(body.splitlines())


def blocks(path):
    """The blocks of a page, each a list of commands."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    found = list((_markdown if path.endswith(".md") else _manual)(text))
    assert found, "%s: nothing to type" % path
    return found
