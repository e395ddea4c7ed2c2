"""Write the schema of a configuration, for editors (config/) and for the catalogue of workflows (workflow/schemas/)."""

from pathlib import Path

from nuisflow.settings.checks import reading
from nuisflow.storage import files

PLACES = ("config/schema.json", "workflow/schemas/config.schema.json")

if __name__ == "__main__":
    for place in PLACES:
        files.write_json(Path(__file__).parent.parent / place, reading.schema())
