"""A page as a browser shows it: its width, what it says to the console, its colours, and values under the pointer."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
# The page stands in a frame, since the window of a browser without a screen cannot be as narrow as a telephone.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe id="page" src="{page}" style="border:0;width:{width}px;height:900px"></iframe><pre id="found"></pre>
<script>
const frame = document.getElementById("page");
frame.onload = () => {{
  const inside = frame.contentDocument, view = frame.contentWindow, root = inside.documentElement;
  const first = inside.querySelector("svg.figure use[data-value]"), box = first?.getBoundingClientRect();
  const at = box && {{ clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true }};
  first?.dispatchEvent(new view.PointerEvent("pointermove", at));
  const tip = inside.getElementById("tip")?.textContent;
  inside.querySelectorAll("details").forEach(part => {{ part.open = true; }});
  const area = inside.querySelector("svg.figure path[data-value]");
  area?.scrollIntoView({{ block: "center", inline: "center" }});
  const bounds = area?.getBoundingClientRect();
  const middle = area && [bounds.left + bounds.width / 2, bounds.top + bounds.height / 2];
  const hit = area && inside.elementFromPoint(...middle);
  hit?.dispatchEvent(new view.PointerEvent("pointermove", {{ clientX: middle[0], clientY: middle[1], bubbles: true }}));
  const heading = [...inside.querySelectorAll("th.sorts")].find(th => th.textContent.startsWith("AUC"));
  heading?.click();
  const column = heading && [...heading.parentElement.cells].indexOf(heading);
  document.getElementById("found").textContent = JSON.stringify({{
    width: root.scrollWidth,
    background: view.getComputedStyle(inside.body).backgroundColor,
    tip,
    area: area?.dataset.value,
    areaTip: inside.getElementById("tip")?.textContent,
    named: first?.dataset.value,
    titles: inside.querySelectorAll("svg.figure title").length,
    sorted: heading && [...heading.closest("table").tBodies[0].rows].map(row => parseFloat(row.cells[column].textContent)),
  }});
}};
</script>
"""


def seen(page: Path, width: int, folder: Path, *options: str) -> dict[str, Any]:
    """Return what Chromium finds in *page* (with scripts) when it is *width* pixels wide, and ``console``."""
    frame = folder / f"frame{width}.html"
    frame.write_text(FRAME.format(page=page.resolve().as_uri(), width=width), encoding="utf-8")
    switches = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--enable-logging=stderr",
    ]
    switches += ["--window-size=1400,1000", "--virtual-time-budget=3000", f"--user-data-dir={folder / 'profile'}"]
    command = [str(CHROMIUM), *switches, *options, "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    told = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")) | {"console": told}
