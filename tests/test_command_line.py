"""What a user types reaches the config as it was typed; what cannot be meant is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import open_dict

from resnet_lit import job
from resnet_lit.command_line import Source, literal, read, read_train, unquoted
from resnet_lit.config import load, own_hydra
from resnet_lit.data.paths import request
from resnet_lit.preflight import _expand as expand
from resnet_lit.preflight import cells_of
from resnet_lit.typed import ConfigError

# Folder names that people have, and that a shell hands over as they are.
NAMES = [
    "фото",
    "été",
    "写真",
    "Tom's photos",
    "a#b",
    "R&D",
    "a b",
    "a,b",
    "a=b",
    "photos (old)",
    "[old]",
    "{a}",
    'say "cheese"',
    'it\'s "both"',
    "back\\slash",
    "trailing\\",
    "quote\\'s",
    "$HOME",
    "${not_a_key}",
    "wow!",
    "100%",
    "@home",
    "a;b",
    "-dash",
    "--dash",
    "~tilde",
    "1e5",
    "1.10",
    "2026_01",
    "007",
    "a:b",
    "a*b?",
    "`date`",
    "<in>",
    "a|b",
    "^",
    " blanks ",
    "tab\there",
    "new\nline",
    "range(3)",
    "'quoted'",
    "n" * 200,
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    for name in NAMES:
        (folder / name).mkdir()
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_is_there_means_itself(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(home)
    for key in ("data.root", "data.cache", "weights", "hydra.run.dir", "hydra.sweep.dir", "resume"):
        word = literal(f"{key}={name}")
        override = OverridesParser.create().parse_override(word)
        assert not override.is_sweep_override(), word
        assert unquoted(word).replace("\\${", "${") == name
        assert literal(word) == word  # a word that was quoted stays as it is, as a process of DDP gets it


def test_such_folders_reach_the_config(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    roots = [load(f"data.root={name}").data.root for name in NAMES[::4]]
    assert roots == NAMES[::4]
    cells = cells_of(read(["data.root=Tom's photos", "seed=0,1"], "plan").overrides, multirun=True)
    assert [(cell.config.data.root, cell.config.seed) for cell in cells] == [("Tom's photos", 0), ("Tom's photos", 1)]


@pytest.mark.parametrize(
    "word",
    [
        "optimizer.args.betas=[0.9,0.99]",
        "+optimizer.args={a:1,b:[1,2]}",
        "seed=0,1,2",
        "seed=range(0,5)",
        "optimizer=choice(sgd,adam)",
        "+experiment=glob(model*)",
        "optimizer.lr=interval(0.01,1)",
        "optimizer.lr=tag(log,interval(1e-3,1))",
        "seed=${oc.env:SEED}",
        "data.root=${oc.env:HOME}/photos",
        "data.root='my photos'",
        'data.root="my photos"',
        "data.root=first,second",
        "data.root=choice(first,second)",
        r"data.root=my\,photos",
        "weights=null",
        "~callbacks.lr_monitor",
        "~data.root=фото",
        "name=mine",
        "data.batch_size=[32,64",  # Hydra says what is wrong with it
        "seed=range(0,5",
        "label=null",
        "data.drop_last=true",
    ],
)
def test_grammar_keeps_its_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert literal(word) == word


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("data.root=фото,été", ["фото", "été"]),
        ("data.root=Tom's,plain", ["Tom's", "plain"]),
        ("name=один,два", ["один", "два"]),
        ("data.root=фото", ["фото"]),
        ("data.root=photos,", ["photos,"]),
        ("name=R&D", ["R&D"]),
        ("name=1.10", ["1.10"]),
        ("+callbacks.mine.note=a#b", ["a#b"]),
        ("data.root=1e5", ["1e5"]),
    ],
)
def test_text_that_is_no_grammar_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, values: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    override = OverridesParser.create().parse_override(literal(word))
    found = list(override.sweep_string_iterator()) if override.is_sweep_override() else [override.value()]
    assert [unquoted(f"key={value}") if override.is_sweep_override() else str(value) for value in found] == values


def test_a_long_value_is_a_value() -> None:
    seeds = ",".join(map(str, range(100)))
    assert literal(f"seed={seeds}") == f"seed={seeds}"
    assert load(f"data.root={'n' * 300}").data.root == "n" * 300


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert literal("hydra.run.dir=~/my runs") == f"hydra.run.dir='{tmp_path}/my runs'"
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nname: a\ndata: {root: ~/photos, cache: ~/cache}\nhydra: {run: {dir: ~/runs}}\n"
    (tmp_path / "conf" / "experiment" / "a.yaml").write_text(text)
    config = load("+experiment=a", config_dir="~/conf")
    assert (config.data.root, config.data.cache) == (f"{tmp_path}/photos", f"{tmp_path}/cache")
    (cell,) = cells_of(["+experiment=a"], Source(str(tmp_path / "conf")))
    assert cell.folder == tmp_path / "runs"


@pytest.mark.parametrize("folder", ["мои", "my conf, v2", "it's", "a=b"])
def test_a_config_folder_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    (tmp_path / folder / "experiment").mkdir(parents=True)
    (tmp_path / folder / "experiment" / "small.yaml").write_text("# @package _global_\nname: small\nmodel: {width: 0.125}\n")
    (tmp_path / folder / "mine.yaml").write_text("defaults: [config, _self_]\nseed: 7\n")
    monkeypatch.chdir(tmp_path)
    assert load("+experiment=small", config_dir=folder).model.width == 0.125
    line = read_train([f"--config-dir={folder}", "--config-name", "mine.yaml", "+experiment=small", "-m", "seed=1,2"])
    assert line.source == Source(folder, "mine")
    assert read_train(line.for_hydra()).source == Source(str(tmp_path / folder), "mine")  # as a cell's process is started
    assert [cell.config.seed for cell in cells_of(line.overrides, line.source, multirun=True)] == [1, 2]
    assert load(config_dir=folder, config_name="mine").seed == 7
    assert read_train([f"--config-name={folder}/mine.yaml"]).source == Source(folder, "mine")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--multirn"], "--multirn: no such option: did you mean --multirun?"),
        (["--lr=0.1"], "--lr=0.1: no such option: did you mean optimizer.lr=0.1?"),
        (["--epochs", "5"], "--epochs: no such option: did you mean trainer.max_epochs=…?"),
        (["--zzz"], "--zzz: no such option (python -m resnet_lit.train --help)"),
        (["--data.root=x"], "--data.root=x: no such option: did you mean data.root=x?"),
        (["--multirun=true"], "--multirun=true: --multirun takes no value; leave out =true"),
        (["--config-dir"], "--config-dir: needs a value (--config-dir=…)"),
        (["--config-dir=nowhere"], "--config-dir=nowhere: no such folder"),
        (["--config-name=a", "--config-name=b"], "--config-name: given twice, a and b; leave one of them out"),
        (["--cfg", "jobs"], "--cfg=jobs: must be one of job, hydra, all"),
        (["--resolve"], "--resolve: belongs to --cfg (add --cfg job)"),
        (["-m", "--cfg", "job"], "--cfg: shows the config of one run; leave out -m"),
        (["--run", "-i", "config"], "--run, --info: only one at a time; leave one of them out"),
        (["photos"], "photos: must be key=value"),
        (["optimizer.lr", "=", "0.1"], "optimizer.lr: needs a value, optimizer.lr=…"),
        (["=0.1"], "=0.1: has no key before the ="),
        (["data.root="], "data.root=: is empty; name a file or folder, or leave it out"),
        (["hydra.run.dir="], "hydra.run.dir=: is empty; name a folder, or leave it out"),
    ],
)
def test_words_that_cannot_be_meant(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        read_train(words)
    assert str(refusal.value).startswith(said)
    assert "\n" not in str(refusal.value)


def test_a_folder_whose_name_begins_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~tilde").mkdir()
    assert request(load("data=folder", "data.root=~tilde").data)["root"].path == Path("~tilde")


def test_a_primary_config_without_the_packages_is_told_how_it_begins(tmp_path: Path) -> None:
    (tmp_path / "bare.yaml").write_text("seed: 3\n")
    with pytest.raises(ConfigError, match=r"^--config-name=bare: .*let it begin with `defaults: \[config, _self_\]`"):
        load("data=folder", config_dir=tmp_path, config_name="bare")


def test_a_config_name_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"^--config-name=confg: no such config .*: did you mean config\?$"):
        load(config_name="confg")


def test_options_may_be_short_or_cut_off() -> None:
    assert read_train(["-m"]).multirun
    assert read_train(["--multi", "seed=0,1"]).multirun
    assert read_train(["-cn", "mine"]).source.name == "mine"
    assert read_train(["--info"]).options == {"--info": "all"}
    assert read_train(["-i", "plugins", "seed=1"]).options == {"--info": "plugins"}


def test_a_cells_process_reads_what_the_sweep_read(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever launcher starts it: all start a cell by these words."""
    (tmp_path / "my conf, v2").mkdir()
    (tmp_path / "my conf, v2" / "mine.yaml").write_text("defaults: [config, _self_]\ndata: {limit_train: 40}\n")
    monkeypatch.chdir(home)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # as it was, at the end
    for name in NAMES[3:24:4]:
        line = read_train([f"--config-dir={tmp_path}/my conf, v2", "--config-name=mine", f"data.root={name}", "seed=0,1", "-m"])
        with own_hydra(line.source) as hydra:
            master = hydra.compose_config(line.source.name, list(line.overrides), RunMode.MULTIRUN, with_log_configuration=False)
            words = expand(master)[1]
            cell = GlobalHydra.instance().config_loader().load_sweep_config(master, words)
            with open_dict(cell):
                cell.hydra.runtime.output_dir = f"{home}/{name}"
                cell.hydra.job.num, cell.hydra.job.id = 0, "0"
            HydraConfig.instance().set_config(cell)
            started = read_train(job.words_of_cell())
        config = cells_of(started.overrides, started.source)[0]
        assert (config.config.data.limit_train, config.config.seed, config.config.data.root) == (40, 1, name)
        assert config.folder == home / name
