"""Runs many processes that append to one remote while they and the server are killed, paused and given wrong clocks,
and judges afterwards whether the log is what they were told.

    python -m tests.checker --appends 20000 --workers 16 --seed 7

    server   one bare repository with the installed hooks, each run of which has a clock of its own
    worker   one process: appends in every way there is, holds leases, serves the inbox, goes offline, tries again
    chaos    kills receive-pack, the hooks and the git processes behind them; kills and pauses the workers
    history  what each worker asked and was answered, by the monotonic clock that all processes share
    log      the log as plain git shows it, read without the package
    rules    what must be true of log and history together; none of it asks the package
    run      all of it, one after the other

The rules are tested by breaking a good log and a good history in each way (tests/test_checker.py).
"""
