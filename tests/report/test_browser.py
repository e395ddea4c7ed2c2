"""What the tests with a browser would notice."""

import browsers
import pytest

pytestmark = pytest.mark.skipif(not browsers.CHROMIUM, reason="needs the browser chromium")


def seen(folder, content, width=390):
    page = folder / "page.html"
    page.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{content}")
    return browsers.seen(page, width, folder)


def test_an_error_in_the_console_and_a_page_too_wide_are_seen(tmp_path):
    found = seen(tmp_path, "<div style='width:700px'>wide</div><script>undefined_function()</script>")
    assert found["width"] >= 700
    assert "undefined_function is not defined" in " ".join(found["console"])


def test_a_good_page_is_as_wide_as_its_window(tmp_path):
    found = seen(tmp_path, "<p>narrow</p>")
    assert found["width"] <= 390
    assert found["console"] == []
