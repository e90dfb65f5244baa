"""Recipes of structures learn from whatever the door reads: a table, a folder, files without labels."""

import numpy as np
import pandas as pd
import pytest

from novalith.data.library import Library
from novalith.errors import InputError
from novalith.materials import Crystal, Verdict
from novalith.recipes.court_families import family_named
from novalith.recipes.court_training import gather
from novalith.recipes.substituted_training_set import potential_energies
from novalith.recipes.training import TrainingOrder, train_recipe
from novalith.represent.density_coordinates import DensityCoordinates


def caesium_chloride(a, first, second):
    return Crystal.from_arrays(np.eye(3) * a, [first, second], [(0, 0, 0), (0.5, 0.5, 0.5)])


def cif(crystal):
    return crystal.to_structure().to(fmt="cif")


SALTS = {
    f"{x}{y}": caesium_chloride(3.6 + 0.1 * i + 0.13 * j, x, y)
    for i, x in enumerate(("Li", "Na", "K", "Rb", "Cs"))
    for j, y in enumerate(("F", "Cl", "Br", "I", "O"))
}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "given"
    made.mkdir()
    for name, crystal in SALTS.items():
        (made / f"{name}.cif").write_text(cif(crystal))
    (made / "broken.cif").write_text("data_broken\n_cell_length_a three\n")
    (made / "large.cif").write_text(cif(Crystal.from_arrays(np.diag([3.0, 3, 30]), ["Fe"], [[0, 0, 0]])))
    return made


class TestCourt:
    def gathered(self, path, label=None):
        return gather(path, family_named("alloy"), Library(), DensityCoordinates(), bundled=False, label=label)

    def test_a_folder_of_structures_is_labelled_and_every_file_has_its_place(self, folder):
        asked = []

        def label(pairs):
            asked.extend(pairs)
            return {
                id_: -1.0 - 0.1 * k if k else Verdict(False, "relaxation", "It came apart.")
                for k, (id_, _) in enumerate(pairs)
            }

        found = self.gathered(folder, label)
        assert len(asked) == len(SALTS)
        assert len(found.crystals) == len(SALTS) - 1
        assert len(found.crystals) + len(found.set_aside) == len(list(folder.iterdir()))
        assert sorted(found.energies)[-1] == pytest.approx(-1.1)
        told = " ".join(found.set_aside.values())
        assert all(words in told for words in ("It came apart", "broken: ", "large: "))

    def test_a_folder_of_tables_brings_its_labels_and_loose_files_are_labelled(self, folder):
        names = sorted(SALTS)
        rows = [{"id": n, "cif": cif(SALTS[n]), "formation_energy": -2.0} for n in names[:12]]
        rows[3]["formation_energy"] = "much"
        pd.DataFrame(rows).to_csv(folder / "some.csv", index=False)
        (folder / "junk.csv").write_bytes(b"\x00\x01\xff\xfe")
        found = self.gathered(folder, lambda pairs: dict.fromkeys((id_ for id_, _ in pairs), -1.0))
        # The row without a number is no label; its crystal comes again as a file.
        assert sorted(found.energies.tolist()) == [-2.0] * 11 + [-1.0] * 14
        assert any("junk.csv cannot be read as a table" in reason for reason in found.set_aside.values())
        assert any("'much', which is no finite number" in reason for reason in found.set_aside.values())

    def test_a_table_of_something_else_beside_the_labels_is_told(self, tmp_path):
        rows = [{"id": n, "cif": cif(c), "formation_energy": -2.0} for n, c in SALTS.items()]
        pd.DataFrame(rows).to_csv(tmp_path / "some.csv", index=False)
        pd.DataFrame({"formula": ["NaCl"]}).to_csv(tmp_path / "other.csv", index=False)
        found = self.gathered(tmp_path)
        assert len(found.crystals) == len(SALTS)
        assert list(found.set_aside.values()) == ["other.csv: It holds no structures."]

    def test_what_has_no_labels_says_how_to_give_them(self, folder):
        with pytest.raises(InputError, match=r"25 crystals of .*given have no formation energy; give a table"):
            self.gathered(folder)
        pd.DataFrame([{"id": n, "cif": cif(c)} for n, c in SALTS.items()]).to_csv(folder / "bare.csv", index=False)
        with pytest.raises(
            InputError, match=r"bare.csv has the columns id, cif; expected 'cif' and 'formation_energy'"
        ):
            self.gathered(folder, dict)

    def test_the_potential_gives_labels_of_the_right_size(self, tmp_path):
        salt = Crystal.from_arrays(
            np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 2.82, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
        )
        strange = Crystal.from_arrays(np.eye(3) * 4, ["Rn"], [[0, 0, 0]])
        said = potential_energies([("salt", salt), ("strange", strange)], Library(), cache=tmp_path / "cache")
        assert said["salt"] == pytest.approx(-2.1, abs=0.1)  # Materials Project, mp-22862: -2.11 eV/atom
        assert "Rn" in said["strange"].reason


class TestHoffmann:
    def test_a_folder_of_structures_without_labels_is_learned_and_sampled(self, tmp_path):
        pytest.importorskip("monai")
        from novalith.recipes.crystal_models import SampleRequest, load_crystal_model

        given = tmp_path / "given"
        given.mkdir()
        noble = {"He", "Ne", "Ar"}
        small = [k for k in Library().structures if k.crystal.n_atoms <= 3 and not noble & set(k.crystal.species)][:40]
        for i, known in enumerate(small):
            (given / f"{i}.cif").write_text(cif(known.crystal))
        (given / "broken.cif").write_text("data_broken\n_cell_length_a three\n")
        (given / "notes.txt").write_text("mine")
        order = TrainingOrder(given, tmp_path / "m.safetensors", size="tiny", epochs=1)
        summary = train_recipe("hoffmann", order)
        told = " ".join(summary.set_aside.values())
        assert "broken.cif: " in told
        assert "notes.txt: no file of structures" in told
        model = load_crystal_model(order.out)
        assert len(model.training_codes) == summary.n_rows >= 20
        assert model.training_labels == {}
        drawn = model.sample(4, SampleRequest(), rng=np.random.default_rng(0))
        assert len(drawn) == 4
        assert np.isfinite(model.prior(4, rng=np.random.default_rng(0))).all()
