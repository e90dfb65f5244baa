"""The page: complete, true to the record, deaf to hostile text, silent on the network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

from specimens import PREDICTED

from novalith.campaign.record import FunnelStage
from novalith.report import citations
from novalith.report.citations import Citation
from novalith.report.page import render_report, write_report

HOSTILE = "<script>alert('x')</script>\"'><img src=http://evil.example/x onerror=alert(1)>"
LINKS = {"src", "href", "action", "data", "srcset", "poster", "xlink:href", "formaction"}


class Page(HTMLParser):
    """Every tag with its attributes, the text outside scripts, and the scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.scripts, self._inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs) if tag == "script" else tag if tag == "style" else None
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._inside = None

    def handle_data(self, data):
        if isinstance(self._inside, dict):
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif self._inside is None:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))

    def rows(self):
        return [a for tag, a in self.tags if tag == "tr" and "data-index" in a]


def test_the_page_asks_nothing_of_the_network(text):
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        for name in LINKS & set(attributes):
            assert attributes[name].startswith(("#", "data:")), (tag, name, attributes[name])
    style = re.search(r"<style>(.*?)</style>", text, re.S).group(1)
    assert "url(" not in style and "@import" not in style


def test_the_policy_admits_our_scripts_alone(text):
    page = Page(text)
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "script-src 'unsafe" not in policy
    executed = [script for attributes, script in page.scripts if attributes.get("type") != "application/json"]
    assert len(executed) == 2
    for script in executed:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_every_candidate_has_a_row_and_a_card_with_the_numbers_of_the_record(record, text):
    page = Page(text)
    assert len(page.rows()) == len(record.ranked)
    values = [a["data-value"] for tag, a in page.tags if tag == "td" and "data-value" in a]
    per_row = len(values) // len(record.ranked)
    for i, row in enumerate(record.ranked):
        cells = values[i * per_row : (i + 1) * per_row]
        assert cells[0] == str(row.rank)
        assert cells[1] == row.crystal.composition.formula
        assert float(cells[3]) == row.energy_above_hull_ev_per_atom
        assert float(cells[5]) == row.formation_energy_ev_per_atom
        assert cells[8:10] == [row.lineage.generator, str(len(row.doubts))]
        # Then the properties that any row has, in their order; a row without them (an older run) leaves them empty.
        predicted = [(row.properties or {}).get(name) for name in PREDICTED]
        assert cells[10:] == ["" if p is None else str(p[0]) for p in predicted]
        assert any(tag == "details" and a.get("id") == f"card-{row.rank}" for tag, a in page.tags)
        assert row.id in page.text
    assert "−12.3 meV/atom (−0.0123 eV/atom)" in page.text


def test_predicted_properties_are_told_with_unit_deviation_and_range(text):
    words = " ".join(Page(text).text.split())
    assert "Band gap2.13 ± 0.40 eV predicted" in words
    assert "Bulk modulus171 ± 12 GPa predicted" in words
    assert "Dielectric constant6.12 ± 0.70 predicted (unlike what the model was trained on)" in words


def test_each_view_holds_the_atoms_of_its_crystal(record, text):
    scenes = json.loads(next(s for a, s in Page(text).scripts if a.get("type") == "application/json"))
    assert len(scenes) == len(record.ranked)
    symbols = [[element[0] for element in scene["elements"]] for scene in scenes]
    assert symbols == [sorted(set(row.crystal.species)) for row in record.ranked]


def test_the_funnel_shows_every_count_and_every_reason(record, text):
    words = Page(text).text
    for stage in record.funnel:
        assert stage.name in words
        assert f"{stage.entered:,}" in words
        for reason in stage.rejected:
            assert reason in words


def hostile(record):
    """The record with every free text replaced by markup."""
    row = record.ranked[0]
    spoiled = replace(
        row,
        id=HOSTILE,
        spacegroup_symbol=HOSTILE,
        decomposition=((HOSTILE, 1.0),),
        novelty=replace(row.novelty, nearest_id=HOSTILE, nearest_formula=HOSTILE, note=HOSTILE),
        lineage=replace(row.lineage, generator=HOSTILE, move=HOSTILE, parents=(HOSTILE,), scores=((HOSTILE, 1.0),)),
        doubts=(HOSTILE,),
        properties={HOSTILE: (1.0, None, False)},
    )
    return replace(
        record,
        title=HOSTILE,
        plan={HOSTILE: {HOSTILE: HOSTILE}},
        versions={HOSTILE: HOSTILE},
        funnel=(FunnelStage(HOSTILE, 2, 1, {HOSTILE: 1}),),
        ranked=(spoiled, *record.ranked[1:]),
        unranked={HOSTILE: (HOSTILE, HOSTILE)},
        competing=tuple(replace(p, id=HOSTILE) for p in record.competing),
        hull_mode=HOSTILE,
        energy_scale=HOSTILE,
    )


def test_hostile_text_is_shown_and_never_obeyed(record, text):
    spoiled = render_report(hostile(record))
    page, honest = Page(spoiled), Page(text)
    assert "<script>alert" not in spoiled
    assert not any(tag == "img" for tag, _ in page.tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert len(page.scripts) == len(honest.scripts)
    assert HOSTILE in page.text  # in full, as words


def test_hostile_citations_are_escaped(record, monkeypatch):
    bad = {key: Citation(key, HOSTILE, HOSTILE, HOSTILE, HOSTILE) for key in record.cited}
    monkeypatch.setattr(citations, "known_citations", lambda: bad)
    assert "<script>alert" not in render_report(record)


def test_what_was_used_is_credited(text):
    words = Page(text).text
    assert "deng2023chgnet" in words
    assert "CC BY 4.0" in words


def test_an_empty_run_says_why(empty_record):
    page = Page(render_report(empty_record))
    assert "No crystal could be ranked" in page.text
    assert "“charge” for the reason “no neutral assignment” (9)" in page.text
    assert "electronegativity" in page.text
    assert not page.rows()


def test_a_run_without_any_proposal_says_so(empty_record):
    page = Page(render_report(replace(empty_record, funnel=())))
    assert "the generators made none" in page.text


def test_downloads_hold_the_crystal(record, text):
    from pymatgen.core import Structure

    links = [a for tag, a in Page(text).tags if tag == "a" and "download" in a]
    assert len(links) == 2 * len(record.ranked)
    for link, row in zip(links[::2], record.ranked, strict=True):
        assert html.unescape(link["download"]) == f"{row.id}.cif"
        body = base64.b64decode(link["href"].split(",", 1)[1]).decode()
        structure = Structure.from_str(body, fmt="cif")
        assert structure.composition.reduced_formula == row.crystal.composition.formula


def test_the_same_record_gives_the_same_bytes(record, tmp_path, text):
    write_report(record, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == text


def test_a_page_of_thirty_candidates_stays_small(record, text, empty_record):
    base = len(render_report(empty_record))
    per_card = (len(text) - base) / len(record.ranked)
    assert base + 30 * per_card < 3e6
