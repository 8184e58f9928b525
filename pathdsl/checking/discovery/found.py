"""What a discovery found, for its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pathdsl.checking.outcome import FileOutcome
from pathdsl.discover.acdc import OrderDependence
from pathdsl.errors import ExitCode
from pathdsl.score.kept.stability import Rivals, Stability
from pathdsl.score.statistics.unverified import FalseNegativeBound

__all__ = ["CurvePoint", "Discovery", "Forecast"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a discovery will do, before any weight is read; costs in plain forward passes over the
    discovery rows, `memory` in bytes.

    `finding` and `judging` count rows, `rule` says how they were divided.
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
    circuits: int
    measuring: float
    bounding: float
    memory: int
    resumed: bool
    places: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The faithfulness of the circuit of one size on the discovery rows."""

    wanted: int
    edges: int
    faithfulness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """A discovery that was written.

    `edges` of `units` are in the circuit; `dangling` were selected and lie on no path. `finding` is
    the faithfulness on the discovery rows, `held_out` on the judging rows with its interval, None
    where it is undefined. `placed`: nodes whose position the file names. `roles`: heads by role,
    with the attention that made it plain. `outcome`: the check of the file that was written.
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
    finding: float
    held_out: float | None
    interval: tuple[float, float] | None
    roles: Mapping[str, tuple[str, str, float]]
    placed: bool
    not_placed: str
    stability: Stability | None
    orders: OrderDependence | None
    rivals: tuple[Rivals, ...]
    bound: FalseNegativeBound | None
    outcome: FileOutcome
    written: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> ExitCode:
        """2 or 3 where the written file could not be judged; a draft that fails is no failure."""
        code = self.outcome.exit_code
        return code if code in (ExitCode.WRONG_INPUT, ExitCode.MACHINE_FAILED) else ExitCode(0)
