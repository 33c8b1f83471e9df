#!/usr/bin/env bash
# A real SLURM of one node on this machine, all of it in one folder: munged, slurmctld, slurmd, and with accounting mariadbd and slurmdbd.
#
#   tests/cluster/slurm.sh start /tmp/slurm [accounting]     in seconds; prints the line that the shell needs
#   export SLURM_CONF=/tmp/slurm/slurm.conf                  for sinfo, squeue, sbatch and hydra/launcher=slurm
#   tests/cluster/slurm.sh stop /tmp/slurm                   ends what it started; the folder stays, with its logs
#
# Debian: apt-get install slurm-wlm munge, for accounting slurmdbd mariadb-server too. Their own services need not run.
# Partitions: main, and urgent, whose jobs preempt those of main. CPUS=4 before the command: the cores the node says it has (else all).
set -euo pipefail
action=${1:-} folder=${2:-} accounting=${3:-}
PATH=$PATH:/usr/sbin:/sbin
[[ $action =~ ^(start|stop)$ && -n $folder ]] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }

wait_for() {  # wait_for WHAT COMMAND…: until it succeeds, a minute at most
    local what=$1 left=150
    shift
    until timeout 10 "$@" >/dev/null 2>&1; do
        ((left--)) || { echo "$what does not answer; logs: $folder" >&2; exit 1; }
        sleep 0.2
    done
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

stop() {  # the newest first; each has left its number
    local name number
    for name in slurmd slurmctld slurmdbd mariadbd munged; do
        number=$(cat "$folder/$name.pid" 2>/dev/null) || continue
        kill "$number" 2>/dev/null || true
        for _ in $(seq 100); do kill -0 "$number" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$number" 2>/dev/null || true
        rm -f "$folder/$name.pid"
    done
}

if [[ $action == stop ]]; then
    stop
    exit
fi

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
mkdir -p "$folder"/{state,spool}
me=$(id -un) host=$(hostname -s)
export SLURM_CONF=$folder/slurm.conf MYSQL_UNIX_PORT=$folder/mysql.socket
trap stop ERR

dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none
chmod 600 "$folder/munge.key"
munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" 2>>"$folder/munged.log"

cat >"$SLURM_CONF" <<END
ClusterName=here
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=$me
SlurmdUser=$me
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
KillWait=15
MpiDefault=none
NodeName=here NodeHostname=$host NodeAddr=127.0.0.1 CPUs=${CPUS:-$(nproc)} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
END

if [[ $accounting == accounting ]]; then
    if [[ ! -d $folder/mysql ]]; then
        mariadb-install-db --no-defaults --datadir="$folder/mysql" --user="$me" --auth-root-authentication-method=normal \
            --skip-test-db >"$folder/mariadb.log" 2>&1
    fi
    mariadbd --no-defaults --datadir="$folder/mysql" --socket="$MYSQL_UNIX_PORT" --pid-file="$folder/mariadbd.pid" --user="$me" \
        --skip-networking --innodb-buffer-pool-size=64M >>"$folder/mariadb.log" 2>&1 &
    wait_for mariadbd mariadb-admin --no-defaults --user=root ping
    dbd_port=$(free_port)
    cat >"$folder/slurmdbd.conf" <<END
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$dbd_port
SlurmUser=$me
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_accounting
PidFile=$folder/slurmdbd.pid
LogFile=$folder/slurmdbd.log
END
    chmod 600 "$folder/slurmdbd.conf"
    cat >>"$SLURM_CONF" <<END
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$dbd_port
AccountingStoragePass=$folder/munge.socket
END
    slurmdbd
    wait_for slurmdbd sacctmgr --immediate show cluster
    sacctmgr --immediate --quiet add cluster here >/dev/null || true  # it may be there from an earlier start
fi

slurmctld -c  # without the jobs of an earlier start
wait_for slurmctld scontrol ping
slurmd -N here
wait_for slurmd bash -c "sinfo --noheader --format=%T | grep -qx 'idle\|mixed\|allocated'"
echo "export SLURM_CONF=$SLURM_CONF"
