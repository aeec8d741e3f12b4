from __future__ import annotations

import math

import pytest

from sbert_triplet.reporting import numbers


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (numbers.fixed(0.7124), "0.712"),
        (numbers.fixed(-0.0001), "0.000"),
        (numbers.fixed(-0.5, 1), "−0.5"),
        (numbers.fixed(None), "–"),
        (numbers.fixed("0.7"), "–"),
        (numbers.fixed(True), "–"),
        (numbers.fixed(math.nan), "undefined"),
        (numbers.signed(0.0571), "+0.057"),
        (numbers.signed(0.0001), "0.000"),
        (numbers.signed(-0.0123), "−0.012"),
        (numbers.interval(-0.004, 0.0081), "−0.004 to +0.008"),
        (numbers.interval(None, 0.1), "–"),
        (numbers.p_value(0.0004), "< 0.001"),
        (numbers.p_value(0.0132), "0.013"),
        (numbers.p_value(0.412), "0.41"),
        (numbers.count(1234567), "1,234,567"),
        (numbers.share(0.034), "3.4 %"),
        (numbers.share(0.512), "51 %"),
        (numbers.share(0), "0 %"),
        (numbers.compact(2e-5), "2e−05"),
        (numbers.compact(0.84123), "0.8412"),
        (numbers.compact(2210), "2,210"),
        (numbers.seconds(8.34), "8.3 s"),
        (numbers.seconds(59.97), "1 min 0 s"),
        (numbers.seconds(231.4), "3 min 51 s"),
        (numbers.seconds(3599.7), "1 h 0 min"),
        (numbers.seconds(7500), "2 h 5 min"),
        (numbers.size(2_941_001_728), "2.7 GiB"),
        (numbers.size(512), "512 B"),
        (numbers.size(5 * 2**40), "5.0 TiB"),
    ],
)
def test_how_figures_are_written(written: str, expected: str) -> None:
    assert written == expected
