"""What a sceptical reader asks of a result first, on one page: the section "For a referee".

What is claimed of which share of the model, and what else would satisfy it; against which controls;
on which prompts and chosen how; how many chances there were; what was tried and not claimed; what
the check warned of; and what no report can tell. Made from the JSON object of a file alone: what an
older result does not hold is "not known".

    page = FileContent(file, checked=False).referee
    [(section.title, [point.text for point in section.points]) for section in page.sections]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pathdsl.lang.method.families import MANY_COPIES
from pathdsl.lang.signatures.methods import correction_of
from pathdsl.report.content.claims import ClaimContent, bounds, written_claim
from pathdsl.report.content.method import metrics_text, norms_text
from pathdsl.report.content.path_sets import PathSetRow
from pathdsl.report.content.rows import Object, noise_of, split_name
from pathdsl.report.numbers import many, nothing_to_treat, share_text, shown

__all__ = ["Point", "RefereeContent", "RefereeSection", "referee_content"]

NOT_KNOWN = "not known: the result is of an earlier version"
MOST_CLAIMS, TELLING = 9, 6
"""Claims, loops as one, that are shown; of more than these the most telling ones alone."""
MOST_CONTROLS, MOST_TASKS, MOST_NAMES = 3, 2, 8
"""Controls, tasks and names of one list that are shown; others are counted."""
LIMITS = "what was looked at before the file was written, nor whether its names are true"


class Point(NamedTuple):
    """One thing that is said: of `name`, with its `verdict` in the `tone` of claims, or "" of both.

    `text` is read first and `more`, in parts, second.
    """

    name: str
    verdict: str
    tone: str
    text: str
    more: tuple[str, ...]


class RefereeSection(NamedTuple):
    """The answers to one question; `rest` says how many more points there are, "" for none."""

    title: str
    points: tuple[Point, ...]
    rest: str


class RefereeContent(NamedTuple):
    """The page of one file: what came out, of what, and the answers."""

    headline: str
    origin: str
    sections: tuple[RefereeSection, ...]


class _Family:
    """A claim, or the members of one loop, as one entry of the page; `every` are all claims."""

    def __init__(self, file: Object, places: Sequence[int], contents: Sequence[ClaimContent]):
        self.file = file
        self.places = places
        self.every = contents
        self.contents = [contents[place] for place in places]
        self.objects: list[Object] = [file["claims"][place] for place in places]
        self.declared = split_name(self.objects[0]["name"])[0]
        weakest = min(range(len(places)), key=lambda i: _margin(self.objects[i]))
        self.weakest, self.weakest_object = self.contents[weakest], self.objects[weakest]

    @property
    def name(self) -> str:
        return self.contents[0].name if len(self.objects) == 1 else self.declared

    @property
    def controls(self) -> list[int] | None:
        """The places of the claims that are controls of it; None where nobody asked or knows."""
        found = [one.get("controls") for one in self.objects]
        if any(one is None for one in found):
            return None
        return list(dict.fromkeys(place for one in found for place in one or ()))

    @property
    def is_control(self) -> bool:
        return any(one.get("no_control") is not None for one in self.objects)

    def satisfied_by(self, paths: str) -> int:
        """How many members `none` or `full` in the place of every one of their sets satisfies."""
        answers = [_answers(one, paths) for one in self.objects]
        return sum(bool(one) and all(answer["satisfied"] for answer in one) for one in answers)

    def rank(self) -> tuple[bool, ...]:
        """What is most telling comes first: the sort key among the claims of a long file."""
        return (
            all(one.as_expected for one in self.contents),
            not self.satisfied_by("none"),
            self.controls != [],
        )


def referee_content(
    file: Object, claims: Sequence[ClaimContent], headline: str, origin: str
) -> RefereeContent:
    """The page of one file; `claims` are its claims in texts, `origin` of what it came out."""
    places: dict[str, list[int]] = {}
    for place, claim in enumerate(file["claims"]):
        places.setdefault(split_name(claim["name"])[0], []).append(place)
    families = [_Family(file, some, claims) for some in places.values()]
    sections = (
        _claimed(file, families),
        _metrics(file),
        _controls(file, families),
        _prompts(file),
        _chances(file, families),
        _not_claimed(file),
        _warned(file),
        _limits(file),
    )
    kept = tuple(section for section in sections if section.points)
    return RefereeContent(headline, origin, kept)


def _section(title: str, points: Iterable[Point], most: int, word: str) -> RefereeSection:
    found = list(points)
    kept = found if len(found) <= most else found[: most - 1]
    left = len(found) - len(kept)
    rest = f"… and {many(left, f'more {word}')}" if left else ""
    return RefereeSection(title, tuple(kept), rest)


# ------------------------------------------------------------------------------- claims


def _claimed(file: Object, families: Sequence[_Family]) -> RefereeSection:
    """The claims in their order; of many the most telling ones, and counts of the others."""
    shown_ones, rest = list(families), ""
    if len(families) > MOST_CLAIMS:
        ranked = sorted(families, key=_Family.rank)
        shown_ones, others = ranked[:TELLING], ranked[TELLING:]
        claims = [claim for family in others for claim in family.contents]
        counts = Counter(claim.came_out for claim in claims)
        said = ", ".join(f"{count:,} {words}" for words, count in counts.items())
        rest = f"… and {many(len(claims), 'more claim')}: {said}"
    old = [
        what
        for key, what in (("path_sets", "path sets"), ("instead", "what none and full would give"))
        if any(key not in claim for claim in file["claims"])
    ]
    if old:
        rest = "; ".join(text for text in (rest, f"{' and '.join(old)}: {NOT_KNOWN}") if text)
    method = file["methodology"]
    model = method.get("models") or method.get("model", "the model")
    title = f"What is claimed of {model}"
    if any(_answers(one, paths) for one in file["claims"] for paths in ("none", "full")):
        title += "; would no path (none) or all paths (full) do as well?"
    return RefereeSection(title, tuple(map(_claim, shown_ones)), rest)


def _claim(family: _Family) -> Point:
    first, found = family.weakest, family.contents
    of = f" (worst of {len(first.members):,})" if first.members else ""
    number = f"{first.numbers}{of} {first.asked}"
    if len(found) > 1:
        number = f"weakest {split_name(first.name)[1]} {number}"
    parts = (_sizes, _on, _instead, _against, _parts)
    more = tuple(said for part in parts for said in part(family))
    verdicts = Counter(one.came_out for one in found)
    verdict = ", ".join(
        f"{count} {words}" if len(found) > 1 else words for words, count in verdicts.items()
    )
    tones = {one.tone for one in found}
    tone = next(one for one in ("bad", "open", "good") if one in tones)
    return Point(family.name, verdict, tone, f"{number}, {_asked(family)}", more)


def _asked(family: _Family) -> str:
    """The comparison as written, with the lets that it names; the number wanted where it is not."""
    return family.weakest.comparison or f"wanted {family.weakest.wanted}"


def _on(family: _Family) -> Iterator[str]:
    """On how many prompts."""
    first, claim = family.weakest, family.weakest_object
    yield f"n = {first.n_text}" if first.n_text else "of no prompt"
    if claim.get("unchanged"):
        yield nothing_to_treat(claim["unchanged"])


def _parts(family: _Family) -> Iterator[str]:
    """In how many groups of prompts the estimate does not satisfy the claim."""
    parts = [part for one in family.objects for part in one.get("parts", ())]
    fails = [part for part in parts if part["satisfied"] is False]
    if fails:
        yield f"does not hold in {len(fails):,} of {len(parts):,} parts by {fails[0]['field']}"


def _sizes(family: _Family) -> Iterator[str]:
    """`main: 18 of 20 nodes, 60% of edges`, for each set; those of a loop's members together."""
    sets = family.file.get("path_sets")
    if any("path_sets" not in one for one in family.objects) or sets is None:
        return
    forms: dict[str, list[Object]] = {}
    for place in dict.fromkeys(p for one in family.objects for p in one["path_sets"]):
        forms.setdefault(sets[place].get("form", sets[place]["name"]), []).append(sets[place])
    for some in forms.values():
        row = PathSetRow(some, (), False)
        edges = [(one["edges"], one["of_edges"]) for one in some if one["edges"] is not None]
        size = f"{row.nodes} nodes, {share_text(edges)} of edges" if edges else "not counted"
        yield f"{row.name}: {size}"


def _answers(claim: Object, paths: str) -> list[Object]:
    """What a claim gives with `none` or `full` in the place of each of its sets."""
    return [
        one
        for one in claim.get("instead", ())
        if one["paths"] == paths and one["satisfied"] is not None
    ]


def _instead(family: _Family) -> Iterator[str]:
    """What no path and all paths in the place of the sets give."""
    noise = noise_of(family.file)
    said = []
    for paths in ("none", "full"):
        if len(family.objects) > 1:
            asked = sum(bool(_answers(one, paths)) for one in family.objects)
            if asked:
                said.append(f"{paths} {family.satisfied_by(paths):,} of {asked:,}")
            continue
        for one in _answers(family.objects[0], paths):
            of = f" for {one['of']}" if len(_answers(family.objects[0], paths)) > 1 else ""
            value = "" if one["estimate"] is None else f" {shown(one['estimate'], None, noise)}"
            said.append(f"{paths}{of}{value} {'yes' if one['satisfied'] else 'no'}")
    if said and not family.is_control:
        yield ", ".join(said)


def _against(family: _Family) -> Iterator[str]:
    """The controls of a claim with what they scored."""
    if family.controls == []:
        yield "no control"
    elif family.controls is not None:
        own = set(family.places)
        others = [place for place in family.controls if place not in own]
        if not others:
            yield "compared with random sets itself"
            return
        more = f", {len(others) - 1:,} more" if len(others) > 1 else ""
        claim = family.file["claims"][others[0]]
        failed = "" if claim["as_expected"] else " NOT as expected"
        yield f"control {family.every[others[0]].estimate}{failed}{more}"


def _margin(claim: Object) -> tuple[bool, float]:
    """How far a claim is from failing, or from what is expected of it; undefined ones first."""
    estimate, threshold = claim["estimate"], claim["threshold"]
    if estimate is None or threshold is None:
        return claim["as_expected"], float("-inf")
    if claim["within"] is not None:
        margin = claim["within"] - abs(estimate - threshold)
    else:
        low = bounds(claim)[0]
        margin = estimate - low if claim["relation"].startswith(">") else low - estimate
    return claim["as_expected"], -margin if claim["expected"] == "refuted" else margin


def _metrics(file: Object) -> RefereeSection:
    """What the metrics are: their names are the author's."""
    said = metrics_text(file)
    return RefereeSection("Metrics", (Point("", "", "", said, ()),) if said else (), "")


# ------------------------------------------------------------------------------- controls


def _controls(file: Object, families: Sequence[_Family]) -> RefereeSection:
    """The claims about random sets, what they scored and of what they are controls."""
    title = "Against which controls"
    if file["claims"] and any("controls" not in one for one in file["claims"]):
        return RefereeSection(title, (Point("", "", "", NOT_KNOWN, ()),), "")
    points = [_control(file, family) for family in families if family.is_control]
    without = [family.declared for family in families if family.controls == []]
    made = _section(title, points, MOST_CONTROLS, "control")
    last = [Point("", "", "bad", f"none for {_names(without)}", ())] if without else []
    if not points and not without and families:
        last = [Point("", "", "", "no claim asks for one", ())]
    return made._replace(points=(*made.points, *last))


def _control(file: Object, family: _Family) -> Point:
    first = family.weakest
    of = [
        split_name(claim["name"])[0]
        for claim in file["claims"]
        if set(claim["controls"] or ()) & set(family.places)
    ]
    why = next((one["no_control"] for one in family.objects if one["no_control"]), "")
    says = f"counts for {_names(dict.fromkeys(of))}" if of else f"counts for no claim: {why}"
    text = f"{first.estimate}, wanted {first.wanted}, {first.came_out}; {says}"
    return Point(family.name, "", "" if of else "bad", text, ())


# ------------------------------------------------------------------------------- prompts


def _prompts(file: Object) -> RefereeSection:
    tasks = [task for task in file.get("tasks", ()) if task["read"]]
    if "tasks" not in file and file["claims"]:
        return RefereeSection("On which prompts", (Point("", "", "", NOT_KNOWN, ()),), "")
    points = [_task(file, task) for task in tasks]
    return _section("On which prompts", points, MOST_TASKS, "task")


def _task(file: Object, task: Object) -> Point:
    """How many prompts, from where, chosen how, against what; and what they are too few for."""
    prompts, method, name = task["prompts"], file["methodology"], task["name"]
    distinct = task.get("distinct")
    count = many(prompts, "prompt") + ", distinct ones not counted"
    if distinct is not None:
        count = f"{distinct:,} distinct of {many(prompts, 'prompt')}"
    if task.get("near_copies"):
        count += f", {task['near_copies']:,} of them one token apart"
    if "data" in task:
        where = "no filter"
        if task["where"]:
            where = f"{prompts:,} of {task['rows']:,} rows, where {task['where']}"
        digest = f"rows sha256 {task['sha256'][:12]}"
        texts = [count, f"from {task['data']}", task["taken"], where, digest]
    else:  # an older result says it in one line, if at all
        texts = [count, method.get(f"task {name}", "source and filter not known")]
    text = "; ".join(said for said in texts if said)
    more = []
    for kind in ("treated", "norm", "routing", "average", "unseen"):
        said = method.get(f"{kind} {name}", method.get(kind))
        if said is not None:
            more.append(f"{kind}: {said}")
        elif kind == "unseen":
            more.append("unseen: not known")
    return Point(name, "", "", text, tuple(more))


# ------------------------------------------------------------------------------- chances


def _chances(file: Object, families: Sequence[_Family]) -> RefereeSection:
    """How many claims could be supported by luck, and which of them were corrected for that."""
    title = "How many chances"
    judged = [f for f in families if any(_by_chance(claim) for claim in f.objects)]
    if not judged:
        return RefereeSection(title, (), "")
    corrected = [family for family in judged if _is_corrected(family)]
    alone = [family for family in judged if family not in corrected]
    total = sum(len(family.objects) for family in judged)
    parts = [f"{many(total, 'claim')} decided by intervals or tests"]
    if corrected:
        count = sum(len(family.objects) for family in corrected)
        names = _names(family.declared for family in corrected)
        parts.append(f"{count:,} corrected for their number ({names})")
    if alone:
        count = sum(len(family.objects) for family in alone)
        parts.append(f"{count:,} uncorrected{_one_form(alone)}")
    return RefereeSection(title, (Point("", "", "", "; ".join(parts), ()),), "")


def _by_chance(claim: Object) -> bool:
    """Whether prompts decide a claim, so that it can come out by luck."""
    return claim["confidence"] is not None or claim["p_value"] is not None


def _is_corrected(family: _Family) -> bool:
    """Whether the levels or p-values of a claim's members are corrected for their number."""
    written = written_claim(family.objects[0]["name"], family.file)[0]
    if written is not None:
        return bool(correction_of(written))
    levels = ((claim["level"], claim["confidence"]) for claim in family.objects)
    return any(level is not None and level != asked for level, asked in levels)


def _one_form(families: Iterable[_Family]) -> str:
    """How many of these claims measure one thing at most; "" where nobody compared them."""
    claims = [claim for family in families for claim in family.objects]
    forms = Counter(claim["about"] for claim in claims if claim.get("about"))
    if not forms:
        return ""
    form, count = forms.most_common(1)[0]
    if count == 1:
        return ", no two of one form"
    return f", {count:,} of one form" + (f": {form}" if count >= MANY_COPIES else "")


# ------------------------------------------------------------------------------- not claimed


def _not_claimed(file: Object) -> RefereeSection:
    """What the file measures or declares and claims nothing about."""
    title = "Tried and not claimed"
    if file["exit_code"] in (2, 3):
        return RefereeSection(title, (), "")
    quantities = file["quantities"]
    if "not_claimed" not in file or any("claimed" not in one for one in quantities):
        return RefereeSection(title, (Point("", "", "", NOT_KNOWN, ()),), "")
    loops: dict[str, list[bool]] = {}
    for one in quantities:
        loops.setdefault(split_name(one["name"])[0], []).append(one["claimed"])
    told = []
    for name, claimed in loops.items():
        if not all(claimed):
            count = f" ({claimed.count(False):,} of {len(claimed):,})" if len(claimed) > 1 else ""
            told.append(name + count)
    lists = {"quantities": told, "path sets": [], "metrics": [], "tasks": []}
    words = {"path": "path sets", "metric": "metrics", "task": "tasks"}
    for one in file["not_claimed"]:
        unread = "" if one["measured"] else " (not measured either)"
        lists[words[one["kind"]]].append(one["name"] + unread)
    said = [f"{what} {_names(names)}" for what, names in lists.items() if names]
    said = said or ["nothing: every quantity, path set, metric and task has a claim"]
    return RefereeSection(title, (Point("", "", "", "; ".join(said), ()),), "")


# ------------------------------------------------------------------------------- the rest


def _warned(file: Object) -> RefereeSection:
    """The warnings of the check by their codes, errors first."""
    counts: Counter[tuple[str, str, str]] = Counter(
        (one["severity"], one["code"], one["name"]) for one in file["diagnostics"]
    )
    said = [
        f"{code} {name}" + (f" ×{count}" if count > 1 else "")
        for (_, code, name), count in sorted(counts.items())
    ]
    wrong = any(severity == "error" for severity, _, _ in counts)
    text, tone = _names(said) or "none", "bad" if wrong else "open" if said else ""
    return RefereeSection("Warnings of the check", (Point("", "", tone, text, ()),), "")


def _limits(file: Object) -> RefereeSection:
    """What was not varied here, and what no report knows."""
    if file["exit_code"] in (2, 3):
        return RefereeSection("", (), "")
    norms = norms_text(file)
    mode = "" if norms else "norm mode, "
    varied = f"{mode}treated value, positions, direction, seeds (`pathdsl robustness`)"
    points = (
        *([Point("", "", "", norms, ())] if norms else []),
        Point("", "", "", f"not varied here: {varied}", ()),
        Point("", "", "", f"no report knows {LIMITS}", ()),
    )
    return RefereeSection("What is not known", points, "")


def _names(names: Iterable[str]) -> str:
    """Names in a row; of many the first, and how many more."""
    found = list(names)
    kept = found if len(found) <= MOST_NAMES else found[: MOST_NAMES - 1]
    more = [f"{len(found) - len(kept)} more"] if len(found) > len(kept) else []
    return ", ".join([*kept, *more])
