"""The folders are the registry."""

import pytest

from lab import registry
from lab.errors import UsageError, WorkbenchError


def test_entries_are_the_files_and_private_ones_are_not():
    assert [entry.name for entry in registry.entries("gans")] == ["dcgan", "wgan-gp"]
    assert all(entry.doc for kind in registry.KINDS for entry in registry.entries(kind))


def test_listing_and_configs_import_no_torch(python):
    code = (
        "import sys; from lab import registry; [registry.entries(k) for k in registry.KINDS];"
        "registry.config_class('gans', 'wgan-gp'); registry.config_class('classifiers', 'resnet')().hidden_layers;"
        "print('torch' in sys.modules, 'gans.wgan_gp' in sys.modules)"
    )
    assert python(code) == "False False"


@pytest.mark.parametrize(
    "kind, name", [(kind, entry.name) for kind in ("classifiers", "gans") for entry in registry.entries(kind)]
)
def test_the_light_config_is_the_modules_config(kind, name):
    light, full = registry.config_class(kind, name), registry.load(kind, name).Config
    assert light.model_json_schema() == full.model_json_schema()


def test_a_broken_file_does_not_break_the_list(monkeypatch, tmp_path):
    folder = tmp_path / "gans"
    folder.mkdir()
    (folder / "good.py").write_text('"""Good: works."""\n')
    (folder / "broken.py").write_text("def (:\n")
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    broken, good = registry.entries("gans")
    assert (good.name, good.summary) == ("good", "Good: works.")
    assert "does not parse" in broken.summary


def test_unknown_names_show_the_nearest():
    with pytest.raises(UsageError, match=r"did you mean 'dcgan'.*dcgan, wgan-gp"):
        registry.load("gans", "dcgam")
    with pytest.raises(UsageError, match="Unknown kind 'models'"):
        registry.entries("models")


def test_references_and_versions():
    assert registry.resolve("lab.errors:UsageError") is UsageError
    with pytest.raises(WorkbenchError, match="cannot be imported"):
        registry.resolve("lab.errors:Nothing")
    with pytest.raises(WorkbenchError, match="has no CODE_VERSION"):
        registry.code_version("lab.errors")
    assert registry.code_version("snnl_core") >= 1
