"""Networks and the folders they are kept in."""

from __future__ import annotations
