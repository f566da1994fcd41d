"""Parsing dvc.yaml as data gives the same graph as DVC."""

from pathlib import Path
from typing import Any

import pytest
from dvc_airflow import graph

from tests.support.checkouts import ROOT


def by_dvc(root: Path) -> dict[str, dict[str, Any]]:
    """Each stage in DVC's own index."""
    from dvc.dependency.param import ParamsDependency
    from dvc.repo import Repo

    def inside(path: str) -> str:
        return Path(path).relative_to(root).as_posix()

    with Repo(str(root)) as repo:
        edges = repo.index.graph
        return {
            stage.name: {
                "cmd": " && ".join(stage.cmd) if isinstance(stage.cmd, list) else stage.cmd,
                "deps": {inside(dep.fs_path) for dep in stage.deps if not isinstance(dep, ParamsDependency)},
                "outs": {inside(out.fs_path) for out in stage.outs},
                "metrics": {inside(out.fs_path) for out in stage.outs if out.metric},
                "needs": {above.name for above in edges.successors(stage)},
                "always": stage.always_changed,
            }
            for stage in repo.index.stages
        }


def by_us(root: Path) -> dict[str, dict[str, Any]]:
    found = graph.read(root)
    return {
        address: {
            "cmd": stage.cmd,
            "deps": set(stage.deps),
            "outs": set(stage.outs),
            "metrics": set(stage.metrics),
            "needs": set(found.upstream[address]),
            "always": stage.always,
        }
        for address, stage in found.stages.items()
    }


def test_this_repository_is_parsed_as_dvc_parses_it() -> None:
    assert by_us(ROOT) == by_dvc(ROOT)


PIPELINES = {
    "names that YAML 1.1 takes for truth values or numbers": """
        stages:
          train:
            foreach:
              no: 1
              on: 2
              y: 3
              "true": 4
              1:30: 5
              0x1f: 6
              "007": 7
            do:
              cmd: train ${key} with ${item}
              outs: ["out-${item}"]
    """,
    "foreach over a list of names": """
        stages:
          fetch:
            foreach: [a, b, 3, true]
            do:
              cmd: get ${item}
              outs: ["${item}.bin"]
          use:
            foreach: ${names}
            do:
              cmd: use ${item}
              deps: ["${item}.bin"]
    """,
    "foreach over a list of mappings": """
        stages:
          fit:
            foreach:
              - {name: small, width: 8}
              - {name: large, width: 64}
            do:
              cmd: fit ${item.name} --width ${item.width}
              outs: ["${item.name}"]
    """,
    "foreach over names and mappings mixed": """
        stages:
          fit:
            foreach: [plain, {name: large}]
            do:
              cmd: fit
              deps: [input]
    """,
    "foreach over a mapping of params.yaml": """
        stages:
          fit:
            foreach: ${models}
            do:
              cmd:
                - prepare ${key}
                - fit ${key} ${item.layers[1]} ${item.bias}
              params: ["models.${key}"]
              outs: ["models/${key}/weights"]
          test:
            cmd: test
            deps: [models]
            metrics: [{scores.json: {cache: false}}]
    """,
    "matrix": """
        stages:
          fit:
            matrix:
              model: ${names}
              size: [{width: 8}, {width: 64}]
              fold: [1, 2]
            cmd: fit ${item.model} ${item.size.width} ${item.fold}
            outs: ["${key}.bin"]
          best:
            cmd: best
            deps: [a-size0-1.bin, b-size1-2.bin]
    """,
    "vars from the file itself, other files and a stage": """
        vars:
          - folder: {raw: raw, clean: clean}
          - more.yaml
          - some.yaml:deep
        stages:
          clean:
            cmd: clean ${folder.raw} ${folder.scrap} ${limit} ${deep.key}
            deps: ["${folder.raw}"]
            outs: ["${folder.clean}"]
          train:
            vars: [{epochs: 3}]
            cmd: train --epochs ${epochs}
            deps: ["${folder.clean}/train.csv"]
    """,
    "a working directory of its own": """
        stages:
          make:
            wdir: sub/one
            cmd: make
            deps: [../input]
            outs: [out, ../two]
          take:
            wdir: sub
            cmd: take
            deps: [one/out/part, ./two]
          all:
            foreach: ${names}
            do:
              wdir: sub/${item}
              cmd: run
              deps: [../one/out]
              outs: [here]
          own:
            wdir: sub
            vars: [one/own.yaml]
            cmd: own ${mine}
    """,
    "outputs inside what others need": """
        stages:
          part:
            cmd: part
            outs: [data/part]
            plots: [curve.csv: {x: step}]
          other:
            cmd: other
            outs: [data/other]
          whole:
            cmd: whole
            deps: [data]
            always_changed: true
          prefix:
            cmd: prefix
            deps: [data/partition]
    """,
    "an escaped reference": """
        stages:
          shell:
            cmd: echo \\${HOME} ${names[0]}
    """,
}
FILES = {
    "sub/one/own.yaml": "mine: 1\n",
    "params.yaml": "names: [a, b]\nmodels: {x: {layers: [1, 2], bias: true}, y: {layers: [3, 4], bias: false}}\n",
    "more.yaml": "folder: {scrap: scrap}\nlimit: 0.5\n",
    "some.yaml": "deep: {key: value}\nfolder: 3\n",
}


def write(root: Path, pipeline: str) -> None:
    import textwrap

    (root / "sub" / "one").mkdir(parents=True)
    for name in "ab":
        (root / "sub" / name).mkdir()
    for name, text in FILES.items():
        (root / name).write_text(text)
    (root / "dvc.yaml").write_text(textwrap.dedent(pipeline))


@pytest.mark.parametrize("name", PIPELINES)
def test_dvcs_syntax_is_parsed_as_dvc_parses_it(tmp_path: Path, name: str) -> None:
    from dvc.repo import Repo

    write(tmp_path, PIPELINES[name])
    Repo.init(str(tmp_path), no_scm=True).close()
    assert by_us(tmp_path) == by_dvc(tmp_path)


def test_projects_keep_their_order_and_shared_stages() -> None:
    import yaml

    found = graph.read(ROOT)
    projects = list(yaml.safe_load((ROOT / "params.yaml").read_text())["projects"])
    assert found.keys() == projects
    for project in projects:
        own = found.stages_of(project)
        assert {stage.key for stage in own} == {project, None}, "shared stages are included"
        for stage in own:
            assert set(found.upstream[stage.address]) <= {one.address for one in own}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ["dvc.yaml", "No such file"]),
        ({"dvc.yaml": "stages: [\n"}, ["dvc.yaml", "line 2"]),
        ({"dvc.yaml": "- a\n"}, ["dvc.yaml", "mapping"]),
        ({"dvc.yaml": "vars: [gone.yaml]\n"}, ["gone.yaml", "No such file"]),
        ({"dvc.yaml": "stages: {one: {cmd: 'run ${nowhere.at}'}}"}, ["dvc.yaml", "stages.one.cmd", "nowhere.at"]),
        ({"dvc.yaml": "stages: {one: {foreach: '${gone}', do: {cmd: x}}}"}, ["stages.one.foreach", "gone"]),
        ({"dvc.yaml": "stages: {one: {foreach: 7, do: {cmd: x}}}"}, ["dvc.yaml", "stages.one.foreach", "7"]),
        ({"dvc.yaml": "stages: {one: [x]}"}, ["dvc.yaml", "stages.one", "mapping"]),
        (
            {"dvc.yaml": "stages: {one: {cmd: x, outs: [same]}, two: {cmd: y, outs: [./same]}}"},
            ["dvc.yaml", "same", "one", "two"],
        ),
        (
            {"dvc.yaml": "stages: {one: {cmd: x, deps: [b], outs: [a]}, two: {cmd: y, deps: [a], outs: [b]}}"},
            ["dvc.yaml", "one", "two"],
        ),
    ],
    ids=["no dvc.yaml", "no YAML", "no mapping", "no vars", "unknown key", "unknown list", "no list", "no stage",
         "two writers", "a cycle"],
)  # fmt: skip
def test_an_error_names_file_and_stage(tmp_path: Path, files: dict[str, str], expected: list[str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(graph.GraphError) as caught:
        graph.read(tmp_path)
    assert all(word in str(caught.value) for word in expected), str(caught.value)
