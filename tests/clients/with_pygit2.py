"""A client that is built on libgit2, by pygit2."""

import os

import decisions
import pygit2

LOGS = "refs/remotes/origin/spaces/"


class Told(pygit2.RemoteCallbacks):
    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, str] = {}

    def sideband_progress(self, string: str) -> None:
        print(string, end="")

    def push_update_reference(self, refname: str, message: str | None) -> None:
        print(f"reported: {refname} {message}")
        if message is not None:
            self.refused[refname] = message


class Client:
    def fetch(self, place: str, url: str) -> None:
        if not os.path.exists(place):
            repo = pygit2.init_repository(place, bare=True)
            repo.remotes.create("origin", url, "+refs/spaces/*:" + LOGS + "*")
        pygit2.Repository(place).remotes["origin"].fetch()

    def read(self, place: str, space: str) -> None:
        repo = pygit2.Repository(place)
        rows = []
        order = pygit2.enums.SortMode.TOPOLOGICAL | pygit2.enums.SortMode.REVERSE
        for commit in repo.walk(self._tip(repo, space), order):
            body = commit.tree["body"].data if "body" in commit.tree else None
            rows.append(decisions.row(str(commit.id), commit.committer.name, commit.message, body))
        print(*rows, sep="\n")

    def build(self, place: str, space: str, how: str, actor: str, kind: str, name: str, page: str, *files: str) -> None:
        repo = pygit2.Repository(place)
        parent = self._tip(repo, space)
        content = decisions.content_of(files)
        tree = repo.TreeBuilder()
        if content is not None:
            tree.insert("body", repo.create_blob(content), pygit2.enums.FileMode.BLOB)
        seq = decisions.seq_of(repo[parent].message) + 1 if parent else 0
        message, second = decisions.written(space, how, actor, kind, name, page, seq, content)
        print(
            repo.create_commit(
                None,
                pygit2.Signature(actor, "-", second, 0),  # libgit2 writes no empty email
                pygit2.Signature("pygit2", "-", second, 0),
                message,
                tree.write(),
                [parent] if parent else [],
            )
        )

    def push(self, place: str, url: str, commit: str, ref: str, *force: str) -> None:
        told = Told()
        remote = pygit2.Repository(place).remotes["origin"]
        remote.push([f"{'+' if force else ''}{commit}:{ref}"], callbacks=told)
        if told.refused:
            raise ValueError(f"refused: {told.refused}")

    def _tip(self, repo: pygit2.Repository, space: str):
        ref = LOGS + decisions.spelled(space)
        return repo.references[ref].target if ref in repo.references else None


decisions.serve(Client())
