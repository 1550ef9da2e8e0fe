#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print this machine's Debian package sources as one deb822 file.

Usage: apt-sources.py [--add-backports] [--src] CODENAME [FILE...]

Reads the machine's own sources, both the deb822 form (*.sources) and the
one-line form (*.list), and keeps the entries that belong to the Debian
release CODENAME. With --add-backports each mirror that offers the release
itself is repeated for CODENAME-backports. With --src source packages are
listed as well. Nothing on the machine is changed.
"""

import glob
import re
import sys

ALIASES = ("stable", "oldstable", "oldoldstable")

# one-line option -> deb822 field
OPTIONS = {
    "signed-by": "Signed-By",
    "trusted": "Trusted",
    "check-valid-until": "Check-Valid-Until",
    "allow-insecure": "Allow-Insecure",
    "by-hash": "By-Hash",
}


def parse_deb822(text):
    """Yield a dict for each enabled stanza; keys are lower case."""
    for block in re.split(r"\n\s*\n", text):
        fields, key = {}, None
        for line in block.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0] in " \t" and key:
                fields[key] += "\n" + line
                continue
            name, _, value = line.partition(":")
            key = name.strip().lower()
            fields[key] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        if "uris" in fields and "suites" in fields:
            yield fields


def parse_one_line(text):
    """Yield the same kind of dict for each `deb` line."""
    for line in text.splitlines():
        line = line.split("#", 1)[0].strip()
        m = re.match(r"deb\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)\s*(.*)$", line)
        if not m:
            continue
        fields = {"types": "deb", "uris": m.group(2), "suites": m.group(3),
                  "components": m.group(4)}
        for option in (m.group(1) or "").split():
            name, _, value = option.partition("=")
            if name.lower() in OPTIONS:
                value = value.replace(",", " ")
                fields[OPTIONS[name.lower()].lower()] = value
        yield fields


def read_entries(files):
    for name in files:
        try:
            with open(name, encoding="utf-8", errors="replace") as f:
                text = f.read()
        except OSError:
            continue
        parse = parse_deb822 if name.endswith(".sources") else parse_one_line
        yield from parse(text)


def of_release(suite, codename):
    base = suite.split("-", 1)[0].split("/", 1)[0]
    return base == codename or base in ALIASES


def wanted(fields, codename, backports):
    """The suites of an entry that belong to the release, plus backports."""
    if "deb" not in fields.get("types", "deb").split():
        return []
    if fields["uris"].startswith("cdrom:"):
        return []
    suites = [s for s in fields["suites"].split()
              if of_release(s, codename) and not s.endswith("-backports")]
    if backports and any(s in (codename,) + ALIASES for s in suites):
        suites.append(codename + "-backports")
    return suites


def stanza(fields, suites, types):
    out = ["Types: " + types, "URIs: " + fields["uris"],
           "Suites: " + " ".join(suites)]
    if fields.get("components"):
        components = fields["components"].split()
        # only free software is needed, and lists cost download time
        keep = [c for c in components if c == "main"] or components
        out.append("Components: " + " ".join(keep))
    for field in OPTIONS.values():
        if field.lower() in fields:
            out.append(field + ": " + fields[field.lower()])
    return "\n".join(out) + "\n"


def main(args):
    backports = "--add-backports" in args
    types = "deb deb-src" if "--src" in args else "deb"
    args = [a for a in args if not a.startswith("--")]
    if not args:
        sys.exit(__doc__)
    codename, files = args[0], args[1:]
    if not files:
        files = ["/etc/apt/sources.list"]
        files += sorted(glob.glob("/etc/apt/sources.list.d/*.list"))
        files += sorted(glob.glob("/etc/apt/sources.list.d/*.sources"))
    blocks = []
    for fields in read_entries(files):
        suites = wanted(fields, codename, backports)
        if suites:
            block = stanza(fields, suites, types)
            if block not in blocks:
                blocks.append(block)
    if not blocks:
        sys.exit("no Debian package source for release '%s' in %s: add one "
                 "to /etc/apt/sources.list" % (codename, ", ".join(files)))
    print("\n".join(blocks), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
