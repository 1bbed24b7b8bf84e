"""The checks of ``sasam doctor`` by name, in the order they are shown."""

from __future__ import annotations

from service.cli.findings import Check
from service.cli.machine_checks import (
    check_locale,
    check_memory,
    check_open_files,
    check_packages,
    check_python,
    check_shared_memory,
    check_torch,
)
from service.cli.service_checks import (
    check_access,
    check_address,
    check_code,
    check_database,
    check_disk,
    check_home,
    check_service,
)

__all__ = ["CHECKS"]

CHECKS: dict[str, Check] = {
    "Python": check_python,
    "packages": check_packages,
    "PyTorch": check_torch,
    "home": check_home,
    "disk": check_disk,
    "database": check_database,
    "access": check_access,
    "code": check_code,
    "service": check_service,
    "address": check_address,
    "memory": check_memory,
    "shared memory": check_shared_memory,
    "open files": check_open_files,
    "locale": check_locale,
}
