"""How the site is built: `make docs` writes it to build/docs/index.html, to be read without a network."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "scripts")]

import pages  # noqa: E402

project = "Nuisflow"
extensions = ["myst_parser", "sphinx_copybutton", "sphinx-mathjax-offline"]
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Nuisflow"
html_static_path = ["_static"]
html_css_files = ["figures.css"]
html_show_copyright = False
html_show_sphinx = False
exclude_patterns = ["build"]

pages.make(HERE / "made")
