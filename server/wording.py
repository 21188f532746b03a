"""How much somebody said, in whatever script."""

from __future__ import annotations

import re

SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Letters of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""


def count_words(said: str) -> int:
    """Words of a sentence. Of a script without spaces between words two letters count as one: most Chinese words have
    two."""
    return len(SPACELESS.sub(" ", said).split()) + len(SPACELESS.findall(said)) // 2
