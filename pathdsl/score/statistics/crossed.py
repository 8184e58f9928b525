r"""Means over crossed rows: rows that share values of two fields, as names and sentences do.

Of a mean of prompts in the cells of a table of I rows and J columns, let u be what each prompt adds
to it (its influence over n) and R the sums of u over the rows of the table. Leaving out a row with
a share w of the prompts moves the mean by R/(1 - w), so that Vr = (I-1)/I sum (R/(1 - w))^2 is the
jackknife variance by rows; Vc is that by columns. Both count what is of the single cells, of which
Ve is an estimate: C/(C - rank) times the sum over the C cells of the squared residuals of an
additive fit. The variance is max(Vr, Vc, Vr + Vc - Ve), after Cameron, Gelbach and Miller 2011 (J.
Bus. Econ. Statist. 29:238), but never less than that of either way alone. Its degrees of freedom
are Satterthwaite's, where rows of shares w are 1/sum w^2 many (Kish 1965, Survey Sampling).

Skewed effects need a bootstrap as well. The pigeonhole draws the I rows and the J columns of the
table with replacement, each for itself; a cell is drawn as often as the product says (McCullagh
2000, Bernoulli 6:285; Owen 2007, Ann. Appl. Statist. 1:386). Its variance is too large, so that
its quantiles are of no use, but the studentised ones are: T* = (t* - t)/sqrt(Vr* + Vc*).

Where all prompts lie in one row (or column) of the table, the variance is that of the columns, of
quantities about this one row. Simulated in `benchmarks/crossed.py`; docs/levels.md has the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # few files cross two groups, and scipy.sparse takes long to import
    from scipy.sparse import csr_array

__all__ = ["Effects", "Table", "Variance"]

BLOCK_ENTRIES = 2_000_000

Effects = tuple[np.ndarray, np.ndarray, np.ndarray]
"""What the rows, the columns and the cells of a table add to a mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variance:
    """The variance of a mean in its parts: of rows, of columns, and of cells, which both count."""

    rows: float
    columns: float
    cells: float
    df_rows: float
    df_columns: float
    df_cells: float

    @property
    def total(self) -> float:
        """The variance of the estimate."""
        return max(self.rows, self.columns, self.rows + self.columns - self.cells)

    @property
    def se(self) -> float:
        """Its standard error."""
        return float(np.sqrt(self.total))

    @property
    def df(self) -> float:
        """Satterthwaite's degrees of freedom, at least those of the field with fewer values.

        They are 0 in one cell.
        """
        parts = (
            (self.rows, self.df_rows), (self.columns, self.df_columns), (self.cells, self.df_cells)
        )  # fmt: skip
        below = sum(part**2 / df for part, df in parts if df > 0)
        least = min((df for df in (self.df_rows, self.df_columns) if df > 0), default=0.0)
        return max(least, self.total**2 / below) if below > 0 else least


class Table:
    """The cells in which the rows of a task lie; labels are (n,) arrays of anything sortable."""

    def __init__(self, row: np.ndarray, column: np.ndarray) -> None:
        _, self.row = np.unique(row, return_inverse=True)
        _, self.column = np.unique(column, return_inverse=True)
        self.n = len(self.row)
        self.n_rows = int(self.row.max(initial=-1)) + 1
        self.n_columns = int(self.column.max(initial=-1)) + 1
        cells, self.cell = np.unique(self.row * self.n_columns + self.column, return_inverse=True)
        self.n_cells = len(cells)
        self._cell_row, self._cell_column = np.divmod(cells, self.n_columns)
        self._size = np.bincount(self.cell)

    @cached_property
    def units(self) -> int:
        """How many cells can be chosen of which no two share a row or a column.

        Nothing connects the prompts of these, so exact rules for independent rows hold for them.
        """
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_bipartite_matching

        table = csr_array(
            (np.ones(self.n_cells), (self._cell_row, self._cell_column)),
            shape=(self.n_rows, self.n_columns),
        )
        return int((maximum_bipartite_matching(table, perm_type="column") >= 0).sum())

    @cached_property
    def _additive(self) -> tuple[csr_array, int]:
        """The design of rows and columns on the cells, weighted by their sizes, and its rank."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        place = np.stack([self._cell_row, self.n_rows + self._cell_column], axis=1).ravel()
        weight = np.repeat(np.sqrt(self._size), 2)
        index = (np.repeat(np.arange(self.n_cells), 2), place)
        ways = self.n_rows + self.n_columns
        design = csr_array((weight, index), shape=(self.n_cells, ways))
        return design, ways - int(connected_components(design.T @ design, directed=False)[0])

    def effects(self, influence: np.ndarray) -> Effects:
        """What rows, columns and cells of the table add to a mean, from (n,) influence of sum 0.

        Linear in the influence: the effects of A - cB are those of A less c times those of B.
        """
        from scipy.sparse.linalg import lsqr

        u = influence / self.n
        cells = np.zeros(self.n_cells)
        design, rank = self._additive
        if self.n_cells > rank:
            weight = np.sqrt(self._size)
            mean = np.bincount(self.cell, u) / weight
            cells = weight * (mean - design @ lsqr(design, mean, atol=1e-13, btol=1e-13)[0])
        return np.bincount(self.row, u), np.bincount(self.column, u), cells

    def variance(self, effects: Effects) -> Variance:
        """Of a mean with these effects."""
        rows, columns, cells = effects
        df = self.n_cells - self._additive[1]
        return Variance(
            rows=_left_out(rows, np.bincount(self.row) / self.n),
            columns=_left_out(columns, np.bincount(self.column) / self.n),
            cells=float(self.n_cells / df * (cells**2).sum()) if df > 0 else 0.0,
            df_rows=_effective(self.row) - 1,
            df_columns=_effective(self.column) - 1,
            df_cells=df,
        )

    def counts(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """(count, n) how often each prompt is drawn in `count` pigeonhole resamples."""
        rows, columns = self._draw(count, generator)
        return rows[:, self.row] * columns[:, self.column]

    def resamples(
        self, sums: np.ndarray, count: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means of (n, k) `sums` under `count` resamples, with the covariance of each.

        Returns (count, k) means and (count, k, k) covariances Vr* + Vc* of these means. A smooth
        function g of means has T* = (g(m*) - g(m)) / sqrt(g'(m*) S* g'(m*)), a ratio by its score
        the same with g = A - cB. Resamples that draw no prompt have nan.
        """
        from scipy.sparse import csr_array

        k = sums.shape[1]
        sides = []
        for own, other, n_own, n_other in (
            (self.row, self.column, self.n_rows, self.n_columns),
            (self.column, self.row, self.n_columns, self.n_rows),
        ):
            places = own[:, None] * (k + 1) + np.arange(k + 1)
            values = np.column_stack([sums, np.ones(self.n)])
            index = (np.repeat(other, k + 1), places.ravel())
            sides.append(csr_array((values.ravel(), index), shape=(n_other, n_own * (k + 1))))
        means, covariances = [], []
        # The size of a block is part of what is drawn: it must not depend on the columns.
        block = max(1, BLOCK_ENTRIES // max(self.n, 8 * (self.n_rows + self.n_columns)))
        for start in range(0, count, block):
            rows, columns = self._draw(min(block, count - start), generator)
            sizes = (len(rows), -1, k + 1)
            by_row = (columns @ sides[0]).reshape(sizes)
            by_column = (rows @ sides[1]).reshape(sizes)
            whole = np.einsum("bi,bik->bk", rows, by_row)
            with np.errstate(all="ignore"):
                mean = whole[:, :k] / whole[:, k:]
                found = _moments(rows, by_row, mean) + _moments(columns, by_column, mean)
                covariances.append(found)
            means.append(mean)
        return np.concatenate(means), np.concatenate(covariances)

    def _draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """How often each row and each column of the table is drawn, (count, rows or columns)."""
        rows, columns = (
            generator.multinomial(n, np.full(n, 1 / n), count).astype(np.float64)
            if n > 1 else np.ones((count, 1))
            for n in (self.n_rows, self.n_columns)
        )  # fmt: skip
        return rows, columns


def _effective(cluster: np.ndarray) -> float:
    """How many clusters of equal size a mean over these depends on as much; 1 for one cluster."""
    shares = np.bincount(cluster) / len(cluster)
    return float(1 / (shares**2).sum())


def _left_out(sums: np.ndarray, shares: np.ndarray) -> float:
    """The jackknife variance of a mean from the sums of its influence in n clusters.

    Leaving a cluster with a share w of the prompts out moves the mean by x/(1 - w). 0 where there
    is one cluster, about which the estimate then is.
    """
    n = len(sums)
    return float((n - 1) / n * ((sums / (1 - shares)) ** 2).sum()) if n > 1 else 0.0


def _moments(drawn: np.ndarray, sums: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """(block, k, k) the jackknife covariances of resampled means, each drawn cluster left out."""
    n = drawn.shape[1]
    if n < 2:
        return np.zeros((len(drawn), mean.shape[1], mean.shape[1]))
    whole = np.einsum("bi,bi->b", drawn, sums[:, :, -1])
    left = sums[:, :, :-1] - sums[:, :, -1:] * mean[:, None, :]
    left = left / (whole[:, None, None] - sums[:, :, -1:])
    return np.einsum("bi,bik,bil->bkl", drawn, left, left) * ((n - 1) / n)
