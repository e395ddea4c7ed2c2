"""Write config/schema.json, with which editors check and complete a configuration."""

from pathlib import Path

from nuisflow.settings.checks import reading
from nuisflow.storage import files

if __name__ == "__main__":
    files.write_json(Path(__file__).parent.parent / "config" / "schema.json", reading.schema())
