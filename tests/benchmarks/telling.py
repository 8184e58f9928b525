"""A process for tests: tells rows, then ends as it is told to."""

from __future__ import annotations

import json
import sys
import time

given = json.loads(sys.argv[1])
for number in range(given["rows"]):
    print(json.dumps({"number": number}), flush=True)
print("a word of some library", flush=True)
if given["end"] == "hang":
    time.sleep(600)
if given["end"] == "fail":
    raise SystemExit("no good")
