"""Compile the likelihood once (a minute), so that the first jobs of a run need not do it side by side."""

from nuisflow.likelihood.kernels.compile import compile_likelihood

if __name__ == "__main__":
    compile_likelihood()
