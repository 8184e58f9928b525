"""Pages of the family PD6: loading models, the machine and its self-checks."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.pd6_checkpoints import CHECKPOINT_PAGES
from pathdsl.lang.rules.pd6_locks import LOCK_PAGES
from pathdsl.lang.rules.pd6_models import MODEL_PAGES
from pathdsl.lang.rules.pd6_places import PLACE_PAGES
from pathdsl.lang.rules.pd6_proofs import PROOF_PAGES
from pathdsl.lang.rules.pd6_shards import SHARD_PAGES

PAGES: tuple[Page, ...] = (
    *MODEL_PAGES, *PROOF_PAGES, *SHARD_PAGES, *LOCK_PAGES, *PLACE_PAGES, *CHECKPOINT_PAGES
)  # fmt: skip
