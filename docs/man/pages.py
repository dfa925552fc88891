#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pages.py FOLDER WEIR.H WEIR-TLS.H WEIR.7 VERSION: write the manual pages of
section 3 to FOLDER, and those of libweir-tls to FOLDER/tls.

A comment of a header and the calls below it make a page.  Each other call, and
each type that only they use, is a link to it.  A type of its own has a page,
and weir(3) lists all of them.  The date is that of WEIR.7."""

import os
import re
import sys
import textwrap

# What the last paragraph of a comment says, and what the reader wants to know.
THREADS = {
    "handler": "a callback of that connection, or the thread that owns a "
               "connection of weir_dial()",
    "any": "any thread",
}
# Errors that need no words where they have one meaning everywhere.
ERRORS = {
    "0": "success",
    "-EINVAL": "misuse, see weir(3)",
    "-ENOMEM": "out of memory",
    "-EPIPE": "the connection has ended",
    "-ESHUTDOWN": "the server stops",
    "-ECANCELED": "cut by a stop's deadline or weir_ref_cancel()",
}


class Page:
    """A comment with what is declared below it."""

    def __init__(self, comment, section):
        self.comment = comment
        self.section = section
        self.declarations = []
        self.calls = []    # (result, name, parameters)
        self.types = []    # names
        self.notes = []    # comments of types that belong to it

    def names(self):
        calls = [name for _, name, _ in self.calls]
        return calls + [name for name in self.types if name not in calls]


class Section:
    def __init__(self, title):
        self.title = title
        self.rules = []    # paragraphs for all its calls
        self.pages = []


def uncomment(text):
    """The paragraphs of a comment, each a list of lines."""
    text = re.sub(r"^/\*+ ?|\s*\*/$", "", text.strip())
    lines = [re.sub(r"^ ?\* ?", "", line.strip("\t")).rstrip()
             for line in text.split("\n")]
    paragraphs = [[]]
    for line in lines:
        if line:
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    return [lines for lines in paragraphs if lines]


def pieces(text):
    """Comments, declarations and section marks of a header, in their order."""
    text = re.sub(r"/\* clang-format o\w+ \*/\n", "", text)
    text = re.sub(r"^#el.*?(?=^#endif)", "", text,
                  flags=re.MULTILINE | re.DOTALL)
    pattern = re.compile(
        r"^/\* -{5,} (?P<section>[^*]+?) \*/\n|"
        r"^(?P<comment>/\*(?:[^*]|\*(?!/))*\*/)\n|"
        r"^(?P<skip>#(?:if|elif|else|endif|include|pragma)\b.*(?:\\\n.*)*)\n|"
        r"^(?P<define>#define (?:[^\n]*\\\n)*[^\n]*)\n|"
        r"^(?P<declaration>(?:(?:typedef|enum|struct|WEIR_API)\b[^;{]*)"
        r"(?:\{[^}]*\})?[^;{}]*;(?:[ \t]*/\*.*?\*/)?)\n"
        r"|^\n|^(?P<other>.*)\n", re.MULTILINE)
    for found in pattern.finditer(text):
        if found.lastgroup in ("section", "comment", "define", "declaration"):
            yield found.lastgroup, found.group(found.lastgroup)
        elif found.group(0) == "\n":
            yield "empty", ""


def call_of(declaration):
    """(result, name, parameters) of a declaration with WEIR_API."""
    text = " ".join(declaration.split())
    text = re.sub(r" WEIR_PRINTF\([^)]*\)", "", text)
    result, name, rest = re.match(
        r"WEIR_API (.*?[ *])(weir_\w+)\((.*)\);$", text).groups()
    parameters, depth = [""], 0
    for letter in rest:
        if letter == "," and depth == 0:
            parameters.append("")
            continue
        depth += {"(": 1, ")": -1}.get(letter, 0)
        parameters[-1] += letter
    return result.strip(), name, [one.strip() for one in parameters]


def type_of(declaration):
    """The name of a type, if it is more than a name that hides a structure."""
    found = (re.match(r"struct (weir_\w+) \{", declaration) or
             re.match(r"typedef \w+ (weir_\w+)\(", declaration))
    return found.group(1) if found else None


def read(path):
    """The sections of a header, of which the first has the head of the file in
    its rules; and constants that belong to no page."""
    with open(path, encoding="utf-8") as file:
        head, text = file.read().split("*/\n#ifndef", 1)
    sections = [Section("types")]
    sections[0].rules = uncomment(head.split("\n", 1)[1])[1:]
    has_types = "/* ---" in text  # before the first section
    page, notes, loose = None, [], []
    for kind, piece in pieces(text):
        if kind == "section":
            sections.append(Section(piece))
            page = None
            loose += notes
            notes = []
        elif kind == "comment":
            page = Page(uncomment(piece), sections[-1])
        elif page is None:
            continue
        elif kind == "empty":
            if not page.declarations and not page.calls and \
                    len(sections) > 1:
                sections[-1].rules += page.comment
                page = None
        elif piece.startswith("WEIR_API"):
            if not page.calls:
                sections[-1].pages.append(page)
                page.notes, notes = notes, []
            page.calls.append(call_of(piece))
        else:
            page.declarations.append(piece)
            if len(page.declarations) > 1:
                continue
            if has_types and len(sections) == 1 and type_of(piece):
                page.types.append(type_of(piece))
                sections[0].pages.append(page)
            else:
                notes.append(page)
    return sections, settle(sections, loose + notes)


def subject(comment):
    """The call or type that a comment names as its subject, or ""."""
    found = re.match(r"(?:[^.]*\bsee |Index of )?(weir_\w+)",
                     " ".join(comment[0]))
    return found.group(1) if found else ""


def settle(sections, loose):
    """Give constants and types to the pages that they belong to.  Returns those
    that belong to none."""
    pages = sum((section.pages for section in sections), [])
    for page in pages:
        for note in page.notes:
            page.types += filter(None, map(type_of, note.declarations))
    places = {name: page for page in pages for name in page.names()}
    for page in pages:
        notes, page.notes = page.notes, []
        for note in notes:
            places.get(subject(note.comment), page).notes.append(note)
    rest = []
    for note in loose:
        place = places.get(subject(note.comment))
        (place.notes if place else rest).append(note)
    return rest


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = text.replace("'", "\\(aq").replace("`", "\\(ga")
    return "\\&" + text if text[:1] in (".",) else text


def literal(lines):
    return [".Bd -literal -offset indent"] + \
        [escape(line.expandtabs(8)) for line in lines] + [".Ed"]


class Writer:
    def __init__(self, known, own):
        self.known = known
        self.own = own

    def flow(self, text):
        """Lines of a paragraph, calls as references."""
        out = []
        for sentence in re.split(r"(?<=[.:)])\s+(?=[^a-z\s])",
                                 " ".join(text.split())):
            for line in textwrap.wrap(sentence, 76, break_on_hyphens=False):
                out += self.line(line)
        return out

    def line(self, line):
        out, at = [], 0
        for found in re.finditer(
                r"(?:(?<=\s)|^)([(\"]*)(weir_\w+)(\(\)|\(3\))"
                r"([.,;:)]*)(?=\s|$)", line):
            before, name, _, after = found.groups()
            if name not in self.known:
                continue
            if line[at:found.start()].strip():
                out.append(escape(line[at:found.start()].strip()))
            macro = "Fn " + name if name in self.own else "Xr %s 3" % name
            for mark in reversed(before):
                macro = "Pf %s %s" % ({'"': "\\(dq"}.get(mark, mark), macro)
            out.append("." + macro + "".join(" " + mark for mark in after))
            at = found.end()
        if line[at:].strip():
            out.append(escape(line[at:].strip()))
        return out

    def paragraphs(self, paragraphs):
        out = []
        for lines in paragraphs:
            more = self.mixed(lines)
            if out and not more[0].startswith(".Bd"):
                out.append(".Pp")
            out += more
        return out

    @staticmethod
    def dedent(lines):
        least = min(len(line) - len(line.lstrip()) for line in lines)
        return [line[least:] for line in lines]

    def mixed(self, lines):
        """Text that begins or ends with a table."""
        out, run, table = [], [], False
        for line in lines + [None]:
            is_row = line is not None and \
                re.match(r"\s{2,}|.*\S\s{3,}\S", line) is not None
            if run and (line is None or is_row != table):
                out += literal(self.dedent(run)) if table else \
                    self.flow(" ".join(run))
                run = []
            table = is_row
            if line is not None:
                run.append(line)
        return out


def split_results(text):
    """The items of "Returns 0; -EINVAL (why); ...": (heads, why)."""
    items, depth = [""], 0
    text = re.sub(r"\.$", "", text)
    for letter in text.replace(", or as above", "; or as above"):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == ";" and depth == 0:
            items.append("")
        else:
            items[-1] += letter
    for item in items:
        item = item.strip().replace(
            "or as above", "another error of this group, see above")
        found = re.match(r"([^(]*[^( ]) \((.*)\)(.*)$", item)
        if found and not found.group(3) and "()" not in found.group(1):
            yield found.group(1), found.group(2)
        elif item == "0" and items[0] != "0":
            yield item, ""  # an answer, and no success
        else:
            yield item, ERRORS.get(item, "")


def summary(page):
    """The first sentence of a comment, as short as it makes sense."""
    text = re.sub(r" \((?:[^()]|\([^()]*\))*\)", "", " ".join(page.comment[0]))
    text = re.split(r"(?<=[^.])\.(?:\s|$)|: |; (?!or )", text)[0]
    return text[:1].lower() + text[1:]


def last_parts(comment):
    """(paragraphs, what it returns, threads, since) of a comment."""
    paragraphs, returns, threads, since = [], "", "", ""
    for lines in comment:
        text = " ".join(lines)
        found = re.search(r"(?:^|(?<= ))Thread: (.*?)\.\s+Since: (\S+)\.$",
                          text)
        if found:
            threads, since = found.groups()
            text = text[:found.start()].strip()
            lines = [text] if text else []
        if text.startswith("Returns "):
            returns = text[len("Returns "):]
            found = re.search(r"(?<=\.)  ?([A-Z].*)$", returns)
            if found and "(" not in returns[found.start():].split(".")[0]:
                paragraphs.append([found.group(1)])
                returns = returns[:found.start()]
        elif lines:
            paragraphs.append(lines)
    return paragraphs, returns, threads, since


def threads_text(threads):
    for word, text in THREADS.items():
        if re.match(word + r"\b", threads):
            text += threads[len(word):]
            break
    else:
        text = threads
    return text.replace(": any", ": any thread")


def render_notes(notes, writer):
    out = []
    for note in notes:
        text = " ".join(sum(note.comment, []))
        out += [".Pp"] + writer.flow(text[:1].upper() + text[1:] if not
                                     text.startswith("weir_") else text)
        out += literal(re.sub(r"(#define \w+\(\.\.\.\)).*", r"\1", text_of)
                       for text_of in "\n".join(
                           re.sub(r"\\\n.*", "", one, flags=re.DOTALL)
                           for one in note.declarations).split("\n"))
    return out


def render(page, writer, about):
    """The lines of a page."""
    names = page.names()
    out = [".\\\" SPDX-License-Identifier: MIT",
           ".\\\" Made from %s by docs/man/pages.py." % about["header"],
           ".Dd " + about["date"],
           ".Dt %s 3" % names[0].upper(), ".Os weir " + about["version"],
           ".Sh NAME"]
    out += [".Nm " + name + " ," for name in names[:-1]]
    out += [".Nm " + names[-1],
            ".Nd " + escape(summary(page)).replace('"', "\\(dq")]
    out += [".Sh LIBRARY", about["library"]]
    out += [".Sh SYNOPSIS", ".In " + about["header"]]
    for result, name, parameters in page.calls:
        out += [".Ft " + escape(result), ".Fo " + name]
        out += ['.Fa "%s"' % escape(one) for one in parameters]
        out.append(".Fc")
    if not page.calls:
        out += literal("\n".join(page.declarations).split("\n"))
    paragraphs, returns, threads, since = last_parts(page.comment)
    out.append(".Sh DESCRIPTION")
    out += writer.paragraphs(paragraphs)
    out += render_notes(page.notes, writer)
    if page.section.rules and page.section.title != "types":
        out.append(".Ss All calls of this group")
        out += writer.paragraphs(page.section.rules)
    if returns:
        out += [".Sh RETURN VALUES", ".Bl -tag -width Ds"]
        for head, why in split_results(returns):
            out += [".It " + escape(head).replace('"', '\\(dq')]
            out += writer.flow(why)
        out.append(".El")
    if threads:
        out += [".Sh THREADS", "Called by"]
        out += writer.flow(threads_text(threads) + ".")
    text = " ".join(sum(page.comment, []))
    others = [other.names()[0] for other in page.section.pages
              if other is not page and (
                  len(page.section.pages) <= 16 or
                  any(name + "()" in text for name in other.names()))]
    out.append(".Sh SEE ALSO")
    others = ["weir"] + sorted(others if page.calls else [])
    out += [".Xr %s 3 ," % name for name in others] + [".Xr weir 7"]
    if since:
        out += [".Sh HISTORY", "Since weir %s." % since]
    return out


def overview(headers, writer, about):
    """weir(3): the head of weir.h and all pages."""
    out = [".\\\" SPDX-License-Identifier: MIT",
           ".\\\" Made from weir.h by docs/man/pages.py.",
           ".Dd " + about["date"], ".Dt WEIR 3",
           ".Os weir " + about["version"], ".Sh NAME", ".Nm weir",
           ".Nd a library for concurrent TCP servers", ".Sh LIBRARY",
           about["library"], ".Sh SYNOPSIS", ".In weir.h",
           ".Dl cc -o program program.c $(pkg\\-config \\-\\-cflags "
           "\\-\\-libs weir)", ".Sh DESCRIPTION"]
    out += writer.paragraphs(about["head"])
    out += render_notes(about["loose"], writer)
    for sections in headers:
        for section in sections:
            if not section.pages:
                continue
            title = section.title if sections is headers[0] else "TLS"
            out.append(".Ss " + title[:1].upper() + title[1:])
            out.append(".Bl -tag -width Ds -compact")
            for page in section.pages:
                names = page.names() if page.calls else page.names()[:1]
                out += [".It " + " , ".join("Xr %s 3" % name
                                            for name in names)]
                out += [escape(summary(page)) + "."]
            out.append(".El")
    out += [".Sh SEE ALSO", ".Xr weir\\-client 1 ,", ".Xr weir 7 ,",
            ".Xr weir\\-server 8"]
    return out


def write(path, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def main():
    folder, header, tls_header, concepts, version = sys.argv[1:]
    with open(concepts, encoding="utf-8") as file:
        date = re.search(r"^\.Dd (.*)$", file.read(), re.MULTILINE).group(1)
    (sections, loose), (tls_sections, _) = read(header), read(tls_header)
    headers = [sections, tls_sections]
    known = {name for sections in headers for section in sections
             for page in section.pages for name in page.names()} | {"weir"}
    os.makedirs(folder + "/tls", exist_ok=True)
    about = {"date": date, "version": version, "header": "weir.h",
             "library": "libweir, \\-lweir", "head": sections[0].rules,
             "loose": loose}
    write(folder + "/weir.3",
          overview(headers, Writer(known, {"weir"}), about))
    for sections, where in zip(headers, ("", "/tls")):
        if where:
            about.update(header="weir\\-tls.h",
                         library="libweir\\-tls, \\-lweir\\-tls")
        for section in sections:
            for page in section.pages:
                names = page.names()
                write("%s%s/%s.3" % (folder, where, names[0]),
                      render(page, Writer(known, set(names)), about))
                for name in names[1:]:
                    write("%s%s/%s.3" % (folder, where, name),
                          [".so man3/%s.3" % names[0]])


if __name__ == "__main__":
    main()
