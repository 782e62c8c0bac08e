"""The page's one style sheet, and the word by which a browser knows it for ours."""

import base64
import hashlib
from importlib import resources

STYLE = resources.files(__package__).joinpath("status.css").read_text("utf-8")
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
