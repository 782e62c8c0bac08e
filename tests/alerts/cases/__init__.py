"""One file per file of rules: for each alert, and each of its severities, what raises it and what does not."""

import importlib
import pkgutil
from collections.abc import Mapping

from ..story import Case

CASES: Mapping[str, tuple[Case, ...]] = {
    name: cases if isinstance(cases, tuple) else (cases,)
    for module in pkgutil.iter_modules(__path__)
    for name, cases in importlib.import_module(f"{__name__}.{module.name}").CASES.items()
}
