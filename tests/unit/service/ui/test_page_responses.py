"""Pages rendered from templates."""

from __future__ import annotations

import pytest

from service.ui.page_responses import render_error


@pytest.mark.parametrize("detail", ["no such sweep", "No such sweep."])
def test_error_page_is_one_sentence(detail: str) -> None:
    text = bytes(render_error(404, "Not found", detail).body).decode()
    assert ">No such sweep.<" in text
