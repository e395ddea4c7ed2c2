"""The command ``nuisflow``, also ``python -m nuisflow``: fit, rank, scan, limit and toys of any pyhf workspace."""

import sys

import nuisflow


def main() -> int:
    """Run a command and return its exit status."""
    if sys.argv[1:] == ["--version"]:
        print(f"nuisflow {nuisflow.__version__}")
        return 0
    from nuisflow.likelihood import commands

    program = "python -m nuisflow" if sys.argv[0].endswith("__main__.py") else "nuisflow"
    return commands.main(program=program)


if __name__ == "__main__":
    sys.exit(main())
