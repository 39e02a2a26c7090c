"""Paste the tables in results/*.md into the pages, each between its markers.

Reads   results/*.md, README.md, experiments/README.md, ttfs/README.md
Writes  the pages

    python -m ttfs.stages.readme            # or: make readme
"""

import re
from pathlib import Path

from ttfs import InputError
from ttfs.stages.ending import one_line_errors
from ttfs.stages.options import ROOT, Parser
from ttfs.stages.report import written_files
from ttfs.writing import written_atomically

PAGES = ("README.md", "experiments/README.md", "ttfs/README.md")
BLOCK = re.compile(r"(<!-- ([\w/]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(text: str, results: Path) -> str:
    """Return a page's text with every table between markers replaced by results/NAME.md."""

    def block(match: re.Match) -> str:
        path = results / f"{match[2]}.md"
        if not path.exists():
            raise InputError(f"a page has a place for the table {match[2]}, but there is no {path}")
        return match[1] + path.read_text(encoding="utf-8") + match[3]

    return BLOCK.sub(block, text)


@one_line_errors
def main(argv=None) -> None:
    """Rewrite the pages."""
    Parser(__doc__).parse_args(argv)
    paths = [ROOT / name for name in PAGES]
    texts = [with_tables(path.read_text(encoding="utf-8"), ROOT / "results") for path in paths]
    for path, text in zip(paths, texts, strict=True):
        with written_atomically(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    print("pasted the tables of results/; the words around them speak of the committed results")
    print(written_files(paths))


if __name__ == "__main__":
    main()
