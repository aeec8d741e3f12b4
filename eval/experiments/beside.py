"""The modules of eval/, one folder up, can be imported where this one was imported before them."""

from __future__ import annotations

import sys
from pathlib import Path

EVAL = Path(__file__).resolve().parents[1]
if str(EVAL) not in sys.path:
    sys.path.append(str(EVAL))
