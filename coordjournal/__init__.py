"""coordjournal: durable, auditable decisions in an ordinary git remote.

Names are loaded when they are first used, so that importing the package costs next to nothing: the hook imports from
it and must not pay for the library.
"""

TYPE_CHECKING = False  # importing it from typing would cost the hook 4 ms

__version__ = "0.1.0"

_HOME = {
    "journal": ("Journal",),
    "space": ("Space",),
    "feed": ("Change", "Checkpoint"),
    "whereabouts": ("Preview", "Whereabouts"),
    "lease": ("HeldLease",),
    "rescue": ("Fate", "Rescue"),
    "trailer": ("Lease",),
    "decision": ("Attachment", "Decision", "Intent", "Landed"),
    "payload": (
        "AliasCleared",
        "AliasSet",
        "BindingMade",
        "DecisionRevoked",
        "ForkMade",
        "IntentRefused",
        "LeaseAcquired",
        "LeaseReleased",
        "MergeDecided",
        "OverlayClosed",
        "OverlayCreated",
        "OverlayRevised",
        "Payload",
    ),
    "errors": (
        "Contention",
        "CoordjournalError",
        "DecisionNotFound",
        "GitFailed",
        "IdConflict",
        "JournalRewound",
        "LeaseHeld",
        "LeaseLost",
        "NotAJournal",
        "PreconditionFailed",
        "Queued",
        "Refused",
        "RemoteUnreachable",
        "UnknownSpace",
        "UnlawfulLog",
        "UnsupportedVersion",
        "WouldBeVoid",
    ),
    "state": ("CoordinationState", "ForkEdge", "Overlay", "Void", "fold"),
    "difference": ("StateDiff", "diff"),
    "extensions": ("ExtensionFold",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = list(_MODULE)

if TYPE_CHECKING:
    from .decision import Attachment as Attachment
    from .decision import Decision as Decision
    from .decision import Intent as Intent
    from .decision import Landed as Landed
    from .difference import StateDiff as StateDiff
    from .difference import diff as diff
    from .errors import Contention as Contention
    from .errors import CoordjournalError as CoordjournalError
    from .errors import DecisionNotFound as DecisionNotFound
    from .errors import GitFailed as GitFailed
    from .errors import IdConflict as IdConflict
    from .errors import JournalRewound as JournalRewound
    from .errors import LeaseHeld as LeaseHeld
    from .errors import LeaseLost as LeaseLost
    from .errors import NotAJournal as NotAJournal
    from .errors import PreconditionFailed as PreconditionFailed
    from .errors import Queued as Queued
    from .errors import Refused as Refused
    from .errors import RemoteUnreachable as RemoteUnreachable
    from .errors import UnknownSpace as UnknownSpace
    from .errors import UnlawfulLog as UnlawfulLog
    from .errors import UnsupportedVersion as UnsupportedVersion
    from .errors import WouldBeVoid as WouldBeVoid
    from .extensions import ExtensionFold as ExtensionFold
    from .feed import Change as Change
    from .feed import Checkpoint as Checkpoint
    from .journal import Journal as Journal
    from .lease import HeldLease as HeldLease
    from .payload import AliasCleared as AliasCleared
    from .payload import AliasSet as AliasSet
    from .payload import BindingMade as BindingMade
    from .payload import DecisionRevoked as DecisionRevoked
    from .payload import ForkMade as ForkMade
    from .payload import IntentRefused as IntentRefused
    from .payload import LeaseAcquired as LeaseAcquired
    from .payload import LeaseReleased as LeaseReleased
    from .payload import MergeDecided as MergeDecided
    from .payload import OverlayClosed as OverlayClosed
    from .payload import OverlayCreated as OverlayCreated
    from .payload import OverlayRevised as OverlayRevised
    from .payload import Payload as Payload
    from .rescue import Fate as Fate
    from .rescue import Rescue as Rescue
    from .space import Space as Space
    from .state import CoordinationState as CoordinationState
    from .state import ForkEdge as ForkEdge
    from .state import Overlay as Overlay
    from .state import Void as Void
    from .state import fold as fold
    from .trailer import Lease as Lease
    from .whereabouts import Preview as Preview
    from .whereabouts import Whereabouts as Whereabouts


def __getattr__(name: str) -> object:
    module = _MODULE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE])
