"""The conda environments and the requirements name the same versions."""

import re

import pytest
import yaml
from analyses import ROOT

ELSEWHERE = {
    "pytorch-cpu": "torch",
    "py-xgboost-cpu": "xgboost-cpu",
    "dask-core": "dask",
    "matplotlib-base": "matplotlib",
    "snakemake-minimal": "snakemake",
    "python-xxhash": "xxhash",
}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned():
    lines = (ROOT / "envs" / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    torch = re.search(r"^TORCH_VERSION := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    return {normal(name): version for name, version in pins.items()} | {"torch": torch}


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_conda_and_pip_users_get_the_same_versions(path):
    for package in yaml.safe_load(path.read_text())["dependencies"]:
        name, version = package.split("=")
        if name != "python":
            assert pinned()[normal(ELSEWHERE.get(name, name))] == version, package


def test_every_direct_requirement_is_pinned():
    for suffix in ("", "-test"):
        pins = (ROOT / "envs" / f"requirements{suffix}.txt").read_text()
        names = {normal(line.split("==")[0]) for line in pins.splitlines() if "==" in line}
        for line in (ROOT / "envs" / f"requirements{suffix}.in").read_text().splitlines():
            if requirement := line.split("#")[0].strip():
                assert normal(re.split(r"[<>=]", requirement)[0]) in names


def test_nothing_pulls_in_the_cuda_build():
    assert not re.search(
        r"^(torch|nvidia|xgboost)[-=]*=", (ROOT / "envs" / "requirements.txt").read_text(), re.MULTILINE
    )
