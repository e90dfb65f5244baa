"""The page in a real browser: the first structure view is drawn, and the policy refuses none of our scripts."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader "
    "--enable-logging=stderr --virtual-time-budget=8000 --dump-dom"
).split()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on the path")
def test_the_first_view_is_drawn_and_nothing_is_refused(record, text, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(text, encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)  # noqa: S603  a fixed command
    cards = re.findall(r"<details class=\"card\".*?</details>", done.stdout, re.S)
    assert len(cards) == len(record.ranked)
    assert "<canvas" in cards[0]
    assert not any("<canvas" in card for card in cards[1:])  # drawn only when opened
    messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not [line for line in messages if "Refused" in line or "Error" in line or "violates" in line]
