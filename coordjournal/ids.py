"""Where the decision of an id first landed in the log of a space, at a cost that does not grow with the log.

The sequencer asks this of every intent, so that one that is pushed again, at any time, by anybody, is answered with its
first landing. The answer is in a hash table on the disk, disposable like every cache: the log is the only truth.

    file      a header, then 2^n slots, at most half of them taken; linear probing
    header    what tells whether the file can be believed, and the tip of the log that the slots stand for
    slot      the 16 bytes of an id, the name of the commit, a checksum; zeros where there is none

- The first landing of an id wins. A commit that repeats an id, or has none, stands under a key made of its own name, so
  that :meth:`Ids.holds` knows it too. An ``intent-refused`` stands under its own id and under the
  :func:`refusal_key` of the one that it lets go.
- The header first says which tip is coming, then the slots are written, then it says that the tip has come. Whoever
  finds a tip that is still coming follows a process that was killed. Is that tip in the log, its slots are written
  again; is it not, the log went back, and the table is built anew.
- It is built anew from the log, too, after a reboot (nothing here is fsynced: any page may be lost), when the file is a
  copy (which may be of several moments), damaged, or of another log. Where it cannot be written, a table in memory,
  built from the log, serves this process.
- One process at a time: whoever uses a table holds the lock of its space.

This module is on the hook's hot path: importing ``sqlite3`` would cost 6 ms; a look-up here is a read or two from the
page cache.
"""

import posix
from zlib import crc32

from .accept import is_id
from .canonical import trusted
from .errors import GitFailed
from .gitread import commits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Pair = tuple[bytes, bytes]  # a key and the name of a commit

_MAGIC = b"coordjournal ids 1\n\0"
_BOOT = "/proc/sys/kernel/random/boot_id"  # changes with every start of the machine (random(4))
_HEADER = 256  # bytes
_SLOT = 64  # bytes; slots do not cross pages, so that no process is killed in the middle of writing one
_FREE = bytes(_SLOT)
_KEY = 16
_NO_KEY = bytes(_KEY)
_NAME = 32  # room for an object name in SHA-256
_LEAD = len(_MAGIC) + 36 + 8 + 1  # of a header: what must be the same here and now
_RUN = 8 * _SLOT  # read at a time: a look-up takes three slots on average, at half load
_PART = 1024 * _SLOT
_NEAR = 4  # bits: a table up to 16 times as large is filled part by part
_FEWEST = 6  # bits: 64 slots, a page of them
_ALL = (1 << 128) - 1


class _Damaged(Exception):
    """A table, or what git gives of a log, is not what it must be."""


class Ids:
    """The table of one space. Call :meth:`bring_to` first."""

    def __init__(self, path: str, env: "dict[str, str]", oid_length: int) -> None:
        """
        Args:
            path: the file; it and its folder need not exist.
            env: of :func:`gitread.environment`, to read the log with.
            oid_length: hex digits of an object name in that repository.
        """
        self._path = path
        self._env = env
        self._width = oid_length // 2
        self._tip = b""
        self._table: _Table | None = None

    def __enter__(self) -> "Ids":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        if self._table is not None:
            posix.close(self._table.file)
            self._table = None

    def remove(self) -> None:
        """Removes the file."""
        self.close()
        try:
            posix.unlink(self._path)
        except OSError:
            pass  # there was none

    def bring_to(self, tip: "str | None") -> None:
        """Makes the table stand for the log whose tip is the commit ``tip`` (None: there is no log yet).

        Raises:
            GitFailed: git cannot read the log.
        """
        self._tip = bytes.fromhex(tip or "")
        try:
            if self._table is None:
                self._table = _opened(self._path, self._width)
            if self._caught_up(self._table):
                return
        except (OSError, _Damaged):
            pass
        self._rebuild()

    def find(self, id: str) -> "str | None":
        """The commit in which the decision ``id`` first landed, None if it is not in the log.

        Of a :func:`refusal_key` the commit that first let that intent go.

        Raises:
            GitFailed: the table had to be built anew, and git cannot read the log.
        """
        return (self._name(_id_key(id)).hex() or None) if _is_key(id) else None

    def holds(self, commit: str, id: str) -> bool:
        """Whether ``commit``, whose decision has this id, is in the log. Raises GitFailed as :meth:`find` does."""
        name = bytes.fromhex(commit)
        return (is_id(id) and self._name(_id_key(id)) == name) or self._name(_name_key(name)) == name

    def add(self, pairs: "Sequence[tuple[str, str]]", tip: str) -> None:
        """Takes in what has landed since :meth:`bring_to`, now that the ref is at ``tip``. Never fails.

        Args:
            pairs: id and commit of each new decision, the oldest first, and the same for each refusal key.
        """
        self._tip = bytes.fromhex(tip)
        if self._table is not None:
            try:
                known = [(_id_key(id), bytes.fromhex(commit)) for id, commit in pairs]
                self._extend(self._table, len(known), known)
            except (OSError, _Damaged):
                self.close()  # whoever asks next has a better one

    def _name(self, key: bytes) -> bytes:
        """The name of the commit under a key, empty if there is none."""
        if self._table is not None:
            try:
                return self._table.seek(key)[1]
            except (OSError, _Damaged):
                pass
        return self._rebuild().seek(key)[1]

    def _caught_up(self, table: "_Table | None") -> bool:
        """Brings a table to the tip; False if the log does not go on from where the table stands."""
        if table is None or not self._tip:
            return table is not None and not table.tip and not table.coming
        if table.tip == self._tip and not table.coming:
            return True
        try:
            records = _read(self._tip.hex(), table.tip.hex(), self._env, table.coming.hex())
        except GitFailed:  # the commit that the table stands for may be gone
            return False
        self._extend(table, len(records) // (_KEY + self._width), _oldest_first(records, self._width))
        return True

    def _extend(self, table: "_Table", count: int, pairs: "Iterable[Pair]") -> None:
        """Adds so many pairs, the oldest first, and lets the table stand for the present tip."""
        if not table.has_room(count):
            table = self._replace(table.entries + count, (), table, table.in_memory)
        table.coming = self._tip
        table.save()
        table.put(pairs)
        table.tip, table.coming = self._tip, b""
        table.save()

    def _rebuild(self) -> "_Table":
        """A table built from the log alone. Raises GitFailed."""
        self.close()
        try:
            records = _read(self._tip.hex(), "", self._env) if self._tip else bytearray()
        except _Damaged as error:
            raise GitFailed(f"git does not give the log as it is ({error}); `git fsck` may tell why") from None
        count = len(records) // (_KEY + self._width)
        blank = _Table(-1, self._width, 0, 0, posix.urandom(16), self._tip, b"")
        try:
            return self._replace(count, _oldest_first(records, self._width), blank, False)
        except OSError:
            return self._replace(count, _oldest_first(records, self._width), blank, True)

    def _replace(self, count: int, pairs: "Iterable[Pair]", old: "_Table", in_memory: bool) -> "_Table":
        """A new table of what ``old`` holds and these pairs, with room for ``count``, in the place of the old one."""
        bits = max(_FEWEST, (2 * count - 1).bit_length())
        fresh = self._path + "%new"  # no space is spelled like that
        file = posix.memfd_create("ids") if in_memory else _created(fresh)
        try:
            posix.truncate(file, _HEADER + (_SLOT << bits))
            table = _Table(file, self._width, bits, 0, old.seed, old.tip, old.coming)
            table.in_memory = in_memory
            if old.entries:
                table.take(old)
            table.put(pairs)
            table.save()
            if not in_memory:
                posix.rename(fresh, self._path)
        except BaseException:
            posix.close(file)
            if not in_memory:
                _unlink(fresh)
            raise
        self.close()
        self._table = table
        return table


class _Table:
    """A file of slots. ``tip`` is the tip of the log that they stand for, ``coming`` the next one; empty for none."""

    __slots__ = ("bits", "coming", "entries", "factor", "file", "in_memory", "seed", "tip", "width")

    def __init__(self, file: int, width: int, bits: int, entries: int, seed: bytes, tip: bytes, coming: bytes) -> None:
        self.file = file
        self.width = width
        self.bits = bits
        self.entries = entries
        self.seed = seed
        # Ids are their authors' choice. Mixed with a number that those do not know, they are spread so that nobody can
        # make one long run of slots; one multiplication alone lets some seeds do so with ids that count upwards.
        self.factor = int.from_bytes(seed) | 1
        self.tip = tip
        self.coming = coming
        self.in_memory = False

    def has_room(self, count: int) -> bool:
        """Whether at most half of the slots are taken with so many more."""
        return 2 * (self.entries + count) <= 1 << self.bits

    def home(self, key: bytes) -> int:
        """Where among the slots, in bytes, the search for a key begins."""
        mixed = int.from_bytes(key) * self.factor & _ALL
        mixed ^= mixed >> 64
        return _SLOT * ((mixed * self.factor & _ALL) >> (128 - self.bits))

    def seek(self, key: bytes) -> "tuple[int, bytes]":
        """Where in the file the slot of ``key`` is, or would be, and the name of the commit in it, empty for none.

        Raises:
            _Damaged: that cannot be told.
            OSError: the file cannot be read.
        """
        end = _HEADER + (_SLOT << self.bits)
        place = _HEADER + self.home(key)
        for _ in range(0, end + _RUN, _RUN):
            slots = _read_all(self.file, min(_RUN, end - place), place)
            for i in range(0, len(slots), _SLOT):
                name = self._name(slots[i : i + _SLOT])
                if not name or slots[i : i + _KEY] == key:
                    return place + i, name
            place += len(slots)
            if place == end:
                place = _HEADER
        raise _Damaged("no slot is free")

    def put(self, pairs: "Iterable[Pair]") -> None:
        """Writes pairs where they are not there yet; of a key the first one stays. Raises _Damaged, OSError."""
        for key, name in pairs:
            place, there = self.seek(key)
            if there and there != name:
                key = _name_key(name)
                place, there = self.seek(key)
            if not there:
                _write(self.file, _sealed(key + name, _SLOT), place)
            self.entries += 1  # also for what is there: the process that was killed had not come to count it

    def take(self, old: "_Table") -> None:
        """Fills this table, which is empty, with the slots of a smaller one of the same seed. Raises _Damaged, OSError.

        The upper bits of a hash say where a slot is: what is in one part of the old table belongs into one part of this
        one. So whole parts are written, in a quarter of the time that slot after slot takes.
        """
        further = self.bits - old.bits
        end = _SLOT << old.bits
        size = min(_PART, end)
        wide = size << further if further <= _NEAR else 0
        strays = []  # at the edge of a part
        for start in range(0, end, size):
            part = bytearray(wide)
            slots = _read_all(old.file, size, _HEADER + start)
            for i in range(0, size, _SLOT):
                slot = slots[i : i + _SLOT]
                if not self._name(slot):
                    continue
                at = self.home(slot[:_KEY]) - (start << further)
                while 0 <= at < wide and part[at : at + _KEY] != _NO_KEY:
                    at += _SLOT
                if 0 <= at < wide:
                    part[at : at + _SLOT] = slot
                else:
                    strays.append(slot)
            _write(self.file, part, _HEADER + (start << further))
        for slot in strays:
            _write(self.file, slot, self.seek(slot[:_KEY])[0])
        self.entries = old.entries

    def save(self) -> None:
        """Writes the header. Raises OSError."""
        header = _lead(self.file, self.width) + bytes((self.bits,)) + self.entries.to_bytes(8) + self.seed
        header += self.tip.ljust(_NAME, b"\0") + self.coming.ljust(_NAME, b"\0")
        _write(self.file, _sealed(header, _HEADER), 0)

    def _name(self, slot: bytes) -> bytes:
        """The name of the commit in a slot, empty for none."""
        if slot == _FREE:
            return b""
        if slot != _sealed(slot[: _KEY + self.width], _SLOT):
            raise _Damaged("a slot does not check")
        return slot[_KEY : _KEY + self.width]


def _opened(path: str, width: int) -> "_Table | None":
    """The table in a file, None if it cannot be believed. Raises OSError, _Damaged."""
    file = posix.open(path, posix.O_RDWR)
    table = None
    try:
        header = _read_all(file, _HEADER, 0)
        at = _LEAD + 1 + 8 + 16
        bits = header[_LEAD]
        if (
            header == _sealed(header[:-4], _HEADER)
            and header[:_LEAD] == _lead(file, width)
            and posix.fstat(file).st_size == _HEADER + (_SLOT << bits)
        ):
            entries, seed = int.from_bytes(header[_LEAD + 1 : at - 16]), header[at - 16 : at]
            tip, coming = header[at : at + _NAME], header[at + _NAME : at + 2 * _NAME]
            # No commit has the name 0...0, which git keeps for "none".
            tip, coming = (name[:width] if any(name) else b"" for name in (tip, coming))
            table = _Table(file, width, bits, entries, seed, tip, coming)
    finally:
        if table is None:
            posix.close(file)
    return table


def _lead(file: int, width: int) -> bytes:
    """How a header begins: format, start of the machine, the file itself (a copy has another inode), object format."""
    try:
        source = posix.open(_BOOT, posix.O_RDONLY)
        boot = posix.read(source, 36)
        posix.close(source)
    except OSError:
        boot = b""  # not Linux
    return _MAGIC + boot.ljust(36, b"\0") + posix.fstat(file).st_ino.to_bytes(8) + bytes((width,))


def _read(tip: str, base: str, env: "dict[str, str]", among: str = "") -> bytearray:
    """The keys and the commit of each decision from ``tip`` down to (without) ``base``, newest first, end to end.

    Raises:
        _Damaged: they do not go on from ``base`` (empty: the beginning), or ``among`` is not one of them.
        GitFailed: git cannot read them.
    """
    records = bytearray()
    due: str = tip
    stream = commits(tip, base or None, env)
    try:
        for oid, _, raw in stream:
            if oid != due:  # a graft, a shallow file or a commit-graph can hide a part of the log from git
                raise _Damaged(f"the commit {due} is left out")
            due = _parent(raw)
            name = bytes.fromhex(oid)
            for key in _keys(raw, name):
                records += key + name
            if oid == among:
                among = ""
    finally:
        stream.close()
    if due != base:
        raise _Damaged(f"the commit {due} is left out")
    if among:
        raise _Damaged(f"the commit {among} is gone")
    return records


def _oldest_first(records: bytearray, width: int) -> "Iterator[Pair]":
    size = _KEY + width
    for at in range(len(records) - size, -1, -size):
        yield bytes(records[at : at + _KEY]), bytes(records[at + _KEY : at + size])


def _parent(raw: bytes) -> str:
    """The first parent of a commit, empty for a root."""
    second = raw.split(b"\n", 2)[1]
    return second[7:].decode() if second.startswith(b"parent ") else ""


def _keys(raw: bytes, name: bytes) -> "list[bytes]":
    """The keys of a commit, also of one that is no decision: an unlawful log is not this module's to judge."""
    keys = []
    try:
        doc = trusted(raw.split(b"\n\n", 3)[2])
        if is_id(doc["id"]):
            keys.append(_id_key(doc["id"]))
            if doc["type"] == "intent-refused" and is_id(doc["payload"]["decision"]):
                keys.append(_id_key(refusal_key(doc["payload"]["decision"])))
    except (ValueError, IndexError, KeyError, TypeError):
        pass
    return keys or [_name_key(name)]


def refusal_key(id: str) -> str:
    """What the refusal of the intent ``id`` stands under: no UUIDv7, so no decision's id."""
    return f"{id[:14]}f{id[15:]}"


def _is_key(id: str) -> bool:
    return is_id(id) or (id[14:15] == "f" and is_id(f"{id[:14]}7{id[15:]}"))


def _id_key(id: str) -> bytes:
    return bytes.fromhex(id.replace("-", ""))


def _name_key(name: bytes) -> bytes:
    """A key that is no UUIDv7 of any decision: its version is 8."""
    return name[:6] + bytes((0x80 | name[6] & 0x0F,)) + name[7:_KEY]


def _sealed(content: bytes, size: int) -> bytes:
    """``content`` filled up to ``size`` bytes, the last four of which are its checksum."""
    content = content.ljust(size - 4, b"\0")
    return content + crc32(content).to_bytes(4)


def _read_all(file: int, size: int, place: int) -> bytes:
    data = posix.pread(file, size, place)
    if len(data) != size:
        raise _Damaged("cut off")
    return data


def _write(file: int, data: "bytes | bytearray", place: int) -> None:
    if posix.pwrite(file, data, place) != len(data):
        raise OSError("the disk is full")


def _created(path: str) -> int:
    """A new file, for everybody who may write in its folder. Raises OSError."""
    folder = path.rpartition("/")[0]
    _make_folder(folder)
    _unlink(path)  # of a process that was killed
    file = posix.open(path, posix.O_RDWR | posix.O_CREAT | posix.O_EXCL, 0o640)
    if posix.stat(folder).st_mode & 0o020:
        posix.fchmod(file, 0o660)  # a repository shared by a group: the next pusher writes here too
    return file


def _make_folder(path: str) -> None:
    try:
        posix.mkdir(path)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make_folder(path.rpartition("/")[0])
        posix.mkdir(path)
    mode = posix.stat(path + "/..").st_mode & 0o7777
    if mode & 0o020:
        posix.chmod(path, mode)


def _unlink(path: str) -> None:
    try:
        posix.unlink(path)
    except OSError:
        pass
