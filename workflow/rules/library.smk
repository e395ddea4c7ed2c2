"""Find the library: beside the workflow, or installed in the same version; also where this is a module of another."""

import importlib.util
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError


def git_address(source) -> str:
    """Return what pip installs the library from: the same place and version as the workflow."""
    if hasattr(source, "repo_path"):
        return f"git+file://{os.path.abspath(source.repo_path)}@{source.ref}"
    return f"git+https://{source.host}/{source.repo}@{source.ref}"


# Of a git source, such as github(...), Snakemake fetches single files: then nothing lies beside this one.
source = workflow.current_basedir
beside = Path(os.path.normpath(f"{source}/../../scripts"))
is_checkout = (beside / "nuisflow").is_dir()
remedy = (
    "" if is_checkout else f'pip install "nuisflow[workflow] @ {git_address(source)}"'
)
found = importlib.util.find_spec("nuisflow")
if found and not found.origin:  # a folder of the user with this name
    found = None

if is_checkout and (found is None or not Path(found.origin).is_relative_to(beside)):
    sys.path.insert(0, str(beside))
    if found is not None:  # another one is installed, which jobs must not import
        others = filter(None, [os.environ.get("PYTHONPATH")])
        os.environ.update(PYTHONPATH=os.pathsep.join([str(beside), *others]))
if not is_checkout and found is None:
    raise WorkflowError(
        f"The workflow comes from {source}, its library is not installed here: {remedy}"
    )

import nuisflow

if is_checkout and not Path(nuisflow.__file__).is_relative_to(beside):
    raise WorkflowError(
        f"{nuisflow.__file__} was imported before the library beside the workflow, {beside}, could be: "
        "one version of Nuisflow at a time"
    )
if not is_checkout:
    content = Path(
        workflow.source_path("../../scripts/nuisflow/__init__.py")
    ).read_text()
    version = re.search('__version__ = "(.*)"', content).group(1)
    if version != nuisflow.__version__:
        raise WorkflowError(
            f"The workflow from {source} is version {version}, the library in {Path(nuisflow.__file__).parent} "
            f"is version {nuisflow.__version__}: {remedy}"
        )

from nuisflow.storage import sources

if not is_checkout:
    sources.find_scripts(lambda name: workflow.source_path(f"../../scripts/{name}.py"))
