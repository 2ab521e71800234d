#!/usr/bin/env bash
# A real Slurm cluster of one node, this machine, to try sweeps on. As root, with Debian's slurm-wlm and munge:
#
#     scripts/local_slurm.sh start FOLDER    # prints the setting that points Slurm's commands to it
#     scripts/local_slurm.sh stop FOLDER
#
# Everything that it writes is in FOLDER, munge's socket and key aside. It listens on loopback only.
set -euo pipefail
action=${1:?start or stop}
folder=$(mkdir -p "${2:?a folder}" && cd "$2" && pwd)

stop() {
    for name in slurmd slurmctld munged; do
        if [ -s "$folder/$name.pid" ]; then kill "$(cat "$folder/$name.pid")" 2>/dev/null || true; fi
    done
}

start() {
    mkdir -p "$folder"/{state,spool} /run/munge
    chmod 755 "$folder"
    chown munge: /run/munge
    [ -s /etc/munge/munge.key ] || su -s /bin/sh munge -c "mungekey --create"
    su -s /bin/sh munge -c "munged --force --pid-file=/run/munge/munged.pid" 2>"$folder/munged.log"
    cp /run/munge/munged.pid "$folder/munged.pid"
    host=$(hostname -s)
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    cat >"$folder/slurm.conf" <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    export SLURM_CONF=$folder/slurm.conf
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF"
    for _ in $(seq 60); do
        if sinfo -h -o %T 2>/dev/null | grep -q idle; then
            echo "export SLURM_CONF=$folder/slurm.conf"
            return
        fi
        sleep 0.5
    done
    echo "the node did not come up; see $folder/slurmctld.log and $folder/slurmd.log" >&2
    stop
    exit 1
}

case $action in
    start | stop) "$action" ;;
    *) echo "start or stop, not $action" >&2; exit 2 ;;
esac
