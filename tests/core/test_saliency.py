"""The measures of salient objects against pysodmetrics, and at their ends."""

from __future__ import annotations

import numpy as np
import pytest

from napari_mrseg.compare.saliency import saliency, structure

# Smeasure, MAE, and the means of Fmeasure's and Emeasure's curves of pysodmetrics, for the maps of :func:`drawn`; it
# does not install beside this project's numpy, so the numbers stand here.
ORACLE = (
    (0.508732728, 0.152321078, 0.407439856, 0.592961808),
    (0.550140963, 0.163660948, 0.462271797, 0.635385123),
    (0.860470237, 0.142985294, 0.779769090, 0.778655288),
    (0.843414407, 0.131062092, 0.771425114, 0.786235868),
    (0.840367831, 0.160727124, 0.776837744, 0.774198735),
    (0.778138584, 0.136497549, 0.688346685, 0.755379840),
    (0.873631198, 0.126368802, 0.000000000, 0.871455967),
    (0.768330065, 0.231669935, 0.906458482, 0.769395317),
)


# Of the same maps: the highest points of both curves, both at twice the map's mean, and WeightedFmeasure (1.6.2).
MORE = (
    (0.840619308, 0.992603144, 0.146333619, 0.366868864, 0.123810916),
    (0.831542969, 0.986748019, 0.287136645, 0.505188014, 0.199708463),
    (0.929784191, 0.951015859, 0.927918717, 0.916903037, 0.742542116),
    (0.934521426, 0.960242409, 0.932655305, 0.948151290, 0.724969646),
    (0.945965418, 0.954610029, 0.910952630, 0.876852561, 0.719003369),
    (0.911328425, 0.970968672, 0.801172187, 0.935776506, 0.561494668),
    (0.000000000, 1.000000000, 0.000000000, 0.793707022, 0.000000000),
    (1.000000000, 1.000208377, 0.535606370, 0.210252136, 0.923387540),
)


def drawn(k: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy map of a disc, and the disc; in the last two the truth is nothing, and everything."""
    rng = np.random.default_rng(k)
    y, x = np.mgrid[:60, :80]
    truth = (y - rng.uniform(10, 50)) ** 2 + (x - rng.uniform(10, 70)) ** 2 < rng.uniform(5, 25) ** 2
    if k >= 6:
        truth[:] = k == 7
    return np.clip(0.8 * truth + rng.normal(0, 0.25, truth.shape) + 0.2 * rng.random(), 0, 1), truth


@pytest.mark.parametrize("k", range(8))
def test_equal_to_pysodmetrics(k: int) -> None:
    """S-measure, mean absolute error, mean, highest and adaptive F and E, and weighted F to six digits."""
    assert saliency(*drawn(k)) == pytest.approx((*ORACLE[k], *MORE[k]), abs=1e-6)


def test_a_perfect_map_scores_one() -> None:
    """The truth itself: S, F and E near 1, no error; its opposite scores low."""
    truth = drawn(0)[1]
    best = saliency(truth.astype(float), truth)
    assert best.s == pytest.approx(1, abs=1e-6)
    assert best.mae == 0
    assert min(best.f, best.e) > 0.99
    assert saliency(1.0 - truth, truth).s < 0.2


def test_shapes_must_agree() -> None:
    """Another shape is an error, not a broadcast."""
    with pytest.raises(ValueError, match="alike"):
        saliency(np.zeros((3, 4)), np.zeros((4, 3), bool))


def test_structure_needs_no_object() -> None:
    """Nothing to find: the less is claimed, the better."""
    empty = np.zeros((5, 6), bool)
    assert structure(np.zeros((5, 6)), empty) == 1
    assert structure(np.full((5, 6), 0.25), empty) == 0.75
