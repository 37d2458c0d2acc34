"""A client that is built on dulwich."""

import os

import decisions
from dulwich.client import get_transport_and_path
from dulwich.objects import Blob, Commit, Tree
from dulwich.repo import Repo

LOGS = b"refs/remotes/origin/spaces/"


class Client:
    def fetch(self, place: str, url: str) -> None:
        repo = Repo(place) if os.path.exists(place) else Repo.init_bare(place, mkdir=True)
        with repo:
            client, path = get_transport_and_path(url)
            there = {}

            def wanted(refs, depth=None):
                there.update({ref: oid for ref, oid in refs.items() if ref.startswith(b"refs/spaces/")})
                return [oid for oid in there.values() if oid not in repo.object_store]

            client.fetch(path, repo, determine_wants=wanted)
            for ref, oid in there.items():
                repo.refs[LOGS + ref.removeprefix(b"refs/spaces/")] = oid

    def read(self, place: str, space: str) -> None:
        with Repo(place) as repo:
            oid = self._tip(repo, space)
            rows = []
            while oid:
                commit = repo[oid]
                tree = repo[commit.tree]
                body = repo[tree[b"body"][1]].data if b"body" in tree else None
                appender = commit.committer.rpartition(b" <")[0].decode()
                rows.append(decisions.row(oid.decode(), appender, commit.message.decode(), body))
                oid = commit.parents[0] if commit.parents else None
            print(*reversed(rows), sep="\n")

    def build(self, place: str, space: str, how: str, actor: str, kind: str, name: str, page: str, *files: str) -> None:
        with Repo(place) as repo:
            parent = self._tip(repo, space)
            content = decisions.content_of(files)
            tree = Tree()
            if content is not None:
                blob = Blob.from_string(content)
                repo.object_store.add_object(blob)
                tree.add(b"body", 0o100644, blob.id)
            repo.object_store.add_object(tree)
            seq = decisions.seq_of(repo[parent].message.decode()) + 1 if parent else 0
            message, second = decisions.written(space, how, actor, kind, name, page, seq, content)
            commit = Commit()
            commit.tree = tree.id
            commit.parents = [parent] if parent else []
            commit.author, commit.committer = f"{actor} <>".encode(), b"dulwich <>"
            commit.author_time = commit.commit_time = second
            commit.author_timezone = commit.commit_timezone = 0
            commit.message = message.encode()
            repo.object_store.add_object(commit)
            print(commit.id.decode())

    def push(self, place: str, url: str, commit: str, ref: str, *force: str) -> None:
        with Repo(place) as repo:
            client, path = get_transport_and_path(url)
            oid, name = commit.encode(), ref.encode()

            def update(there):
                # The compare-and-swap: dulwich names what it saw there as the old value, and leaves the rest to us.
                if not force and there.get(name) and [there[name]] != repo[oid].parents:
                    raise ValueError(f"{ref} is at {there[name].decode()}: fetch first")
                return {name: oid}

            result = client.send_pack(
                path, update, repo.generate_pack_data, progress=lambda said: print(said.decode(), end="")
            )
            refused = {name: why for name, why in (result.ref_status or {}).items() if why}
            print("reported:", {name.decode(): why for name, why in result.ref_status.items()})
            if refused:
                raise ValueError(f"refused: {refused}")

    def _tip(self, repo: Repo, space: str):
        return repo.refs.as_dict(LOGS[:-1]).get(decisions.spelled(space).encode())


decisions.serve(Client())
