"""What training may have used of electricity: reckoned from its time and an assumed power, never measured."""

from __future__ import annotations

from typing import Any

import torch

from sbert_triplet.processes import processes

WATTS_PER_THREAD = 10.0
"""Of a server's processor under load, with its share of memory and cooling: 5 to 15 are common."""
WATTS_PER_ACCELERATOR = 300.0
"""Of a data centre's accelerator under load: 70 to 700 are common."""


def energy_estimate(seconds: float, device: torch.device) -> dict[str, Any]:
    """``energy`` of ``report.json``: ``watt_hours``, the ``watts`` assumed, and their ``basis`` in words."""
    if device.type == "cpu":
        number, each, what = torch.get_num_threads() * processes(), WATTS_PER_THREAD, "thread"
    else:
        number, each, what = processes(), WATTS_PER_ACCELERATOR, "accelerator"
    watts = number * each
    return {
        "watt_hours": watts * seconds / 3600,
        "watts": watts,
        "basis": f"{number} {what}{'' if number == 1 else 's'} at an assumed {each:g} W",
        "estimated": True,
    }
