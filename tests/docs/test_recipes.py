"""The recipes of docs/recipes.md come out as the page says, in one file."""

from __future__ import annotations

from pathlib import Path

import pathdsl
from tests.docs.test_language import DOCS, blocks


def test_recipes(tmp_path: Path) -> None:
    head, *others = blocks(DOCS / "recipes.md")
    recipes = [one for one in others if "fragment" in one.words]
    path = tmp_path / "recipes.circuit"
    path.write_text("\n".join([head.text, *(one.text for one in recipes)]), encoding="utf-8")
    outcome = pathdsl.check(str(path)).outcome
    assert outcome.exit_code == 0 and outcome.judgement is not None
    assert [one.code for one in outcome.diagnostics] == []
    found = {one.name: one.estimate for one in outcome.judgement.quantities}
    assert found["by_looking"] == found["whole"] - found["held"]
    assert found["interact"] > 0.5 and found["exchanged[r3]"] == 1
    assert found["repaired[a3.h1@END]"] < 0
    assert found["looks"] > 0.8 and found["copies"] == 0 and found["opposes"] == 1
    assert found["one_lost"] == 0 and found["both_lost"] > 0.5
    assert found["of_h0[baba]"] < -2 < found["of_h0[abba]"] < 1
    assert abs(found["of_h1[baba]"]) < 0.3 < found["of_h1[abba]"]
    assert found["shown"] > 2
    assert found["moved"] > 0.5 and found["alike"] < 0.9
    assert -2 < found["by_neurons"] < 0
    verdicts = {one.name: one.verdict.value for one in outcome.judgement.claims}
    assert verdicts["kept[s_first]"] == verdicts["worst"] == "supported"


def test_places_exchanged(tmp_path: Path) -> None:
    (alone,) = [one for one in blocks(DOCS / "recipes.md")[1:] if "fragment" not in one.words]
    for name, text in alone.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    path = tmp_path / "bound.circuit"
    path.write_text(alone.text, encoding="utf-8")
    outcome = pathdsl.check(str(path)).outcome
    assert outcome.judgement is not None
    found = {one.name: one.estimate for one in outcome.judgement.quantities}
    assert found["plain"] > 9 and found["by_tokens"] < -9 and found["by_bindings"] > 9
