"""Write config/schema.json, with which editors check and complete a configuration."""

from pathlib import Path

from nuisflow import checks, files

if __name__ == "__main__":
    files.write_json(Path(__file__).parent.parent / "config" / "schema.json", checks.schema())
