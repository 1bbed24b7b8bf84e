"""Look up known vulnerabilities of the locked dependencies; `make lint` runs it.

A finding fails. Where no source of advisories can be reached, this says so and passes: offline work
goes on, and the next run with a network tells.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"


def main() -> int:
    """Audit the lock file; returns 1 if a version in it is known to be vulnerable."""
    command = (sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner", "off")
    answer = subprocess.run(
        [*command, "--format", "json", "--requirement", str(LOCK)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        dependencies = json.loads(answer.stdout)["dependencies"]
    except ValueError:
        lines = answer.stderr.strip().splitlines() or ["no reason given"]
        print(f"audit: no source of advisories answers ({lines[-1][:200]})")
        return 0
    known = [one for one in dependencies if "vulns" in one]
    for one in known:
        for found in one["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "no version yet"
            print(f"audit: {one['name']} {one['version']}: {found['id']}, fixed in {fixed}")
    print(f"audit: advisories were found for {len(known)} of {len(dependencies)} dependencies")
    return 1 if any(one["vulns"] for one in known) else 0


if __name__ == "__main__":
    sys.exit(main())
