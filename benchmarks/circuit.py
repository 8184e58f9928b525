"""A whole file on a device, twice: seconds, memory of the device, verdicts, and the same bits?

`hypotheses/gpt2/ioi.circuit` on random weights of GPT-2's shape, everything in it: tokens, plans,
runs, searches, self-checks, intervals. The model is loaded anew for the second check.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch

__all__ = ["checked_twice"]


def checked_twice(file: str, take: int, where: str, device: str) -> Iterator[dict[str, Any]]:
    """A row for each of two checks; `where`: the model, in place of the file's own, as `--model`
    has it, with its dtype."""
    import pathdsl
    from pathdsl.lang.program import load_program

    model = load_program(file)[0].model
    assert model is not None
    models = {model.name.name: where}
    first = ""
    on_cuda = torch.device(device).type == "cuda"
    for number in (1, 2):
        if on_cuda:
            torch.cuda.reset_peak_memory_stats(device)
        started = time.perf_counter()
        result = pathdsl.check(file, take=take, models=models, device=device)
        seconds = time.perf_counter() - started
        (told,) = result.to_dict()["files"]
        digest = told["result_sha256"]
        first = first or digest
        verdicts = Counter(claim.verdict.value for claim in result.claims)
        yield {
            "file": file, "dtype": where.partition(",dtype=")[2], "prompts": take,
            "check": number, "seconds": seconds,
            "device_peak_gb": torch.cuda.max_memory_allocated(device) / 1e9 if on_cuda else None,
            "verdicts": dict(sorted(verdicts.items())), "claims": len(result.claims),
            "exit_code": int(result.exit_code),
            "agrees": result.exit_code <= 1,
            "diagnostics": sorted({d.code for d in result.diagnostics}),
            "digest": digest, "same_bits": digest == first,
        }  # fmt: skip
