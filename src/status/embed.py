"""Writes C from page.html, for the build: its pieces between {{names}}, and header fields with the policy that its script
and style need.

Usage: embed.py PAGE >SOURCE
"""

import base64
import hashlib
import re
import sys

POLICY = ("Content-Security-Policy: default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
          "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\\r\\n")


def source_of(text, tag):
    """Returns the source, for a policy, of the one element of this name in the page."""
    (content,) = re.findall(r"<%s>(.*?)</%s>" % (tag, tag), text, re.S)
    return "'sha256-%s'" % base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        # Nothing in it needs to be indented.
        text = "".join(line.lstrip(" ") for line in file if line.strip())
    pieces = re.split(r"\{\{([a-z]+)\}\}", text) + ["end"]
    print('#include "config.h"\n\n#include "status/page.h"\n')
    print('const char page_headers[] = PAGE_FIELDS "%s";\n' %
          POLICY.format(script=source_of(text, "script"), style=source_of(text, "style")))
    rows = []
    for number, (piece, part) in enumerate(zip(pieces[::2], pieces[1::2])):
        data = piece.encode()
        print("static const unsigned char piece%d[] = {%s};" % (number, ",".join(map(str, data)) or "0"))
        rows.append("{piece%d, %d, PAGE_%s}" % (number, len(data), part.upper()))
    print("\nconst struct page_piece page_pieces[] = {%s};" % ", ".join(rows))


if __name__ == "__main__":
    main()
