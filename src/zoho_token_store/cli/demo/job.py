"""What the demo tells a worker to do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Job:
    """What a worker is to do.

    Attributes:
        store: ``file`` or ``redis``.
        place: The file's path, or the URL of Redis.
        namespace: For ``redis``.
        zoho: URL of the stand-in.
        client_id: Of the application.
        client_secret: Of the application.
        redirect_url: Of the application.
        grant_code: The one code that the whole fleet boots on.
        resources: Folder where the SDK keeps its own files.
        pause: Seconds between calls.
        error_pause: Seconds until the next attempt after an error.
    """

    store: str
    place: str
    namespace: str
    zoho: str
    client_id: str
    client_secret: str
    redirect_url: str
    grant_code: str
    resources: str
    pause: float
    error_pause: float

    def to_line(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self)) + "\n"
