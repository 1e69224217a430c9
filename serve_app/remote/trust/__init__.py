"""Whether workers score honestly, and what becomes of those that do not."""

from serve_app.remote.trust.audit import TrustRecord
from serve_app.remote.trust.environment import Environment
from serve_app.remote.trust.recording import Records
from serve_app.remote.trust.trust import Trust

__all__ = ["Environment", "Records", "Trust", "TrustRecord"]
