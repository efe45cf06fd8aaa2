"""Records of hashes: clusters of any shape record the same versions, stops and resumes included, in every codec; and
`cairn verify` finds the first step and tensor that differ."""

import os
import signal
import subprocess

from support import expect, last_json, main, make_digits, program, record_hashes, run, train, wait_until, write_job

EPOCHS = 2
STEPS = 50


def recorded(folder, name, data, **changes):
    job = write_job(os.path.join(folder, name + ".yaml"), data, epochs=EPOCHS, **changes)
    record_hashes(job)
    return job


def verify(*paths):
    done = run("cairn", "verify", *paths, "--json")
    expect(done.returncode in (0, 1), f"verify {paths}: {done.returncode} {done.stderr}")
    result = last_json(done.stdout)
    expect(result["equal"] == (done.returncode == 0), f"exit code {done.returncode} with {result}")
    return result


def stop_in_the_middle(job, state):
    """Interrupts a run once it has committed something, then goes on with it."""
    with subprocess.Popen([program("cairn"), "train", job, "--state", state, "--workers", "2", "--keep-logs"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        log = os.path.join(state, "logs", "coordinator.log")

        def has_committed():
            return os.path.exists(log) and "committed step" in open(log, encoding="utf-8").read()
        wait_until(has_committed, "a commit")
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    return train(job, "--resume", "--workers", 1, state=state)


def clusters_agree(folder, data, codec):
    """One worker beside a cluster of three, stopped and gone on with where the machine lets us."""
    one, other = (recorded(folder, f"{name}-{codec}", data, codec=codec) for name in ("one", "other"))
    train(one, "--workers", 1, state=os.path.join(folder, "one-" + codec))
    train(other, "--workers", 3, "--servers", 2, state=os.path.join(folder, "other-" + codec))
    result = verify(one.replace(".yaml", ".h5"), other.replace(".yaml", ".h5"))
    expect(result["equal"] and result["same_job"] and result["versions"] == STEPS + 1, str(result))
    expect(result["only_first"] is None and result["only_second"] is None, str(result))
    return one.replace(".yaml", ".h5")


def test(folder):
    make_digits(folder)
    first = clusters_agree(folder, folder, "float32")
    rounded = clusters_agree(folder, folder, "bfloat16")
    text = run("cairn", "verify", first, rounded).stdout
    expect("these are different jobs" in text and "different:" in text, text)

    # A run that was stopped and gone on with has recorded the same.
    job = recorded(folder, "stopped", folder, codec="bfloat16", commit_every=3)
    stop_in_the_middle(job, os.path.join(folder, "stopped"))
    result = verify(rounded, os.path.join(folder, "stopped.h5.hashes"))
    expect(result["equal"] and result["only_first"] is None, str(result))

    # Another seed is another model from the first version on; a changed record is found where it was changed.
    job = recorded(folder, "seed", folder)
    with open(job, encoding="ascii") as file:
        text = file.read().replace("seed: 7", "seed: 8")
    with open(job, "w", encoding="ascii") as file:
        file.write(text)
    train(job, state=os.path.join(folder, "seed"))
    result = verify(first, os.path.join(folder, "seed.h5"))
    expect(not result["equal"] and not result["same_job"] and result["difference"]["step"] == 0, str(result))
    record = os.path.join(first + ".hashes", "worker-0.txt")
    changed = os.path.join(folder, "changed.txt")
    with open(record, encoding="ascii") as file:
        lines = file.readlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("17 exact "))
    digit = "1" if lines[place][-2] != "1" else "2"
    lines[place] = lines[place][:-2] + digit + "\n"
    with open(changed, "w", encoding="ascii") as file:
        file.writelines(lines)
    result = verify(record, changed)
    expect(not result["equal"] and result["different"] == 1 and result["difference"]["step"] == 17 and
           result["difference"]["tensor"] == "dense_1/bias", str(result))
    text = run("cairn", "verify", record, changed).stdout
    expect("1 of 51 versions differ" in text and "step 17" in text and changed in text, text)


main(test)
