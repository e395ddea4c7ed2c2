"""How do uncertainties of templates, of scores at every z and of single events depend on the size of the simulation?

The benchmark INFERNO with the shift of r and a rate, 60,000 events per process, and the section `studies`: 10 % and 30 %
of the events to learn of, or of all that there are.

    python tests/studies/parts_of_events.py --cores 2    # prints both tables: results/sizes/comparison/ has them
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from analyses import changed, shipped

EVENTS = 60_000
"""Simulated ones per process."""
SIZES = [0.1, 0.3]
TABLES = [f"results/sizes/comparison/{name}.csv" for name in ("studies", "power_laws")]


def content() -> dict[str, Any]:
    """Return the configuration, with a training of every kind of likelihood."""
    return changed(
        shipped("inferno"),
        ("analysis", "sizes"),
        *((f"samples.{name}.events", EVENTS) for name in ("signal", "background")),
        *((name, None) for name in ("scenarios", "published", "plots", "variations.lambda")),
        *(("learning." + name, value) for name, value in {"hidden": [32, 32], "seeds": 1}.items()),
        ("learning.events_seen", 1_000_000),
        (
            "trainings",
            {
                "nominal": {"strategy": "nominal", "learning_rate": 0.001},
                "aware": {"strategy": "conditional", "variations": ["r"]},
                "events": {"strategy": "unbinned", "variations": ["r"], "events_seen": 1_500_000, "replicas": 24},
            },
        ),
        ("toys", {"number": 1000, "displacements": {"down2": -2, "up2": 2}, "displaced_number": 20}),
        ("studies", {"training_events": SIZES, "simulated_events": SIZES}),
    )


def main() -> None:
    """Run the studies and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", default="1", help="of Snakemake (default: 1)")
    file = ROOT / "results" / "studies" / "parts_of_events.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(content(), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--configfile", str(file), "--cores", parser.parse_args().cores]
    subprocess.run([*command, "--", *TABLES], cwd=ROOT, check=True)
    for table in TABLES:
        print(pd.read_csv(ROOT / table).to_string(index=False))


if __name__ == "__main__":
    main()
