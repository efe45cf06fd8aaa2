"""libcairn as others use it: installed under a prefix, the examples built against it with CMake and with pkg-config,
and run on real servers: the same bits for any number of programs and servers, and across a commit and a restart."""

import os
import subprocess
import sys

from support import SKIPPED, Daemons, expect, main, wait_until

SOURCE = os.environ["CAIRN_SOURCE"]
BUILD = os.environ["CAIRN_BUILD"]
SANITIZE = os.environ.get("CAIRN_SANITIZE", "")
DATA = os.environ.get("CAIRN_TEST_DATA") or os.path.join(SOURCE, "..", "shared", "data")
PUBLIC = [os.path.join(DATA, "libsvm", name) for name in ("a9a", "a9a.t")]


def call(*arguments, **options):
    """Runs any program; the result's text on stdout."""
    done = subprocess.run([str(one) for one in arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120, **options)
    expect(done.returncode == 0, f"{arguments} exited {done.returncode}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout


def install(folder):
    prefix = os.path.join(folder, "prefix")
    call("cmake", "--install", BUILD, "--prefix", prefix)
    for name in ("cairn", "cairn-coordinator", "cairn-server", "cairn-worker"):
        expect(os.access(os.path.join(prefix, "bin", name), os.X_OK), f"{name} was not installed")
    headers = os.listdir(os.path.join(prefix, "include"))
    expect(headers == ["cairn.h"], f"headers: {headers}")
    return prefix


def find(prefix, name):
    """The folder of an installed file: lib differs between systems."""
    for folder, _, files in os.walk(prefix):
        if name in files:
            return folder
    raise AssertionError(f"{name} was not installed")


def check_symbols(prefix):
    library = os.path.join(find(prefix, "libcairn.so.0"), "libcairn.so.0")
    names = [line.split()[-1] for line in call("nm", "-D", "--defined-only", library).splitlines()]
    strangers = [name for name in names if not name.startswith("cairn_") or name.startswith("cairn__")]
    if not SANITIZE:
        expect(names and not strangers, f"the library shows {strangers}")


def build_examples(folder, prefix):
    """With find_package; the folder of the programs."""
    build = os.path.join(folder, "examples")
    flags = [f"-DCMAKE_C_FLAGS=-Werror{' -fsanitize=' + SANITIZE if SANITIZE else ''}"]
    call("cmake", "-G", "Ninja", "-S", os.path.join(SOURCE, "examples", "library"), "-B", build,
         f"-DCMAKE_PREFIX_PATH={prefix}", *flags)
    call("cmake", "--build", build)
    return build


def build_by_pkg_config(folder, prefix):
    """Once more by hand, as C11 and its header as C++ where there is a compiler."""
    environment = dict(os.environ, PKG_CONFIG_PATH=find(prefix, "cairn.pc"))
    flags = call("pkg-config", "--cflags", "--libs", "cairn", env=environment).split()
    program = os.path.join(folder, "by-hand")
    sanitize = [f"-fsanitize={SANITIZE}"] if SANITIZE else []
    source = os.path.join(SOURCE, "examples", "library", "embeddings.c")
    call("cc", "-std=c11", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra", "-pedantic", "-Werror", *sanitize, source, "-o",
         program, *flags, f"-Wl,-rpath,{find(prefix, 'libcairn.so.0')}")
    if subprocess.run(["sh", "-c", "command -v c++"], stdout=subprocess.DEVNULL, check=False).returncode == 0:
        header = os.path.join(prefix, "include", "cairn.h")
        call("c++", "-std=c++11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-x", "c++", header)
    return program


class Programs:
    """Programs on a cluster of their own."""

    def __init__(self, daemons, build):
        self.daemons = daemons
        self.build = build

    def start(self, program, *arguments):
        return subprocess.Popen([os.path.join(self.build, program), *map(str, arguments)], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=dict(os.environ, CAIRN_COORDINATOR=self.daemons.endpoint))

    def finish(self, process):
        out, err = process.communicate(timeout=120)
        expect(process.returncode == 0, f"{process.args} exited {process.returncode}: {out}{err}")
        return out

    def regress(self, name, parts, steps, output, servers=1):
        """Logistic regression by several processes at once; the bytes of the weights, the last words."""
        processes = [self.start("logistic", "-n", name, "-c", servers, "-s", steps, "-p", f"{part}/{parts}", "-o", f"{output}-{part}",
                                *PUBLIC) for part in range(parts)]
        words = [self.finish(process) for process in processes][0]
        weights = {open(f"{output}-{part}", "rb").read() for part in range(parts)}
        expect(len(weights) == 1, f"{parts} processes of one job ended with other weights")
        return weights.pop(), words.strip().splitlines()[-1]


def accuracy_of(words):
    return float(words.split("accuracy ")[1].split(",")[0])


def on_cluster(folder, build, servers, work, *options):
    place = os.path.join(folder, f"servers-{servers}")
    os.makedirs(place, exist_ok=True)
    with Daemons(place) as daemons:
        daemons.start_coordinator()
        for server in range(servers):
            daemons.start_server(f"server-{server}", "--shards", 2, *options)
        work(Programs(daemons, build))


def store(programs, program):
    words = programs.finish(programs.start(program, "-k", 20000, "-s", 100))
    expect("0 came back changed" in words, words)
    before, after = [float(word.strip(",;")) for word in words.split("error ")[1].split()[0:3:2]]
    expect(after < before / 10, f"training the rows did nothing: {words}")


def survive_kill(programs, steps, output):
    """A server is killed under a program, which says so; started again, both go on. The bytes of the weights."""
    daemons = programs.daemons
    process = programs.start("logistic", "-n", "killed", "-s", steps, *PUBLIC)
    wait_until(lambda: "killed" in daemons.cairn("jobs").stdout, "the job")
    wait_until(lambda: daemons.json("status", "killed")["committed_step"] > 0, "a commit")
    daemons.processes["server-0"].kill()
    daemons.processes["server-0"].wait()
    _, err = process.communicate(timeout=60)
    expect(process.returncode == 1 and err.count("\n") == 1 and "shard" in err, f"a program without servers: {err}")
    wait_until(lambda: daemons.json("status", "killed")["status"] == "waiting", "a job that waits for its server")
    daemons.start_server("server-0", "--shards", 2)
    return programs.regress("killed", 2, steps, output)


def check_usage(build):
    for program in ("embeddings", "logistic"):
        for wrong in ("--help", "-q", "-n"):
            done = subprocess.run([os.path.join(build, program), wrong], stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, timeout=10, check=False)
            expect(done.returncode == 2 and "usage: " + program in done.stderr, f"{program} {wrong}: {done.stderr}")


def check_regression(folder, build):
    outcomes = {}

    def one_server(programs):
        for parts in (1, 2, 3):
            outcomes[parts, 1] = programs.regress(f"parts-{parts}", parts, 300, os.path.join(folder, f"w{parts}"))
        # Stopped half-way and started again, by another number of processes.
        programs.regress("resumed", 2, 100, os.path.join(folder, "half"))
        programs.daemons.json("stop", "resumed")
        outcomes["resumed"] = programs.regress("resumed", 1, 300, os.path.join(folder, "whole"))
        undisturbed = programs.regress("undisturbed", 1, 1500, os.path.join(folder, "undisturbed"))
        expect(survive_kill(programs, 1500, os.path.join(folder, "killed")) == undisturbed, "a kill changed the weights")

    def two_servers(programs):
        outcomes[2, 2] = programs.regress("two", 2, 300, os.path.join(folder, "two"), servers=2)

    on_cluster(folder, build, 1, one_server)
    on_cluster(folder, build, 2, two_servers)
    weights, words = outcomes[1, 1]
    expect(accuracy_of(words) > 0.84, f"one process: {words}")
    for key, (other, _) in outcomes.items():
        expect(other == weights, f"{key} came to other weights than one process on one server")
    print(words)


def test(folder):
    prefix = install(folder)
    check_symbols(prefix)
    build = build_examples(folder, prefix)
    check_usage(build)
    by_hand = build_by_pkg_config(folder, prefix)
    on_cluster(folder, build, 3, lambda programs: store(programs, by_hand), "--memory", "1M")
    if all(os.path.exists(path) for path in PUBLIC):
        check_regression(folder, build)


main(test)
if not all(os.path.exists(path) for path in PUBLIC):
    print(f"the rest was skipped: {PUBLIC[0]} is not there")
    sys.exit(SKIPPED)
