# SPDX-License-Identifier: MIT
"""Turns files into C arrays: html_embed.py OUTPUT NAME=FILE[,FILE...]...  (an empty FILE: an
empty array)

Each becomes `const unsigned char NAME[]` with `const size_t NAME_bytes`."""
import sys


def main(output, items):
    with open(output, "w", encoding="ascii") as out:
        out.write("/* Made by html_embed.py. */\n#include \"html.h\"\n")
        for item in items:
            name, _, paths = item.partition("=")
            data = b""
            for path in paths.split(",") if paths else []:
                with open(path, "rb") as f:
                    data += f.read()
            out.write("const size_t %s_bytes = %d;\nconst unsigned char %s[] = {\n"
                      % (name, len(data), name))
            for at in range(0, len(data) + 1, 32):  # one byte more: never an empty array
                out.write(",".join(str(b) for b in (data + b"\0")[at:at + 32]) + ",\n")
            out.write("};\n")


main(sys.argv[1], sys.argv[2:])
