"""How figures are written, the same in every table of the report and the card.

Values come as they stand in JSON: None, or anything that is no number, is written as a dash.
"""

from __future__ import annotations

import math

MINUS = "−"
NONE = "–"


def number(value: object) -> float | None:
    """``value`` if it is a number, else None."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def fixed(value: object, digits: int = 3) -> str:
    """A score: ``0.712``; a dash where there is none, ``undefined`` where it is not a number."""
    figure = number(value)
    if figure is None:
        return NONE
    if not math.isfinite(figure):
        return "undefined"
    return _rounded(figure, digits).replace("-", MINUS)


def signed(value: object, digits: int = 3) -> str:
    """A difference: ``+0.057``, ``−0.012``, ``0.000``."""
    text, figure = fixed(value, digits), number(value)
    positive = figure is not None and math.isfinite(figure) and figure > 0 and text.strip("0.")
    return f"+{text}" if positive else text


def interval(low: object, high: object, digits: int = 3) -> str:
    """``+0.049 to +0.065``."""
    if number(low) is None or number(high) is None:
        return NONE
    return f"{signed(low, digits)} to {signed(high, digits)}"


def p_value(value: object) -> str:
    """``< 0.001``, or two digits that count."""
    figure = number(value)
    if figure is None or not math.isfinite(figure):
        return fixed(figure)
    if figure < 0.001:
        return "< 0.001"
    return f"{figure:.3f}" if figure < 0.1 else f"{figure:.2f}"


def count(value: object) -> str:
    """``12,345``."""
    figure = number(value)
    if figure is None or not math.isfinite(figure):
        return fixed(figure)
    return f"{figure:,.0f}".replace("-", MINUS)


def share(value: object) -> str:
    """A share as a percentage, with a digit after the point below ten per cent: ``3.4 %``, ``51 %``."""
    figure = number(value)
    if figure is None or not math.isfinite(figure):
        return fixed(figure)
    percent = 100.0 * figure
    exact = abs(percent - round(percent)) < 0.05
    return f"{_rounded(percent, 0 if exact or abs(percent) >= 10 else 1)} %".replace("-", MINUS)


def compact(value: object) -> str:
    """Four digits that count, for figures of any size: ``2e−05``, ``0.8412``, ``12.7``, ``2,210``."""
    figure = number(value)
    if figure is None or not math.isfinite(figure):
        return fixed(figure)
    return f"{figure:.4g}".replace("-", MINUS) if abs(figure) < 1000 else count(figure)


def seconds(value: object) -> str:
    """``8.3 s``, ``4 min 10 s``, ``2 h 5 min``."""
    figure = number(value)
    if figure is None or not math.isfinite(figure):
        return fixed(figure)
    if figure < 59.95:
        return f"{figure:.1f} s"
    minutes, rest = divmod(round(figure), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def size(value: object) -> str:
    """Bytes in powers of 1,024: ``3.9 GiB``."""
    figure = number(value)
    if figure is None or not math.isfinite(figure):
        return fixed(figure)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(figure) < 1024:
            return f"{figure:.0f} {unit}" if unit == "B" else f"{figure:.1f} {unit}"
        figure /= 1024
    return f"{figure:.1f} TiB"


def _rounded(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text
