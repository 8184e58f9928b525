"""Which members `--only` asks for."""

from __future__ import annotations

import pytest

from pathdsl.lang.only import is_asked


@pytest.mark.parametrize(
    ("only", "member", "wanted"),
    [
        (None, "a9.h9@END", True),
        ("each", "a9.h9@END", True),
        ("each", None, True),
        ("each[a9.h9@END]", "a9.h9@END", True),
        ("each[a9.h9]", "a9.h9@END", True),
        ("each[ a9.h9 ]", "a9.h9@[3]", True),
        ("each[{a0.h1,m2}]", "{a0.h1@S1+1, m2@END}", True),
        ("each[a9.h9@S2]", "a9.h9@END", False),
        ("each[a9.h8]", "a9.h9@END", False),
        ("each[a9.h9]", None, False),
        ("each[", "a9.h9", False),
        ("other", "a9.h9", False),
        ("other[a9.h9]", "a9.h9", False),
    ],
)
def test_is_asked(only: str | None, member: str | None, wanted: bool) -> None:
    assert is_asked(only, "each", member) is wanted
