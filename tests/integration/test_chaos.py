"""Chaos: nodes of a cluster die, stand still, leave, come back and join at chosen steps while a job trains, and the job
is scaled up and down; connections are reset, stand still and become slow; disks fill. It must complete, with the model
of an undisturbed run, and every version that any worker had on the way must be that run's. A job that failed for want
of room on a disk is resumed when there is some.

    test_chaos.py [--seed S] [--schedules N] [--faults F] [--from I] [--only I] [--summary FILE]

chaos_run.py says what these mean."""

import small_disk
from chaos_run import options, play_sync
from support import less, main


def test(folder):
    if not small_disk.possible():
        print("no disk may be mounted here: none will be filled", flush=True)
    play_sync(folder, options(schedules=less(3, 1), faults=10))


main(test)
