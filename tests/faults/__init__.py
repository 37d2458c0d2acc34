"""The kill harness: enumerates the system calls that write, of every process of an operation, and kills at each.

``python -m tests.faults`` runs all of it (an hour); ``tests/test_faults.py`` a sample. What is counted as one kill
point is one system call of one process: ``strace`` kills the process as it enters the call, which does not happen then.

    operations   what is done: an append by each way, a lease, a sync, an outbox sent, a projection, an installation
    worker       the process that does it
    tracing      which process is traced or killed, and where: stands between git and what git starts
    kills        the run: trace once, then kill at each point in turn, heal, and judge what is there

An operation is judged by what stands in the repositories afterwards, read by git itself, and by what its process was
told before it died: nothing here knows how the library writes.
"""
