"""The folders are the registry."""

import pytest

from lab import registry
from lab.errors import UsageError, WorkbenchError


def test_entries_are_the_files_and_private_ones_are_not():
    files = (path.stem.replace("_", "-") for path in (registry.ROOT / "gans").glob("[a-z]*.py"))
    assert [entry.name for entry in registry.entries("gans")] == sorted(files)
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
    assert registry.entries("gans", having="SEARCH") == []
    (folder / "searched.py").write_text('"""Searched."""\nSEARCH = 1\n')
    assert [entry.name for entry in registry.entries("gans", having="SEARCH")] == ["searched"]


def test_unknown_names_show_the_nearest():
    with pytest.raises(UsageError, match=r"did you mean 'dcgan'.*dcgan, .*wgan-gp"):
        registry.load("gans", "dcgam")
    with pytest.raises(UsageError, match="Unknown kind 'models'"):
        registry.entries("models")


@pytest.mark.parametrize("name", ["wgan_gp", "_loop"])
def test_a_name_is_that_of_the_list(name):
    with pytest.raises(UsageError, match="Unknown gan"):
        registry.load("gans", name)


def test_a_disk_that_does_not_tell_capitals_apart_has_no_more_names(monkeypatch):
    """As macOS has it: one GAN would have several names, and cells of its own by each."""
    isfile = registry.os.path.isfile
    monkeypatch.setattr(registry.os.path, "isfile", lambda path: isfile(str(path).lower()))
    assert registry.check("gans", "dcgan") == "dcgan"
    with pytest.raises(UsageError, match="Unknown gan 'DCGAN'"):
        registry.check("gans", "DCGAN")


def test_versions():
    assert registry.version("snnl_core") >= 1
    assert registry.versions("gans/wgan-gp", "tasks/train-gan").keys() == {"gans/wgan-gp", "tasks/train-gan"}
    with pytest.raises(WorkbenchError, match=r"has no version: add VERSION = 1"):
        registry.version("lab/errors")
    with pytest.raises(UsageError, match="did you mean 'dcgan'"):
        registry.version("gans/dcgam")


@pytest.fixture
def one_gan(monkeypatch, tmp_path):
    """Makes a project of one file, of a GAN."""

    def made(name, text, encoding="utf-8"):
        (tmp_path / "gans").mkdir()
        (tmp_path / "gans" / name).write_text(text, encoding)
        monkeypatch.setattr(registry, "ROOT", tmp_path)

    return made


@pytest.mark.parametrize("version", ["'1'", "1.5", "1 + 0", "True", "None"])
def test_a_version_is_a_whole_number_as_it_stands(one_gan, version):
    one_gan("half.py", f"VERSION = {version}\n")
    with pytest.raises(WorkbenchError, match=r"half.py: VERSION is a whole number as it stands, VERSION = 1"):
        registry.version("gans/half")


def test_who_needs_a_broken_file_is_told_where(one_gan, monkeypatch, tmp_path):
    one_gan("half.py", "VERSION = 1\nclass Config(:\n")
    (tmp_path / "gans" / "half" / "__pycache__").mkdir(parents=True)  # what Git leaves of a folder is no entry
    for read in (lambda: registry.version("gans/half"), lambda: registry.config_class("gans", "half")):
        with pytest.raises(WorkbenchError, match=r"half.py, line 2, does not parse: invalid syntax"):
            read()
    import gans

    monkeypatch.setattr(gans, "__path__", [str(tmp_path / "gans")])
    with pytest.raises(WorkbenchError, match=r"half.py, line 2, does not parse: invalid syntax"):
        registry.load("gans", "half")


def test_a_file_that_is_no_utf_8_is_told(one_gan):
    one_gan("half.py", 'VERSION = 1\nx = "\xe9"\n', "latin-1")
    with pytest.raises(WorkbenchError, match=r"half.py, line \d+, does not parse: .*utf-8"):
        registry.version("gans/half")


def test_a_file_with_a_dash_is_told(one_gan):
    one_gan("one-half.py", "VERSION = 1\n")
    with pytest.raises(WorkbenchError, match=r"one_half.py is not there: the file of one-half has _ in its name"):
        registry.version("gans/one-half")


@pytest.mark.parametrize("text, lacks", [("x = 1", "'Config'"), ("class Config:\n    x = torch.nn", "'torch'")])
def test_a_file_without_a_light_config_is_told(monkeypatch, tmp_path, text, lacks):
    (tmp_path / "gans").mkdir()
    (tmp_path / "gans" / "half.py").write_text(f'"""Half."""\nimport torch\n{text}\n')
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    with pytest.raises(WorkbenchError, match=rf"half.py needs a class Config .*{lacks}"):
        registry.config_class("gans", "half")


def test_a_folder_is_an_entry_and_what_it_imports_in_vain_is_told(monkeypatch, tmp_path):
    (tmp_path / "gans" / "big").mkdir(parents=True)
    (tmp_path / "gans" / "_private").mkdir()
    for folder in ("big", "_private"):
        (tmp_path / "gans" / folder / "__init__.py").write_text('"""Big."""\nVERSION = 4\nimport not_installed\n')
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    assert [(entry.name, entry.summary) for entry in registry.entries("gans")] == [("big", "Big.")]
    assert registry.version("gans/big") == 4
    import gans

    monkeypatch.setattr(gans, "__path__", [str(tmp_path / "gans")])
    with pytest.raises(ModuleNotFoundError, match="not_installed"):
        registry.load("gans", "big")
