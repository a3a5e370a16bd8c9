"""Connected components of a block of a class map: pixels of one class that share edges."""

from __future__ import annotations

import typing

import numpy as np


class Components(typing.NamedTuple):
    """The 4-connected components of a block, numbered by their first pixels.

    Attributes:
        labels: Component of each pixel, `(H, W)` int32.
        values: Value of each component.
        runs: First pixels of the runs of equal pixels in a row, as flat indices.
        of_run: Component of each run.
    """

    labels: np.ndarray
    values: np.ndarray
    runs: np.ndarray
    of_run: np.ndarray

    @property
    def pixels(self) -> np.ndarray:
        """Number of pixels of each component, float64."""
        lengths = np.diff(self.runs, append=self.labels.size)
        return np.bincount(self.of_run, lengths, minlength=len(self.values))

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """Sum of the weights of each component's pixels, float64. Weights: `(H, W)`."""
        of_runs = np.add.reduceat(weights.ravel(), self.runs, dtype=np.float64)
        return np.bincount(self.of_run, of_runs, minlength=len(self.values))


def find_components(values: np.ndarray) -> Components:
    """The components of `(H, W)` values."""
    width = values.shape[1]
    starts = np.ones(values.shape, bool)
    np.not_equal(values[:, 1:], values[:, :-1], out=starts[:, 1:])
    runs = np.flatnonzero(starts)
    of_pixel = np.cumsum(starts.ravel(), dtype=np.int32) - 1
    # Two runs that touch do so first where one of them starts.
    touching = np.flatnonzero((values[1:] == values[:-1]) & (starts[1:] | starts[:-1]))
    count, of_run = connected(len(runs), of_pixel[touching], of_pixel[touching + width])
    of_value = np.zeros(count, values.dtype)
    of_value[of_run] = values.ravel()[runs]
    return Components(of_run[of_pixel].reshape(values.shape), of_value, runs, of_run)


def connected(nodes: int, first: np.ndarray, second: np.ndarray) -> tuple[int, np.ndarray]:
    """Number of the connected components of a graph, and that of each node.

    Args:
        nodes: Number of nodes.
        first: One node of each edge.
        second: The other one.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(first)), (first, second)), shape=(nodes, nodes))
    return connected_components(graph.tocsr(), directed=False)
