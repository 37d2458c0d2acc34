"""Which commands there are, and where each is. Nothing of click is needed to know it."""

from __future__ import annotations

#: Section of the help to its commands: name to module and attribute.
COMMANDS = {
    "Server": {
        "init": "server:init",
        "install": "server:install",
        "upgrade": "server:upgrade",
        "uninstall": "server:uninstall",
        "doctor": "server:doctor",
        "verify": "judge:verify",
        "check": "judge:check",
        "schema": "schemas:schema",
        "rescue": "rescue:rescue",
    },
    "Write": {
        "append": "append:append",
        "alias": "pages:alias",
        "bind": "pages:bind",
        "merge": "pages:merge",
        "fork": "pages:fork",
        "overlay": "overlays:overlay",
        "revoke": "revoke:revoke",
        "undo": "revoke:undo",
        "lease": "lease:lease",
        "outbox": "outbox:outbox",
        "import": "transfers:import_log",
    },
    "Read": {
        "clone": "copies:clone",
        "sync": "copies:sync",
        "spaces": "copies:spaces",
        "log": "logs:log",
        "show": "logs:show",
        "where": "where:where",
        "inbox": "inbox:inbox",
        "state": "questions:state",
        "resolve": "questions:resolve",
        "group": "questions:group",
        "canonical": "questions:canonical",
        "lineage": "questions:lineage",
        "why": "questions:why",
        "diff": "questions:diff",
        "lint": "questions:lint",
        "export": "transfers:export",
    },
    "Shell": {"completion": "completion:completion"},
}
HOMES = {name: home for section in COMMANDS.values() for name, home in section.items()}

#: The commands that open the journal of the repository that this run is about.
OPENING = frozenset(COMMANDS["Write"]) | frozenset(COMMANDS["Read"]) - {"clone"}
