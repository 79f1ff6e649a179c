"""How errors of the same replicate go together at neighbouring sizes."""

from __future__ import annotations

import numpy as np

from analyze.stats.result import FloatArray

LEAST_EIGENVALUE = 1e-6


def stationary_correlation(values: FloatArray) -> FloatArray:
    """Return the correlation between sizes, shape (sizes, sizes), that depends on their distance only.

    `values` has shape (sizes, replicates), replicates in the same order at every size, NaN where there is no run. Each
    size is centred and scaled; products of sizes at the same distance are averaged over replicates and over sizes, as
    5 replicates say little about any single pair. Where the result is no correlation matrix, its negative eigenvalues
    are set to almost zero.

    Source: the eigenvalue method of Rousseeuw and Molenberghs (1993), Communications in Statistics - Theory and
    Methods 22, 965-984.
    """
    sizes = len(values)
    present = ~np.isnan(values)
    centred = np.where(present, values - np.nanmean(values, axis=1, keepdims=True), 0.0)
    scale = np.nanstd(values, axis=1, ddof=1, keepdims=True)
    scaled = np.divide(centred, scale, out=np.zeros_like(centred), where=scale > 0)
    lags = np.ones(sizes)
    for lag in range(1, sizes):
        pairs = np.sum(present[lag:] & present[:-lag], axis=1)
        lags[lag] = np.sum(scaled[lag:] * scaled[:-lag]) / max(np.maximum(pairs - 1, 0).sum(), 1)
    distance = np.abs(np.subtract.outer(np.arange(sizes), np.arange(sizes)))
    eigenvalues, vectors = np.linalg.eigh(lags[distance])
    proper = vectors * np.maximum(eigenvalues, LEAST_EIGENVALUE) @ vectors.T
    deviations = np.sqrt(np.diag(proper))
    return np.asarray(proper / np.outer(deviations, deviations))
