"""What a client costs where it is deployed: installed size and import time.

    python benchmarks/client_footprint.py ./serving --module keras_smes_serving.client

installs a requirement into a new virtual environment, and imports the module there in processes of their own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("requirement", help="what pip installs, such as ./serving")
    parser.add_argument("--module", default="keras_smes_serving.client", help="what is imported")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        venv.create(folder)
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", arguments.requirement],
            check=True,
        )
        (packages,) = Path(folder).glob("lib/python*/site-packages")
        size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file())
        imported(python, arguments.module)  # writes no bytecode into the size, and warms the disk cache
        seconds = sorted(imported(python, arguments.module) for _ in range(arguments.repeats))
    result = {
        "installed_mb": round(size / 1e6, 1),
        "import_s": {"median": round(statistics.median(seconds), 3), "min": seconds[0], "max": seconds[-1]},
    }
    print(json.dumps(result))


def imported(python, module):
    """Seconds that a new process takes to import a module, from its start to its end."""
    began = time.perf_counter()
    subprocess.run([python, "-I", "-c", f"import {module}"], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
