r"""The Hilbert-Schmidt independence criterion of two samples of numbers, and its permutation test.

With Gaussian kernels k(a, b) = exp(-(a - b)^2 / (2 s^2)), s the median of the positive distances of
each variable, K and L their matrices and H = 1 - 1/n: HSIC = tr(K H L H) / (n - 1)^2 (Gretton et
al. 2005). Neither matrix is built. A kernel of one variable has few large eigenvalues, so that a
pivoted Cholesky factorisation finds G with K = G G^T up to 1e-13 in every entry after a few dozen
columns (Fine and Scheinberg 2001, J. Mach. Learn. Res. 2:243; Bach and Jordan 2002 use it for
kernel measures of independence). With L = F F^T, tr(K H L H) is the sum of the squares of
(H G)^T F, and a permutation of y permutes the rows of F: n r^2 operations and n r numbers for rank
r, instead of n^2 of each.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["independence"]

RESIDUAL = 1e-13
DIRECT = 1000


def independence(x: np.ndarray, y: np.ndarray, draws: int, seed: int) -> tuple[float, float]:
    """HSIC of two samples (n,) and its p-value among `draws` permutations of the second."""
    n = len(x)
    if n < 2:
        return 0.0, 1.0
    one, other = (_factor(v) for v in (x, y))
    one = one - one.mean(axis=0)
    other = other - other.mean(axis=0)
    found = _squares(one.T @ other)
    # A sum that differs in its last digits only is the same: ties count.
    least = found - 1e-10 * float(np.sqrt(_squares(one.T @ one) * _squares(other.T @ other)))
    words = hashlib.sha256(b"independence").digest()
    generator = np.random.default_rng([seed % 2**64, int.from_bytes(words[:8], "big")])
    as_large = 0
    for _ in range(draws):
        as_large += _squares(one.T @ other[generator.permutation(n)]) >= least
    return found / (n - 1) ** 2, (1 + as_large) / (1 + draws)


def _squares(matrix: np.ndarray) -> float:
    return float((matrix**2).sum())


def _factor(x: np.ndarray) -> np.ndarray:
    """(n, r) G with G G^T the Gaussian kernel of x (n,), up to `RESIDUAL` in every entry."""
    n, width = len(x), _width(x)
    left = np.ones(n)
    columns = np.empty((n, 0))
    while len(columns.T) < n and left.max() > RESIDUAL:
        pivot = int(left.argmax())
        kernel = np.exp(-((x - x[pivot]) ** 2) / (2 * width**2))
        column = (kernel - columns @ columns[pivot]) / np.sqrt(left[pivot])
        columns = np.column_stack([columns, column])
        left = np.maximum(left - column**2, 0.0)
        left[pivot] = 0.0
    return columns


def _width(x: np.ndarray) -> float:
    """The median of the positive distances between values; 1 where there is none."""
    ordered = np.sort(x)
    n = len(x)
    if n <= DIRECT:
        gaps = np.abs(ordered[:, None] - ordered[None, :])[np.triu_indices(n, 1)]
        positive = gaps[gaps > 0]
        return float(np.median(positive)) if len(positive) else 1.0
    counts = np.unique(ordered, return_counts=True)[1].astype(np.int64)
    ties = int((counts * (counts - 1) // 2).sum())
    pairs = n * (n - 1) // 2 - ties
    if pairs == 0:
        return 1.0
    middle = [ties + (pairs - 1) // 2, ties + pairs // 2]
    return float(np.mean([_distance(ordered, rank) for rank in middle]))


def _distance(ordered: np.ndarray, rank: int) -> float:
    """The distance of the given rank, from 0, among those of all pairs of sorted values."""
    places = np.arange(len(ordered))
    low, high = 0.0, float(ordered[-1] - ordered[0])
    for _ in range(80):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        # How many pairs are at most so far apart.
        near = int((np.searchsorted(ordered, ordered + middle, side="right") - 1 - places).sum())
        low, high = (low, middle) if near > rank else (middle, high)
    return high
