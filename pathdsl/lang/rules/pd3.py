"""Pages of the family PD3: tasks, rows, positions and treated values."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.pd3_answers import PAGES as ANSWER_PAGES
from pathdsl.lang.rules.pd3_chat import PAGES as CHAT_PAGES
from pathdsl.lang.rules.pd3_data import PAGES as DATA_PAGES
from pathdsl.lang.rules.pd3_discovered import PAGES as DISCOVERED_PAGES
from pathdsl.lang.rules.pd3_models import PAGES as MODEL_PAGES
from pathdsl.lang.rules.pd3_places import PAGES as PLACE_PAGES
from pathdsl.lang.rules.pd3_readings import PAGES as READING_PAGES
from pathdsl.lang.rules.pd3_sources import PAGES as SOURCE_PAGES
from pathdsl.lang.rules.pd3_static import STATIC_PAGES
from pathdsl.lang.rules.pd3_where import PAGES as WHERE_PAGES

PAGES: tuple[Page, ...] = (
    *STATIC_PAGES,
    *DATA_PAGES,
    *SOURCE_PAGES,
    *READING_PAGES,
    *PLACE_PAGES,
    *WHERE_PAGES,
    *CHAT_PAGES,
    *ANSWER_PAGES,
    *MODEL_PAGES,
    *DISCOVERED_PAGES,
)
