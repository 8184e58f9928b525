"""Names that stand in a drafted file for what only its reader knows; `lint` asks for them (PD440).

model m = hf("OWNER/MODEL")
"""

from __future__ import annotations

__all__ = ["MODEL", "ROWS"]

MODEL = "OWNER/MODEL"
ROWS = "ROWS.jsonl"
