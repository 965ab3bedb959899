"""A SLURM of our own on this machine: two nodes, accounting, a partition with pretend GPUs. Without systemd.

It needs root, and the Debian packages of `install-slurm`, beside this file. All lies in one folder, but for
the link /etc/slurm/slurm.conf: Snakemake's plugin drops SLURM_CONF from the environment of what it calls.
The daemons end with the process that started them, however it ends.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")
NODES = ("n1", "n2")
SYSTEM_CONF = Path("/etc/slurm/slurm.conf")
SECONDS_TO_ANSWER = 60
PATH = os.pathsep.join([os.environ["PATH"], "/usr/local/sbin", "/usr/sbin", "/sbin"])

SLURM_CONF = """\
ClusterName=tests
SlurmctldHost={host}({address})
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A job that is queued again waits as long as credentials live: two minutes if left out.
AuthInfo=socket={folder}/munge.socket,cred_expire=20
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={address}
AccountingStoragePort={ports[1]}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
# Losses are noticed in seconds rather than minutes; all else is as sites have it.
SlurmdTimeout=15
SlurmctldTimeout=30
ReturnToService=2
UnkillableStepTimeout=300
KillWait=30
MinJobAge=600
EnforcePartLimits=ALL
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr={address} Port={ports[2]} CPUs=4 RealMemory=8000
NodeName=n2 NodeHostname={host} NodeAddr={address} Port={ports[3]} CPUs=4 RealMemory=8000 Gres=gpu:pretend:2
PartitionName=DEFAULT State=UP DefMemPerCPU=1000 DefaultTime=10 MaxTime=1440 PriorityTier=10 PreemptMode=OFF
PartitionName=cpu Nodes=n1,n2 Default=YES
PartitionName=gpu Nodes=n2
# Jobs in here give way to those in the other two, and are queued again.
PartitionName=spot Nodes=n1,n2 PriorityTier=1 PreemptMode=REQUEUE
"""

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr={address}
DbdPort={ports[1]}
CommunicationParameters=NoInAddrAny
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageLoc=slurm
StorageUser=root
"""


class NoSlurm(Exception):
    """There can be no SLURM here; the text says why."""


def here(program: str) -> str | None:
    """Where a program is; those of daemons lie in folders that PATH need not name."""
    return shutil.which(program, path=PATH)


class PrivateSlurm:
    """The daemons of a cluster, each of which can be ended and started again.

    Parameters
    ----------
    folder : Path
        For all its files; it must not be there. Its name must be short: sockets lie in it.

    Raises
    ------
    NoSlurm
        If something that it needs is missing, or a daemon does not start.
    """

    def __init__(self, folder: Path) -> None:
        missing = [name for name in (*DAEMONS, "sbatch", "mariadb-install-db") if not here(name)]
        if missing:
            raise NoSlurm(f"not installed: {', '.join(missing)} (tests/cluster/install-slurm installs them)")
        if os.getuid() != 0:
            raise NoSlurm("only root can bring up a SLURM")
        if SYSTEM_CONF.exists():
            raise NoSlurm(f"{SYSTEM_CONF} is there, so this machine has a SLURM, but it does not answer")
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._configure()
        try:
            self.mend()
        except BaseException:
            self.close()
            raise

    def mend(self) -> None:
        """Start every daemon that does not run, and wait until all nodes are ready for work."""
        munge, database = self.folder / "munge.socket", self.folder / "mysql.socket"
        self._start(
            "munged", lambda: _succeeds("munge", "-S", munge, "-n"),
            "--foreground", f"--socket={munge}", f"--key-file={self.folder}/munge.key", "--force",
            f"--pid-file={self.folder}/munge.pid", f"--log-file={self.folder}/munge.log",
            f"--seed-file={self.folder}/munge.seed",
        )  # fmt: skip
        self._start(
            "mariadbd", lambda: _listens(database),
            "--no-defaults", "--user=root", f"--datadir={self.folder}/mysql", f"--socket={database}",
            f"--pid-file={self.folder}/mysql.pid", "--skip-networking", "--innodb-buffer-pool-size=256M",
            "--innodb-log-file-size=64M", "--innodb-lock-wait-timeout=900", "--innodb-flush-method=nosync",
        )  # fmt: skip
        self._start(
            "slurmdbd", lambda: _succeeds("sacctmgr", "-n", "list", "cluster"), "-D", "-s",
            MYSQL_UNIX_PORT=str(database),
        )  # fmt: skip
        if not _output("sacctmgr", "-nP", "list", "cluster", "tests"):
            for what in (
                ("cluster", "tests"), ("account", "lab", "cluster=tests"), ("user", "root", "account=lab")
            ):  # fmt: skip
                _output("sacctmgr", "-iQ", "add", *what)
        self._start("slurmctld", lambda: _succeeds("scontrol", "ping"), "-D", "-s")
        for node in NODES:
            (self.folder / node).mkdir(exist_ok=True)
            self._start("slurmd", lambda node=node: self._is_ready(node), "-D", "-s", "-N", node, name=node)

    def end(self, *names: str, signal_: signal.Signals = signal.SIGKILL) -> None:
        """End daemons; nodes go by their names."""
        for name in names:
            if daemon := self.running.pop(name, None):
                daemon.send_signal(signal_)
                try:
                    daemon.wait(20)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()

    def crash(self, node: str) -> None:
        """Lose a node as by a power cut: its daemon, the supervisors of its jobs and the jobs are killed."""
        self.end(node)
        of_node = [pid for pid in _processes() if self._supervises(pid, node)]
        for pid in of_node:  # grows meanwhile: first the supervisors, then what they started
            os.kill(pid, signal.SIGSTOP)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):  # each thread has its own
                of_node += [int(child) for child in children.read_text().split()]
        for pid in of_node:
            os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """End all jobs and daemons, and delete the folder."""
        if "slurmctld" in self.running:
            _succeeds("scancel", "--user=root")
            end = time.monotonic() + 20
            while _output("squeue", "-h") and time.monotonic() < end:
                time.sleep(0.2)
        for node in NODES:
            self.crash(node)
        self.end("slurmctld", "slurmdbd", "mariadbd", "munged", signal_=signal.SIGTERM)
        SYSTEM_CONF.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self) -> None:
        host = socket.gethostname().split(".")[0]
        try:
            address = socket.gethostbyname(host)
        except OSError:
            raise NoSlurm(f"this machine's name, {host}, stands for no address; /etc/hosts may say") from None
        self.folder.mkdir(parents=True)
        for name in ("state", "dev"):
            (self.folder / name).mkdir()
        sockets = [socket.create_server((address, 0)) for _ in range(4)]
        facts = {
            "folder": self.folder, "host": host, "address": address,
            "ports": [one.getsockname()[1] for one in sockets],
        }  # fmt: skip
        for one in sockets:
            one.close()
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(**facts))
        (self.folder / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(**facts))
        (self.folder / "slurmdbd.conf").chmod(0o600)
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o600)
        # SLURM sets CUDA_VISIBLE_DEVICES only for a GPU with a device file.
        for number in range(2):
            (self.folder / f"dev/gpu{number}").symlink_to("/dev/null")
        (self.folder / "gres.conf").write_text(
            f"NodeName=n2 Name=gpu Type=pretend File={self.folder}/dev/gpu[0-1]\n"
        )
        made = subprocess.run(
            [
                here("mariadb-install-db"), "--no-defaults", f"--datadir={self.folder}/mysql", "--user=root",
                "--auth-root-authentication-method=socket", "--auth-root-socket-user=root", "--skip-test-db",
                "--skip-name-resolve",
            ],
            capture_output=True, text=True,
        )  # fmt: skip
        if made.returncode:
            raise NoSlurm(f"no accounting database could be made: {made.stderr.strip()}")
        SYSTEM_CONF.parent.mkdir(exist_ok=True)
        SYSTEM_CONF.unlink(missing_ok=True)  # the link of a cluster that is gone
        SYSTEM_CONF.symlink_to(self.folder / "slurm.conf")

    def _start(
        self, program: str, answers: Callable[[], bool], *arguments: str, name: str = "", **extra: str
    ) -> None:
        name = name or program
        if name in self.running and self.running[name].poll() is None and answers():
            return
        log = self.folder / f"{name}.console"
        conf = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        if name not in self.running or self.running[name].poll() is not None:
            with log.open("ab") as file:
                self.running[name] = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "TERM", here(program), *arguments],
                    stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=self.folder,
                    start_new_session=True, env={**os.environ, **conf, **extra},
                )  # fmt: skip
        end = time.monotonic() + SECONDS_TO_ANSWER
        while not answers():
            if self.running[name].poll() is not None or time.monotonic() > end:
                last = log.read_text(errors="replace").strip().splitlines()[-3:]
                raise NoSlurm(f"{name} does not start: {' / '.join(last) or 'it does not say why'}")
            time.sleep(0.1)

    def _is_ready(self, node: str) -> bool:
        states = set(_output("sinfo", "-h", "-N", "-n", node, "-o", "%T").split())
        if any(state.startswith(("down", "drain")) or state.endswith("*") for state in states):
            _succeeds("scontrol", "update", f"nodename={node}", "state=resume")
        return bool(states) and states <= {"idle", "mixed", "allocated", "completing"}

    def _supervises(self, pid: int, node: str) -> bool:
        """Whether a process is a job's supervisor on a node: these keep the node's log open."""
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() != "slurmstepd":
                return False
            log = self.folder / f"{node}.log"
            return any(Path(os.readlink(file)) == log for file in Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            return False


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _succeeds(*command: object) -> bool:
    try:
        done = subprocess.run([str(one) for one in command], capture_output=True, timeout=20)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
