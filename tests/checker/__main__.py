"""``python -m tests.checker``: one run, its counts, and what broke a rule. Exit status 0 if nothing did."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import click

from .run import Plan, run


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--appends", default=300, help="Decisions to begin, all workers together.")
@click.option("--seconds", default=3600.0, help="End after this time at the latest.")
@click.option("--workers", default=6, help="Processes; the first half of them share clones two by two.")
@click.option("--spaces", default=1)
@click.option("--seed", type=int, help="Draws everything that can be drawn. [default: at random]")
@click.option("--skew", default=1, help="The server's coordjournal.clockSkew.")
@click.option("--drift", default=1.0, help="How far two clocks are apart at most, in skews.")
@click.option("--ttl", "ttls", type=(int, int), default=(2, 4), help="The shortest and the longest lease.")
@click.option("--kill-server", default=0.7, help="Seconds between two kills on the server; 0: none.")
@click.option("--kill-worker", default=1.5, help="Seconds between two kills of workers; 0: none.")
@click.option("--pause", default=4.0, help="Seconds between two pauses; 0: none.")
@click.option("--no-kill", is_flag=True, help="No kills and no pauses at all.")
@click.option("--sequencing/--no-sequencing", default=True, help="Whether the server sequences.")
@click.option("--object-format", type=click.Choice(["sha1", "sha256"]), default="sha1")
@click.option("--prefix", help="A prefix that holds the package already. [default: one of its own]")
@click.option("--keep", is_flag=True, help="Keep the folder of the run, also if no rule was broken.")
def main(seed: int | None, no_kill: bool, prefix: str | None, keep: bool, **chosen: object) -> None:
    """Run many processes against one remote, with faults, and judge the log by what they were told."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    if no_kill:
        chosen.update(kill_server=0.0, kill_worker=0.0, pause=0.0)
    for key in [key for key in os.environ if key.startswith(("GIT_", "COORDJOURNAL_"))]:
        del os.environ[key]
    os.environ.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1", LC_ALL="C.UTF-8")
    place = Path(tempfile.mkdtemp(prefix="coordjournal-checker-"))
    click.echo(f"seed {seed}, in {place}")
    plan = Plan(seed=seed, **chosen)  # type: ignore[arg-type]
    result = run(plan, place, prefix or str(place / "prefix"), click.echo)
    width = max(map(len, result.counts))
    for what, count in result.counts.items():
        click.echo(f"  {what:{width}} {count:6}")
    for violation in result.violations:
        click.echo(f"\n{violation}")
    if result.violations:
        click.echo(f"\n{len(result.violations)} violations. Seed {seed}; the history is in {place}/history")
        sys.exit(1)
    if not keep:
        shutil.rmtree(place)
    click.echo(f"no rule was broken (seed {seed})")


if __name__ == "__main__":
    main()
