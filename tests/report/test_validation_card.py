"""The card of a validated candidate shows what was found, escaped like everything else."""

from dataclasses import replace

from novalith.materials import Verdict
from novalith.report.page import render_report
from novalith.stability.checks import Finding
from novalith.stability.phonons import Bands


def test_findings_and_bands_are_on_the_card(record):
    bands = Bands((0.0, 0.1, 0.2), ((0.0, 1.0), (-1.5, 2.0), (0.5, 3.0)), ((0.0, "G"), (0.2, "X")))
    findings = (
        Finding(
            "phonons", Verdict(False, "phonons", "An imaginary mode <b>"), {"lowest_thz": -1.5}, 2.0, "chgnet", bands
        ),
        Finding("elasticity", Verdict(True, "elasticity", "Stable."), {"bulk_modulus_gpa": 30.25}, 1.0, "chgnet"),
    )
    page = render_report(replace(record, validations={record.ranked[0].id: findings}))
    assert "An imaginary mode &lt;b&gt;" in page
    assert "bulk modulus gpa 30.25" in page
    assert "frequency (THz)" in page
    assert "Validation</h3>" not in render_report(record)
