"""Pages of one family of codes."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.pd3_static import STATIC_PAGES

PAGES: tuple[Page, ...] = (*STATIC_PAGES,)
