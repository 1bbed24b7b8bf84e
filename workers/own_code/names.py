"""Names of a user's own code: ``./my_optimizer.py:MyOpt`` and ``package.module:MyOpt``."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["FILE_PATTERN", "FORMS", "CodeName", "parse_code_name"]

FILE_PATTERN = r"[A-Za-z_][A-Za-z0-9_]{0,59}\.py"
"""Name of a file: that of a Python module without a folder."""
FORMS = "./FILE.py:NAME or PACKAGE.MODULE:NAME"
"""Both forms, for messages."""

_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_CODE_NAME = re.compile(
    rf"(?:(?:\./)?(?P<file>{FILE_PATTERN})"
    rf"|(?P<module>{_IDENTIFIER}(?:\.{_IDENTIFIER})+)(?<!\.py))"
    rf":(?P<attribute>{_IDENTIFIER})"
)


@dataclass(frozen=True, slots=True)
class CodeName:
    """Name of an optimizer, model or data set in a user's own code.

    Args:
        file: Name of the file that defines it; empty for an installed module.
        module: Dotted name of the installed module; empty for a file.
        attribute: Its name in the file or module.
    """

    file: str
    module: str
    attribute: str

    def __str__(self) -> str:
        """The canonical name: equal code has equal names, whether ``./`` was written or not."""
        return f"{self.file or self.module}:{self.attribute}"


def parse_code_name(name: str) -> CodeName | None:
    """Parse the name of a user's own code; None if it has neither form."""
    found = _CODE_NAME.fullmatch(name)
    if found is None:
        return None
    return CodeName(found["file"] or "", found["module"] or "", found["attribute"])
