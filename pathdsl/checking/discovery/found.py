"""What a discovery found, for its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pathdsl.checking.outcome import FileOutcome
from pathdsl.discover.acdc import OrderDependence
from pathdsl.discover.certificate import Certificate
from pathdsl.errors import Diagnostic, ExitCode
from pathdsl.score.kept.stability import Rivals, Stability
from pathdsl.score.results import PointResult, QuantityResult
from pathdsl.score.statistics.unverified import FalseNegativeBound

__all__ = ["Areas", "CurvePoint", "Discovery", "Forecast", "Reached"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a discovery will do, before any weight is read; costs in plain forward passes over the
    discovery rows, `memory` in bytes.

    `finding` and `judging` count rows, `rule` says how they were divided. `goal`: what circuits are
    measured for, "" for nothing. `subsets` are those of the bound, `curves` is the cost of these.
    """

    task: str
    metric: str
    method: str
    units: int
    kind: str
    finding: int
    judging: int
    rule: str
    scoring: float
    goal: str
    circuits: int
    measuring: float
    subsets: int
    bounding: float
    curves: float
    memory: int
    resumed: bool
    places: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """What the goal's score is of the circuit of one size on the discovery rows, nan for none."""

    wanted: int
    edges: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A goal that is no faithfulness: `score` with its options, `text` the whole of it.

    `finding` is the score of the written circuit on the discovery rows, `held_out` on the judging
    rows with its interval; None where it is undefined.
    """

    score: str
    text: str
    finding: float | None
    held_out: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Areas:
    """Circuits of growing size on the judging rows, as MIB measures them.

    `cpr` over circuits ranked by signed score, and `cmd` over those by absolute score, each with
    its interval; `points` of both. `warnings` are those of the language.
    """

    cpr: QuantityResult
    cmd: QuantityResult
    signed: tuple[PointResult, ...]
    absolute: tuple[PointResult, ...]
    warnings: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """A discovery that was written.

    `edges` of `units` are in the circuit; `dangling` were selected and lie on no path. `finding` is
    the faithfulness on the discovery rows, NaN where it is undefined, `unclaimed` why nothing is
    claimed ("" where something is), `held_out` on the judging rows with its interval, None
    where it is undefined. `placed`: nodes whose position the file names. `roles`: heads by role,
    with the attention that made it plain. `outcome`: the check of the file that was written.
    `goal`: of another goal than faithfulness. `areas`: where they were asked for. `chosen`:
    (edges,) bool among the edges `names`, as `stability` and `certificate` count them.
    """

    forecast: Forecast
    text: str
    wanted: int
    edges: int
    nodes: int
    units: int
    dangling: tuple[str, ...]
    tied: bool
    curve: tuple[CurvePoint, ...]
    reached: bool | None
    goal: Reached | None
    finding: float
    unclaimed: str
    held_out: float | None
    interval: tuple[float, float] | None
    roles: Mapping[str, tuple[str, str, float]]
    placed: bool
    not_placed: str
    names: tuple[str, ...]
    chosen: np.ndarray
    stability: Stability | None
    certificate: Certificate | None
    orders: OrderDependence | None
    rivals: tuple[Rivals, ...]
    bound: FalseNegativeBound | None
    areas: Areas | None
    outcome: FileOutcome
    written: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> ExitCode:
        """2 or 3 where the written file could not be judged; a draft that fails is no failure."""
        code = self.outcome.exit_code
        return code if code in (ExitCode.WRONG_INPUT, ExitCode.MACHINE_FAILED) else ExitCode(0)
