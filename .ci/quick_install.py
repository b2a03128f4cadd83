"""Install what pyproject.toml asks for with uv, under the index settings that pip has here.

pip asks an index about one package after the other; uv asks about all at once, and takes seconds where pip takes
minutes. It does not read pip's settings, so it is handed them. Ends with what uv ends with: who calls it may go on
with pip.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys

# pip's setting; the variable in which uv looks for it; what stands between several values.
SETTINGS = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
}


def settings_of_pip() -> dict[str, str]:
    """Return what pip's files and environment set, as variables for uv; the environment comes last and wins."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        known = SETTINGS.get(name.rpartition(".")[2])
        if known:
            variable, between = known
            found[variable] = between.join(str(ast.literal_eval(value)).split())
    return found


def main() -> int:
    """Install in the environment of this interpreter."""
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
    # As pip does, the best version of all indexes is taken, not the best of the first that has any.
    how = ["--index-strategy", "unsafe-best-match", "--constraint", "constraints.txt", "--editable", ".[dev]"]
    return subprocess.run([*uv, *how], env={**settings_of_pip(), **os.environ}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
