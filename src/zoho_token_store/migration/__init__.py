"""Moving tokens from one store to another, whichever of the two kinds each is of."""

from zoho_token_store.migration.entry import Entry, Remark, Unreadable
from zoho_token_store.migration.move import Line, Move, Tally
from zoho_token_store.migration.place import Place
from zoho_token_store.migration.places import Naming, open_place, open_source, open_target

__all__ = [
    "Entry",
    "Line",
    "Move",
    "Naming",
    "Place",
    "Remark",
    "Tally",
    "Unreadable",
    "open_place",
    "open_source",
    "open_target",
]
