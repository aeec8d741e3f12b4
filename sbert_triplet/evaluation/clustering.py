"""Clustering: do the groups that k-means finds among the embeddings follow the given classes?

k-means looks for as many groups as there are classes and is told nothing else. The V-measure (Rosenberg and
Hirschberg 2007, aclanthology.org/D07-1043) is the harmonic mean of homogeneity (a group holds one class) and
completeness (a class lies in one group): twice the mutual information of groups and classes over the sum of
their entropies. It is no mean over items.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix

from sbert_triplet.data.components import number_by_appearance
from sbert_triplet.data.examples import FloatArray, IntArray
from sbert_triplet.evaluation.resampling import Statistic
from sbert_triplet.evaluation.results import MetricValues
from sbert_triplet.nearest import Embeddings, Similarity
from sbert_triplet.nearest.rows import finite_rows, unit_rows

MOST_AT_ONCE = 10_000
"""With more texts, k-means sees them in batches."""
RESTARTS = 10
"""Starts of k-means, of which the one of least inertia is taken."""
_BATCH = 4_096


def evaluate_clustering(
    embeddings: Embeddings, labels: IntArray, *, similarity: Similarity, seed: int = 13
) -> tuple[MetricValues, IntArray]:
    """The V-measure of groups (n,) that ``cluster`` finds in embeddings (n, D), and these groups.

    ``labels`` (n,): the class of each text. With fewer than two classes: NaN with a warning.
    """
    if len(embeddings) != len(labels):
        raise ValueError(f"{len(embeddings)} embeddings, but {len(labels)} labels")
    classes = len(np.unique(labels))
    if classes < 2:
        reason = f"the texts are of {classes} class{'' if classes == 1 else 'es'}, and it takes 2"
        warnings.warn(f"V-measure is undefined: {reason}", RuntimeWarning, stacklevel=2)
        undefined = MetricValues("V-measure", float("nan"), undefined=reason)
        return undefined, np.zeros(len(labels), dtype=np.int64)
    groups = cluster(embeddings, classes, similarity=similarity, seed=seed)
    value = V_MEASURE(groups.astype(np.float64), labels.astype(np.float64))
    return MetricValues("V-measure", value), groups


def cluster(
    embeddings: Embeddings,
    count: int,
    *,
    similarity: Similarity,
    seed: int = 13,
    most_at_once: int = MOST_AT_ONCE,
) -> IntArray:
    """(n,) the group of each of n embeddings (n, D), of ``count`` groups by k-means.

    Under cosine of unit vectors, else of the embeddings as they are: k-means itself knows only Euclidean
    distance. Embeddings of fewer distinct points than ``count`` make fewer groups. Raises InputError for
    embeddings that are not finite.
    """
    # Takes long to import, and few measurements need it.
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    points = finite_rows(embeddings, "embeddings", np.float32)
    if similarity == "cosine":
        points = unit_rows(points)
    if len(points) <= most_at_once:
        found = KMeans(count, n_init=RESTARTS, random_state=seed)
    else:
        found = MiniBatchKMeans(count, n_init=RESTARTS, random_state=seed, batch_size=_BATCH)
    with warnings.catch_warnings():
        # Fewer distinct points than classes: the measure says it, by a value near 0.
        warnings.simplefilter("ignore", ConvergenceWarning)
        groups: IntArray = found.fit_predict(points).astype(np.int64)
    return groups


def _v_measure(groups: FloatArray, labels: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """The V-measure of resamples, by the counts of each group, each class and each of their meetings."""
    # By appearance, so that the same groups under other names give the same value to the last digit.
    group_of, class_of = number_by_appearance(groups), number_by_appearance(labels)
    both = number_by_appearance(group_of * (class_of.max(initial=0) + 1) + class_of)
    sides = [_sums_by(of) for of in (group_of, class_of, both)]

    def of_counts(counts: FloatArray) -> FloatArray:
        by_group, by_class, together = (_entropy(side @ counts) for side in sides)
        with np.errstate(divide="ignore", invalid="ignore"):
            result: FloatArray = 2 * (by_group + by_class - together) / (by_group + by_class)
        # One class alone says nothing; what rounding leaves of no agreement is none.
        return np.where(by_class > 0, np.clip(result, 0.0, 1.0), np.nan)

    return of_counts


def _sums_by(numbers: IntArray) -> csr_matrix:
    """(K, n) matrix that sums n items by their numbers, 0 to K - 1."""
    items = len(numbers)
    shape = (int(numbers.max(initial=-1)) + 1, items)
    return csr_matrix((np.ones(items), (numbers, np.arange(items))), shape=shape)


def _entropy(counts: FloatArray) -> FloatArray:
    """(R,) entropies of the columns of (K, R) counts."""
    shares = counts / counts.sum(axis=0)
    logarithms = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    entropy: FloatArray = -np.einsum("kr,kr->r", shares, logarithms)
    # A single cell gives -0.0 or rounding.
    return np.maximum(entropy, 0.0)


V_MEASURE = Statistic("V-measure", _v_measure, common_scale=None)
"""Of groups and classes by item; groups of two models have no names in common.

A comparison takes both clusterings as found: what another start of k-means would find is not in its interval.
"""
