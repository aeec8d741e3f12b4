"""How much of the data is in use when: values by hand, and what holds for every pacing."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.training.pacing import NEVER, Pacing, PacingName

NAMES: tuple[PacingName, ...] = get_args(PacingName)
FIXED: PacingName = "fixed_exponential"
SHARES = st.floats(0.001, 1.0)
PACINGS = st.builds(
    Pacing,
    st.sampled_from(NAMES),
    steps=st.one_of(st.integers(1, 3000), st.floats(1.0, 3000.0)),
    start=SHARES,
    full_at=SHARES,
    growth=st.floats(1.01, 10.0),
    every=st.one_of(st.none(), st.integers(1, 500)),
)


@pytest.mark.parametrize(
    ("name", "tenth", "half"),
    [
        # 0.2 + 0.8 (1 + 0.1 ln(u + e^-10)) and so on, at u = 0.1 and u = 0.5.
        ("log", 0.81582950, 0.94455549),
        ("exponential", 0.20006241, 0.20535428),
        ("step", 0.2, 0.2),
        ("root", 0.45298221, 0.76568542),
        ("linear", 0.28, 0.6),
        ("quadratic", 0.208, 0.4),
    ],
)
def test_the_values_of_the_table(name: PacingName, tenth: float, half: float) -> None:
    pacing = Pacing(name, steps=100, start=0.2, full_at=0.5)
    found = [pacing.share(step) for step in (0, 5, 25, 50, 99)]
    assert found == pytest.approx([0.2, tenth, half, 1.0, 1.0], abs=1e-8)
    assert pacing.share(49) < 1


def test_the_fixed_exponential_as_released() -> None:
    pacing = Pacing(FIXED, steps=1000, start=0.04, growth=1.9, every=10)
    expected = [0.04, 0.04, 0.076, 0.1444, 0.27436, 0.521284, 0.9904396, 1.0, 1.0]
    found = [pacing.share(step) for step in (0, 9, 10, 29, 30, 40, 50, 60, 10**9)]
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_fixed_exponential_is_stretched_to_be_full_in_time() -> None:
    # 0.04 * 1.9^5 is 0.99 and 0.04 * 1.9^6 above 1: six growths in 50 steps, one every 8.
    pacing = Pacing(FIXED, steps=100, start=0.04, full_at=0.5)
    assert pacing.step_length == 8
    assert [pacing.share(step) < 1 for step in (47, 48)] == [True, False]
    assert Pacing(FIXED, steps=3, start=0.04, full_at=0.5).step_length == 1


def test_rows_are_rounded_down_and_no_fewer_than_a_batch() -> None:
    pacing = Pacing("linear", steps=10, start=0.29)
    assert pacing.rows(0, of=10, least=1) == 2
    assert pacing.rows(0, of=100, least=1) == 29
    assert pacing.rows(0, of=100, least=64) == 64
    assert pacing.rows(0, of=40, least=64) == 40
    # 0.29 + 0.71 * 0.7 is 0.787
    assert pacing.rows(7, of=1000, least=64) == 787


@given(PACINGS, st.integers(1, 5000), st.integers(1, 200))
def test_starts_at_its_start_never_falls_and_ends_with_all(pacing: Pacing, rows: int, least: int) -> None:
    last = 600 if pacing.every is not None else int(pacing.steps) + 2
    shares = [pacing.share(step) for step in range(last)]
    assert shares[0] == pytest.approx(pacing.start, abs=1e-12)
    assert shares == sorted(shares)
    assert max(shares) <= 1
    used = [pacing.rows(step, rows, least) for step in range(last)]
    assert used == sorted(used)
    assert all(min(least, rows) <= count <= rows for count in used)
    assert all(
        count in (min(least, rows), rows) or abs(count - share * rows) < 1
        for count, share in zip(used, shares, strict=True)
    )


@given(PACINGS)
def test_everything_is_in_use_at_the_named_share_of_the_steps(pacing: Pacing) -> None:
    if pacing.name != FIXED:
        assert pacing.share(int(pacing.full_at * pacing.steps) + 1) == 1
        before = int(pacing.full_at * pacing.steps) - 1
        assert before < 0 or pacing.name == "log" or pacing.start > 0.99 or pacing.share(before) < 1


@given(PACINGS, st.integers(1, 5000), st.integers(1, 200))
def test_full_from_is_the_first_step_with_all_rows(pacing: Pacing, rows: int, least: int) -> None:
    first = pacing.full_from(rows, least)
    assert first < NEVER
    assert pacing.rows(first, rows, least) == rows
    assert first == 0 or pacing.rows(first - 1, rows, least) < rows


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "cubic"}, "no pacing 'cubic'; known: log, exponential, step, root, linear"),
        ({"start": 0.0}, "start is 0.0"),
        ({"full_at": 1.5}, "full_at is 1.5"),
        ({"growth": 1.0}, "growth is 1.0"),
        ({"every": 0}, "every 0"),
    ],
)
def test_values_outside_their_ranges_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pacing(**({"name": "linear", "steps": 10, "start": 0.5} | changes))  # type: ignore[arg-type]
