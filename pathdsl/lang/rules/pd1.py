"""Pages of the family PD1, names and words, with the two of PD2 that syntax alone shows."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.pd1_names import NAME_PAGES
from pathdsl.lang.rules.pd1_paths import ARROW_PAGES, PATH_PAGES
from pathdsl.lang.rules.pd1_words import WORD_PAGES
from pathdsl.lang.rules.pd3_models import OF_NAMES

PAGES: tuple[Page, ...] = (*NAME_PAGES, *WORD_PAGES, *PATH_PAGES, *ARROW_PAGES, *OF_NAMES)
