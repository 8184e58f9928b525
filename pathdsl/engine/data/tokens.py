"""From texts to token ids: prompts, and answers that must be exactly one token as written.

A prompt is a text or a list of ids. Texts get the tokenizer's own special tokens, or with
`bos = true` one beginning-of-sequence token and nothing else, or with `bos = false` none. Ids are
used as they are. An answer's text is one token alone, or the one by which it continues the prompt,
or with `answers = whole` all those by which it does.
No torch: the tokenizer is an object of `transformers`, passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pathdsl.engine.data.cells import json_repair
from pathdsl.engine.data.faults import Cell, DataFaults, listed, shown
from pathdsl.errors import Severity
from pathdsl.graph.model.shape import ModelShape
from pathdsl.near import quoted
from pathdsl.record import record

__all__ = ["Encoder", "Prompt", "special_ids", "special_tokens", "word_fits"]


Ids = tuple[int, ...]
_SEVERAL = ("with `answers = whole` in the task an answer may have several tokens",)


@record
class Prompt:
    """One prompt as tokens; `text` and `offsets` (character ranges) only where it was a text."""

    ids: tuple[int, ...]
    text: str | None = None
    offsets: tuple[tuple[int, int], ...] = ()


_BEFORE = "the"  # in front of a word that has its blank


def word_fits(tokenizer: Any) -> Callable[[tuple[str, ...]], bool]:
    """Whether every piece of a word is one token: behind another word where it begins with a blank.

    A piece that begins without one, and is no later part of a word, is one token alone.
    """
    known: dict[str, Ids] = {}

    def ids(text: str) -> Ids:
        if text not in known:
            known[text] = _alone(tokenizer, text)
        return known[text]

    def fits(pieces: tuple[str, ...]) -> bool:
        before = _BEFORE if pieces[0].startswith(" ") else ""
        found, text = ids(before), before
        for piece in pieces:
            text += piece
            longer = ids(text)
            if len(longer) != len(found) + 1 or longer[:-1] != found:
                return False
            if longer[-1] == tokenizer.unk_token_id:
                return False
            found = longer
        return True

    return fits


def special_tokens(tokenizer: Any) -> dict[int, str]:
    """The texts of the tokens that a tokenizer was given as special ones, by id."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {one: token.content for one, token in added.items() if token.special}


def special_ids(tokenizer: Any | None) -> frozenset[int]:
    """The ids of a tokenizer's special tokens; none without a tokenizer."""
    if tokenizer is None:
        return frozenset()
    return frozenset([*tokenizer.all_special_ids, *special_tokens(tokenizer)])


def _alone(tokenizer: Any, text: str) -> Ids:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


class Encoder:
    """Encodes the texts of one task with one tokenizer, noting what is wrong."""

    def __init__(
        self,
        tokenizer: Any | None,
        shape: ModelShape,
        bos: bool | None,
        faults: DataFaults,
        *,
        texts: Collection[str] = (),
        generated: bool = False,
        around: str = "",
        unread: bool = False,
    ) -> None:
        """`texts`: columns that are declared to be texts; `generated`: nobody wrote the rows.

        `unread`: there may be a tokenizer, which is not at hand, so that nothing is said of texts.
        `around`: what stands around the prompts already, "" for what the tokenizer puts there.
        """
        self.tokenizer: Any = tokenizer
        self.shape = shape
        self.faults = faults
        self.bos = bos
        self.texts = texts
        self.generated = generated
        self.around = around
        self.unread = unread
        self._adds = bos is None and not around  # whether the tokenizer adds its own tokens
        self._told_missing = False
        self._told_ids = False
        self._kinds: set[str] = set()  # "text" and "ids", as prompts came
        self._answers: dict[str, Ids] = {}
        self._words: dict[int, str] = {}
        if bos and tokenizer is not None and tokenizer.bos_token_id is None:
            faults.add(
                "PD344",
                "`bos = true`, and the tokenizer has no beginning-of-sequence token",
                advice="bos = false",
            )
            self.bos = False

    @property
    def _first(self) -> Ids:
        """What `bos = true` puts in front of every text."""
        return (self.tokenizer.bos_token_id,) if self.bos else ()

    @property
    def fact(self) -> str:
        """What stands around every text, for the methodology line."""
        if self.around:
            return self.around
        if self.tokenizer is None or self._kinds == {"ids"}:
            return "none (token ids as given)"
        if self.bos is False:
            return "none (bos = false)"
        if self.bos:
            return f"`{self.tokenizer.bos_token}` first (bos = true)"
        added = self.tokenizer("", add_special_tokens=True)["input_ids"]
        if not added:
            return "none (the tokenizer adds none)"
        listed = " ".join(f"`{t}`" for t in self.tokenizer.convert_ids_to_tokens(added))
        return f"{listed} (added by the tokenizer)"

    @property
    def mask(self) -> int | None:
        """The id of the tokenizer's mask token, None without one."""
        found = getattr(self.tokenizer, "mask_token_id", None)
        return found if isinstance(found, int) else None

    @property
    def special(self) -> frozenset[int]:
        """The ids of the tokenizer's special tokens; none without a tokenizer."""
        return special_ids(self.tokenizer)

    # ---------------------------------------------------------------- prompts

    def prompt(self, row: str, column: str, value: object) -> Prompt | None:
        """The tokens of one prompt, or None with the fault noted.

        PD329 (type), PD330 (empty), PD331 (too long), PD332 (ids), PD342 (no tokenizer), PD349
        (`bos` has no meaning for ids).
        """
        where = Cell(row=row, column=column)
        if value == "":
            found: Prompt | None = Prompt(ids=())
        elif isinstance(value, str):
            found = self._text(where, column, value)
        elif isinstance(value, list | tuple) and all(_whole(item) for item in value):
            self._kinds.add("ids")
            self._vet_ids(where, value)
            found = Prompt(ids=tuple(value))
        else:
            self.faults.add(
                "PD329",
                f"{where}: found {shown(value)}, wanted a text or a list of token ids",
                row=where.row,
                about=column,
                advice="chat = true" if _messages(value) else "",
            )
            return None
        if found is None:
            return None
        if not found.ids or found.text == "":
            self.faults.add("PD330", f"{where}: the prompt is empty", row=where.row, about=column)
            return None
        if len(found.ids) > self.shape.n_positions:
            self.faults.add(
                "PD331",
                f"{where}: {len(found.ids)} tokens, the model takes {self.shape.n_positions}",
                row=where.row,
                about=column,
            )
            return None
        return found if self._known(where, column, found.ids) else None

    def _vet_ids(self, where: Cell, ids: Sequence[int]) -> None:
        """Note PD349 where the task states `bos` and a prompt is ids; it is the same for all."""
        if self.bos is None or self._told_ids or not ids:
            return
        self._told_ids = True
        written = str(self.bos).lower()
        self.faults.add(
            "PD349",
            f"`bos = {written}`, and {where} is a list of token ids, used as it is",
            advice="leave `bos` out" + (", and begin each list with that token" * self.bos),
            severity=Severity.ERROR if self.bos else Severity.WARNING,
        )

    def _text(self, where: Cell, column: str, text: str) -> Prompt | None:
        self._kinds.add("text")
        if self.tokenizer is None:
            self._need_tokenizer(where)
            return None
        encoded = self.tokenizer(text, return_offsets_mapping=True, add_special_tokens=self._adds)
        first = self._first
        ids = [*first, *encoded["input_ids"]]
        offsets = [*[(0, 0)] * len(first), *encoded["offset_mapping"]]
        unknown = self.tokenizer.unk_token_id
        if unknown is not None and unknown in ids and self.tokenizer.unk_token not in text:
            start, end = offsets[ids.index(unknown)]
            self.faults.add(
                "PD346",
                f"{where}: the tokenizer does not know {quoted(text[start:end])}",
                row=where.row,
                about=column,
                severity=Severity.WARNING,
            )
        return Prompt(ids=tuple(ids), text=text, offsets=tuple((a, b) for a, b in offsets))

    def _known(self, where: Cell, column: str, ids: Sequence[int], *, answer: bool = False) -> bool:
        most = self.shape.n_logits if answer else self.shape.d_vocab
        strange = [i for i in ids if not 0 <= i < most]
        if strange:
            what = (
                f"there is no logit {strange[0]}: the model has {most} (0 to {most - 1})"
                if answer and self.shape.d_vocab_out
                else f"token id {strange[0]} is not in the vocabulary (0 to {most - 1})"
            )
            self.faults.add("PD332", f"{where}: {what}", row=where.row, about=column)
        return not strange

    def _is_no_token(self, where: Cell, column: str, items: Sequence[object]) -> bool:
        """Note PD383 where an answer is a token and the model's logits are of something else."""
        if not self.shape.d_vocab_out or self.tokenizer is None or not items:
            return False
        text = next((item for item in items if isinstance(item, str)), None)
        if text is None:
            return False
        digits = text.isascii() and text.isdigit() and column not in self.texts
        self.faults.add(
            "PD383",
            f"{where}: {quoted(text)} is a text, and the model's {self.shape.d_vocab_out} logits "
            "are not those of its tokens",
            row=where.row,
            about=column,
            advice=f"ids: [{column}]" if digits else f'{{"{column}": 0}}',
        )
        return True

    def _need_tokenizer(self, where: Cell, column: str = "", text: str = "") -> None:
        if not self._told_missing and not self.unread:  # it is the same for every row
            self._told_missing = True
            digits = text.isascii() and text.isdigit()
            self.faults.add(
                "PD342",
                f"{where} is a text, and the model comes without a tokenizer",
                row=where.row,
                advice=f"ids: [{column}]" if digits else '{"prompt": [3, 1, 2]}',
                notes=(
                    "the tokenizer belongs into the folder of the model; without one, prompts and "
                    "answers are token ids",
                ),
            )

    # ---------------------------------------------------------------- answers

    def answer(
        self, row: str, column: str, value: object, after: Mapping[str, Ids | None] | None = None
    ) -> Ids:
        """The accepted token ids of one answer, sorted as written; () with the fault noted.

        `after`: for every text, the ids by which it continues the row's prompt (see `continued`);
        without it a text is tokenised alone. PD329 (type or empty list), PD332 (ids), PD333 (not
        one token), PD342 (no tokenizer), PD354 (a Python list), PD357 (no continuation), PD383
        (logits of something else than tokens).
        """
        where = Cell(row=row, column=column)
        items: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
        if not items or not all(isinstance(item, str) or _whole(item) for item in items):
            self.faults.add(
                "PD329",
                f"{where}: found {shown(value)}, wanted one token as text or id, or a list of "
                "those",
                row=where.row,
                about=column,
            )
            return ()
        if self._is_no_token(where, column, items):
            return ()
        found: list[int] = []
        for item in items:
            if not isinstance(item, str):
                ids: Ids = (item,)
            elif after is None or self.tokenizer is None:
                ids = self._one_token(where, column, item)
            else:
                ids = self._continuing(where, column, item, after.get(item))
            if not ids or not self._known(where, column, ids, answer=True):
                return ()
            found += [one for one in ids if one not in found]
        return tuple(found)

    def whole(self, row: str, column: str, value: object, after: Mapping[str, Ids | None]) -> Ids:
        """The ids of one answer of any number of tokens, in order; () with the fault noted.

        A text is read as it continues the prompt (`after`, see `continued`), a list of ids as it
        is. PD329 (type), PD332 (ids), PD342 (no tokenizer), PD354 (a Python list), PD367 (no
        continuation, several texts).
        """
        where = Cell(row=row, column=column)
        items: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
        if not items or not (all(map(_whole, items)) or all(isinstance(i, str) for i in items)):
            self.faults.add(
                "PD329", f"{where}: found {shown(value)}, wanted an answer as text, or a list of "
                "token ids", row=where.row, about=column,
            )  # fmt: skip
            return ()
        if _whole(items[0]):
            ids: Ids | None = tuple(items)
        elif len(items) > 1:
            self.faults.add(
                "PD367", f"{where} lists {len(items)} texts, and `answers = whole` reads one "
                "answer for each prompt", row=where.row, about=column,
                advice="write the others into columns of their own",
            )  # fmt: skip
            return ()
        elif self.tokenizer is None:
            self._need_tokenizer(where, column, items[0])
            return ()
        else:
            ids = after.get(items[0])
            if what := self._no_answer(items[0], ids):
                repair = "" if column in self.texts else json_repair(items[0])
                if repair:
                    what = "is a list as Python writes it, not as JSON does"
                self.faults.add(
                    "PD354" if repair else "PD367", f"{where}: {quoted(items[0])} {what}",
                    row=where.row,
                    about=column, advice=repair,
                )  # fmt: skip
                return ()
        return ids if ids and self._known(where, column, ids, answer=True) else ()

    def _no_answer(self, text: str, ids: Ids | None) -> str:
        """Why a text does not stand behind its prompt as an answer; "" where it does."""
        assert self.tokenizer is not None
        if ids is None:
            if self._kinds == {"ids"}:
                return "is a text, and there is none before it: the prompts are token ids"
            return "makes other tokens of the end of the prompt"
        if not ids:
            return "has no tokens"
        if self.tokenizer.unk_token_id in ids and self.tokenizer.unk_token not in text:
            return "is not in the vocabulary"
        return ""

    def alone(self, text: str) -> Ids:
        """The ids of a text by itself, without special tokens; () without a tokenizer."""
        if text not in self._answers:
            if self.tokenizer is None:
                return ()
            self._answers[text] = _alone(self.tokenizer, text)
        return self._answers[text]

    def is_one(self, text: str) -> bool:
        """Whether a text by itself is exactly one token of the vocabulary."""
        ids = self.alone(text)
        if len(ids) != 1 or self.tokenizer is None:
            return False
        return ids[0] != self.tokenizer.unk_token_id or text == self.tokenizer.unk_token

    def continued(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Ids | None]:
        """The ids by which each text continues its prompt.

        None where there is no telling: the prompt is ids, or its own tokens become others.
        """
        whole = [(prompt.text or "") + text for prompt, text in zip(prompts, texts, strict=True)]
        if self.tokenizer is None or not whole:
            return [None] * len(whole)
        found: list[Ids | None] = []
        texts = list(dict.fromkeys(whole))
        encoded = self.tokenizer(texts, add_special_tokens=self._adds, return_attention_mask=False)
        ids_of = dict(zip(texts, encoded["input_ids"], strict=True))
        for prompt, text in zip(prompts, whole, strict=True):
            n, both = len(prompt.ids), (*self._first, *ids_of[text])
            kept = prompt.text is not None and both[:n] == prompt.ids
            found.append(both[n:] if kept else None)
        return found

    def _one_token(self, where: Cell, column: str, text: str) -> Ids:
        if self.tokenizer is None:
            self._need_tokenizer(where, column, text)
            return ()
        if self.is_one(text):
            return self.alone(text)
        if repair := "" if column in self.texts else json_repair(text):
            self.faults.add(
                "PD354", f"{where}: {shown(text)} is a list as Python writes it, not as JSON does",
                row=where.row,
                about=column, advice=repair,
            )  # fmt: skip
            return ()
        ids = self.alone(text)
        parts = listed(self.tokenizer.convert_ids_to_tokens(list(ids)))
        what = f"is {len(ids)} tokens ({parts})" if len(ids) != 1 else "is not in the vocabulary"
        self.faults.add(
            "PD333", f"{where}: {quoted(text)} {what}, wanted exactly one",
            row=where.row, about=column,
            advice=self._repair(column, text), notes=_SEVERAL if len(ids) > 1 else (),
        )  # fmt: skip
        return ()

    def _continuing(self, where: Cell, column: str, text: str, ids: Ids | None) -> Ids:
        """The one token by which a text continues the prompt; () with the fault noted."""
        assert self.tokenizer is not None
        if ids is not None and len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id:
            return ids
        if ids is None:
            what = "makes other tokens of the end of the prompt"
        elif len(ids) == 1:
            what = "is not in the vocabulary"
        else:
            what = f"is {len(ids)} tokens ({listed(self.words(ids))})"
        self.faults.add(
            "PD357", f"{where}: {quoted(text)} after the prompt {what}, and `tokens = continued` "
            "wants exactly one behind it", row=where.row, about=column, advice="tokens = alone",
            notes=_SEVERAL if ids and len(ids) > 1 else (),
        )  # fmt: skip
        return ()

    def _repair(self, column: str, text: str) -> str:
        """How an id is declared; or the word with or without its space, where that is one token.

        Of rows that nobody wrote, that an answer may be read as it continues the prompt.
        """
        if self.generated:
            return "tokens = continued"
        if text.isascii() and text.isdigit() and column not in self.texts:
            return f"ids: [{column}]"
        other = text[1:] if text.startswith(" ") else f" {text}"
        ids = self.alone(other) if other.strip() else ()
        if len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id:
            return f'"{other}"'
        return ""

    def words(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The tokens as text with their own blanks, for reports; the ids without a tokenizer."""
        if self.tokenizer is None:
            return tuple(str(one) for one in ids)
        return tuple(self._word(one) for one in ids)

    def logits(self, ids: Sequence[int]) -> tuple[str, ...]:
        """What logits are of, for reports: tokens as text, or numbers where they are of others."""
        return tuple(map(str, ids)) if self.shape.d_vocab_out else self.words(ids)

    def _word(self, one: int) -> str:
        """One token as text. SentencePiece's `▁` is a blank, which decoding it alone strips off."""
        if one not in self._words:
            text = self.tokenizer.decode([one])
            raw = self.tokenizer.convert_ids_to_tokens(one)
            blank = isinstance(raw, str) and raw.startswith("▁") and not text.startswith(" ")
            self._words[one] = f" {text}" if blank else text
        return self._words[one]


def _messages(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
