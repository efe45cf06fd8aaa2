"""Chaos on a network: nodes are on hosts of their own (network namespaces), whose links are taken down and up and made
slow while others die, stand still, leave and join. As in test_chaos.py the model must be that of an undisturbed run.

    test_namespaces.py [--seed S] [--schedules N] [--faults F] [--from I] [--only I] [--summary FILE]

chaos_run.py says what these mean. Needs root and iproute2."""

import network
from chaos_run import options, play_sync
from support import main, skip


def test(folder):
    missing = network.lacks()
    if missing:
        skip(f"no hosts can be made here: {missing}")
    play_sync(folder, options(schedules=1, faults=6), "hosts")


main(test)
