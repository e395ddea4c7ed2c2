"""What a job imports: no more than it needs, since many short jobs run."""

import subprocess
import sys

import pytest

from nuisflow.likelihood.kernels import compilation
from nuisflow.storage import logs, sources

FIT = """
import os, sys
os.environ[{name!r}] = "fit_workspace"
sys.path.insert(0, {scripts!r})
from nuisflow.likelihood.kernels.compile import counting_experiment
from nuisflow.likelihood import fits, model
fits.fit(model.Model(counting_experiment()))
print(*sorted(set(name.split(".")[0] for name in sys.modules)))
"""


@pytest.mark.slow
def test_a_job_that_fits_does_not_import_what_other_packages_add_to_numba():
    assert compilation.JOB == logs.JOB
    code = FIT.format(name=logs.JOB, scripts=str(sources.SCRIPTS))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numba" in loaded
    assert not loaded & {"awkward", "vector", "sympy", "pandas", "hist"}
