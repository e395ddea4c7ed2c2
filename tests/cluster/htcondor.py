"""Run the toy analysis through a real, private HTCondor of one node: python tests/cluster/htcondor.py [--install].

HTCondor comes from Debian 13, which is unpacked into a folder (debootstrap, 440 MB) and entered with Python and the project
mounted, in name spaces of its own (mounts, processes), so that nothing is left behind. There an ordinary user starts
HTCondor on loopback. Running jobs are removed, killed, held and evicted, and must be tried again; trainings that always
fail or never end must be reported; results must be those of a run without HTCondor. Needs root. Where that cannot be had,
it says so and succeeds.
"""

import argparse
import contextlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from slurm import BROKEN, ROOT, TIMEOUT, Unavailable, check, command, project, results, run, say

RELEASE = "trixie"  # the first Debian since 11 with HTCondor
# What the Python of the virtual environment needs, and what HTCondor's package forgets to name (python3-cffi-backend).
INCLUDED = "condor,python3-cffi-backend,libssl3t64,libffi8,libsqlite3-0,libbz2-1.0,liblzma5,zlib1g,procps"
USER, UID = "physicist", 12345
CONFIG = """\
RELEASE_DIR = /usr
LOCAL_DIR = {folder}
LOG = {folder}/log
SPOOL = {folder}/spool
EXECUTE = {folder}/execute
LOCK = {folder}/lock
RUN = {folder}/run
LIB = /usr/lib/condor
LIBEXEC = /usr/libexec/condor
SHARE = /usr/share/condor
DAEMON_LIST = MASTER SHARED_PORT COLLECTOR NEGOTIATOR SCHEDD STARTD
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:{port}
SHARED_PORT_PORT = {port}
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = false
ENABLE_IPV6 = false
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS
# The Python bindings are newer than the daemons, which do not yet bind the proof of identity to the channel.
SEC_FS_ENFORCE_CHANNEL_BINDING = false
UID_DOMAIN = private
# As on most sites' first day: the nodes do not know that they share a file system with the machine that submits.
FILESYSTEM_DOMAIN = private
STARTD.FILESYSTEM_DOMAIN = elsewhere
STARTER.FILESYSTEM_DOMAIN = elsewhere
ALLOW_READ = *
ALLOW_WRITE = *
ALLOW_DAEMON = *
ALLOW_NEGOTIATOR = *
ALLOW_ADMINISTRATOR = {user}@*
NUM_CPUS = 2
MEMORY = 16000
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = true
START = true
RunBenchmarks = false
MachineMaxVacateTime = 5
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
PERIODIC_EXPR_INTERVAL = 5
UPDATE_INTERVAL = 2
"""


# --- a Debian with HTCondor, entered as an ordinary user ---------------------------------------------------------------


def prepare(*, install: bool) -> None:
    """Check, or install, what is needed; raise `Unavailable` with the reason."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise Unavailable("it takes Linux and root to enter another Debian")
    if sys.base_prefix in ("/usr", "/usr/local", "/"):
        raise Unavailable(
            f"the Python in {sys.base_prefix} cannot be mounted into another Debian (one of pyenv or uv can)"
        )
    if shutil.which("debootstrap") is None and install and shutil.which("apt-get"):
        say("installing debootstrap")
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "debootstrap"], check=False, capture_output=True)
    if shutil.which("debootstrap") is None:
        raise Unavailable("debootstrap not found (Debian: debootstrap; or --install)")
    plugin = re.search(r"^PLUGIN_htcondor := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    if importlib.util.find_spec("snakemake_executor_plugin_htcondor") is None and plugin and install:
        say(f"installing {plugin[1]}")
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", plugin[1]], check=False, capture_output=True)
        importlib.invalidate_caches()
    if importlib.util.find_spec("snakemake_executor_plugin_htcondor") is None:
        raise Unavailable(f"{plugin[1] if plugin else 'the plugin'} is not installed (pip; or --install)")


def unpack(system: Path) -> None:
    """Make a Debian with HTCondor in the folder *system*, unless it is there."""
    if not (system / "usr" / "sbin" / "condor_master").exists():
        say(f"unpacking Debian {RELEASE} with HTCondor")
        options = ["--variant=minbase", f"--include={INCLUDED}"]
        done = subprocess.run(
            ["debootstrap", *options, RELEASE, str(system)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Unavailable(
                f"Debian {RELEASE} cannot be had: {(done.stdout + done.stderr).strip().splitlines()[-1:]}"
            )
    for name, line in (("passwd", f"{USER}:x:{UID}:{UID}::/home/{USER}:/bin/bash"), ("group", f"{USER}:x:{UID}:")):
        path = system / "etc" / name
        if line not in path.read_text().splitlines():
            path.write_text(f"{path.read_text()}{line}\n")
    home = system / "home" / USER
    home.mkdir(parents=True, exist_ok=True)
    os.chown(home, UID, UID)


def entered(system: Path, folder: Path, script: Path) -> list[str]:
    """Return the command that runs *script* inside *system* as the user, with what it needs at the same paths."""
    environment = Path(sys.prefix).resolve()
    shown = [Path("/dev"), Path(sys.base_prefix), ROOT, environment, folder]
    mounts = [["mount", "--rbind", str(path), str(_place(system, path))] for path in shown]
    mounts += [["mount", "-t", "proc", "proc", str(system / "proc")]]
    variables = {"PATH": f"{environment}/bin:/usr/bin:/usr/sbin:/bin:/sbin", "HOME": f"/home/{USER}", "USER": USER}
    variables |= {"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "CONDOR_CONFIG": f"{folder}/daemons/condor_config"}
    start = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items())]
    start += [f"{environment}/bin/python", str(script), "--inside", str(folder)]
    change = ["chroot", f"--userspec={UID}:{UID}", str(system), *start]
    lines = [*map(shlex.join, mounts), f"exec {shlex.join(change)}"]
    return ["unshare", "--mount", "--pid", "--fork", "bash", "-ec", "\n".join(lines)]


def _place(system: Path, path: Path) -> Path:
    """Return a folder in *system* to mount *path* on; all users may pass through those above it (not so /root)."""
    place = system.joinpath(*path.parts[1:])
    place.mkdir(parents=True, exist_ok=True)
    for above in place.parents[: len(path.parts) - 1]:
        above.chmod(above.stat().st_mode | 0o555)
    return place


def outside(system: Path, folder: Path, script: Path) -> int:
    """Run *script* inside *system*; end all its processes, and with them its mounts, if this one is ended."""
    unpack(system)
    os.chown(folder, UID, UID)
    folder.chmod(0o755)
    process = subprocess.Popen(entered(system, folder, script), start_new_session=True)
    try:
        return process.wait()
    finally:
        with contextlib.suppress(OSError, IndexError):  # there is none any more
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGKILL)  # with the first process of the name space all others end
        process.wait()


# --- HTCondor ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def private_condor(folder: Path) -> Iterator[None]:
    """Run HTCondor's daemons for the time of the block."""
    for name in ("log", "spool", "execute", "lock", "run"):
        (folder / name).mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "condor_config").write_text(CONFIG.format(folder=folder, user=USER, port=port))
    with (folder / "daemons.log").open("wb") as log:
        master = subprocess.Popen(["condor_master", "-f"], stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for_slot()
        yield
    finally:
        ask("condor_rm", "-all")
        master.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            master.wait(30)
        master.kill()
        master.wait()


def ask(*arguments: str) -> str:
    """Return what a command of HTCondor prints, the empty text if it fails."""
    return subprocess.run(arguments, capture_output=True, text=True, check=False).stdout.strip()


def _wait_for_slot() -> None:
    for _ in range(60):
        if "slot1" in ask("condor_status", "-af", "Name"):
            return
        time.sleep(1)
    raise RuntimeError("HTCondor does not come up: condor_status shows no slot")


# --- what happens to jobs ----------------------------------------------------------------------------------------------


def kill(cluster: str) -> bool:
    """Kill the process of the job *cluster*, as the kernel does when memory runs out; return whether there was one."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError, IndexError):
            environment = (status.parent / "environ").read_bytes()
            parent = re.findall(r"^PPid:\s*(\d+)$", status.read_text(), re.MULTILINE)[0]
            of_starter = Path(f"/proc/{parent}/comm").read_text().startswith("condor_starter")
            job = re.search(rb"_CONDOR_JOB_AD=(\S+?)\0", environment)
            if of_starter and job and f"\nClusterId = {cluster}\n" in "\n" + Path(os.fsdecode(job[1])).read_text():
                os.kill(int(status.parent.name), signal.SIGKILL)
                return True
    return False


DISTURBANCES: dict[str, Callable[[str], bool | str]] = {
    "removed": lambda cluster: ask("condor_rm", cluster),
    "killed": kill,
    "held": lambda cluster: ask("condor_hold", cluster),
    "evicted": lambda cluster: ask("condor_vacate_job", "-fast", cluster),
}


def disturb(happened: dict[str, str]) -> None:
    """Do what has not yet *happened* to running jobs to which nothing has, and note what was done to which."""
    running = ask("condor_q", "-const", "JobStatus == 2", "-af", "ClusterId", "JobBatchName")
    for cluster, name in (line.split() for line in running.splitlines()):
        left = [way for way in DISTURBANCES if way not in happened]
        if left and name not in happened.values() and DISTURBANCES[left[0]](cluster):
            happened[left[0]] = name


def disturbed(folder: Path, config: dict[str, Any]) -> tuple[dict[str, str], str]:
    """Run the workflow on HTCondor and disturb a job in each way; return what happened to which, and what was printed."""
    begun, happened = time.monotonic(), dict[str, str]()
    with (folder / "snakemake.txt").open("w+") as printed:
        process = subprocess.Popen(
            command(folder, config, "htcondor", *ON_HTCONDOR), cwd=folder, stdout=printed, stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            if time.monotonic() - begun > TIMEOUT:
                process.kill()
                raise RuntimeError(f"not done after {TIMEOUT} s:\n{(folder / 'snakemake.txt').read_text()}")
            disturb(happened)
            time.sleep(0.5)
        printed.seek(0)
        text = printed.read()
    check(process.returncode == 0, f"the analysis ends well although jobs were {', '.join(happened)}", text)
    return happened, text


ON_HTCONDOR = ("--latency-wait", "10", "--seconds-between-status-checks", "2")
ENDLESS = BROKEN.replace("broken", "endless").replace("Broken", "Endless").replace("Fail.", "Wait.")
ENDLESS = ENDLESS.replace('raise RuntimeError("endless on purpose")', "import time; time.sleep(3600)")


def attempts(name: str) -> list[list[int]]:
    """Return memory (MB) and time (s) that each attempt of the job *name* asked for."""
    asked = ask(
        "condor_history", "-const", f'JobBatchName == "{name}"', "-af", "RequestMemory", "AllowedExecuteDuration"
    )
    return sorted([int(value) for value in line.split()] for line in asked.splitlines())


def check_disturbed(folder: Path, config: dict[str, Any]) -> None:
    """Check that jobs that were disturbed are tried again, with more memory and time."""
    happened, text = disturbed(folder, config)
    check(list(happened) == list(DISTURBANCES), f"{happened} (job by what happened to it)", text)
    for words in ("was removed/aborted", "was terminated by signal 9", "is held: "):
        check(words in text, f"Snakemake says of a job that it {words}", text)
    check(text.count("Trying to restart job") >= 3, "the three jobs were tried again", text)
    for way in ("removed", "killed", "held"):
        first, *more = attempts(happened[way])
        check(more == [[2 * value for value in first]], f"{way}: asked for {first}, then for {more[0]} (MB, s)")
    starts = ask("condor_history", "-const", f'JobBatchName == "{happened["evicted"]}"', "-af", "NumJobStarts")
    check(starts == "2", "the evicted job was started again, by HTCondor itself")


def check_failures(folder: Path, config: dict[str, Any]) -> None:
    """Check that trainings that always fail or never end are reported, and leave nothing in the queue."""
    for name, code in (("broken", BROKEN), ("endless", ENDLESS)):
        (folder / f"{name}.py").write_text(code)
        config["trainings"][name] = {"strategy": "user", "file": f"{name}.py"}
    limit = ("--retries", "0", "--set-resources", "train_network:classad_MaxRuntime=90")
    failed = run(folder, config, "htcondor", *ON_HTCONDOR, *limit)
    text = failed.stdout + failed.stderr
    check(failed.returncode != 0 and "broken on purpose" in text, "a job that always fails is shown with its log", text)
    check("was removed/aborted" in text, "a job that never ends is removed when its time is over", text)
    time.sleep(15)
    check(ask("condor_q", "-af", "ClusterId") == "", "no job is left in the queue")


def inside(folder: Path) -> None:
    """Run the analysis without HTCondor, then on it, in one place, so that the likelihood is compiled once."""
    place = folder / "project"
    place.mkdir()
    config = project(place)
    done = run(place, config, "default", "--cores", "2")
    check(done.returncode == 0, "the analysis runs without HTCondor", done.stdout + done.stderr)
    expected = results(place)
    shutil.rmtree(place / "results")
    shutil.rmtree(place / ".snakemake")
    with private_condor(folder / "daemons"):
        say(f"a private HTCondor is up: {ask('condor_version').splitlines()[0].strip('$ ')}")
        begun = time.monotonic()
        check_disturbed(place, config)
        say(f"{time.monotonic() - begun:.0f} s with HTCondor")
        check(results(place) == expected, "workspace and summary are the same as without")
        check_failures(place, config)


def main(script: Path, test: Callable[[Path], None], words: str | None) -> int:
    """Run *script* inside a Debian with HTCondor, where it runs *test* with a folder."""
    parser = argparse.ArgumentParser(description=(words or "").partition("\n")[0])
    parser.add_argument("--install", action="store_true", help="install debootstrap (apt-get) and the plugin (pip)")
    parser.add_argument("--system", type=Path, help="folder for the Debian with HTCondor, to keep it for the next time")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that what was started is stopped
    if options.inside:
        test(options.inside)
        return 0
    try:
        prepare(install=options.install)
        with tempfile.TemporaryDirectory(prefix="condor-") as name:
            folder = Path(name) / "test"
            folder.mkdir()
            return outside((options.system or Path(name) / "system").resolve(), folder, script)
    except Unavailable as reason:
        say(f"HTCondor is not tested here: {reason}")
        return 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve(), inside, __doc__))
