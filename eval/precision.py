"""The precision that both sides of a comparison train in."""

from __future__ import annotations

import argparse
import sys

PRECISIONS = ("bf16", "fp32")


def add_precision(parser: argparse.ArgumentParser) -> None:
    """``--precision``, bf16 by default."""
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16", help="of all trainings")


def refuse_imitated(precision: str) -> None:
    """Exit where this processor only imitates it: runs would take some twenty times as long."""
    import torch

    from sbert_triplet.training.measure import bf16_supported

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if precision == "bf16" and not bf16_supported(device):
        sys.exit(
            "this processor does not compute in bf16 (grep avx512 /proc/cpuinfo): measure on another one, or "
            "give --precision fp32 and move the results that there are away"
        )
