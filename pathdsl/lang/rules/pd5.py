"""Pages of one family of codes."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page

PAGES: tuple[Page, ...] = ()
