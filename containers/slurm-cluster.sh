#!/usr/bin/env bash
# A cluster of one node on this machine, for as long as one command runs:
#
#   containers/slurm-cluster.sh COMMAND [ARGUMENT ...]
#
# Needs root, and on Debian installs slurm-wlm and munge if they are missing. Keys, sockets and logs
# lie in a new folder, all ports on the loopback address; both are gone when the command has ended.
# It claims to have eight cores, so that jobs of four find room on any machine.
set -euo pipefail

if ! command -v slurmctld slurmd munged > /dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    slurm-wlm munge > /dev/null
fi

home=$(mktemp -d "${TMPDIR:-/tmp}/qsmprep-slurm.XXXXXX")
mkdir "$home/state" "$home/spool"
chmod 755 "$home"
daemons=()
stop() {
  for daemon in "${daemons[@]}"; do kill "$daemon" 2> /dev/null || true; done
  wait
  rm -rf "$home"
}
trap stop EXIT

wait_for() { # COMMAND ...: until it succeeds, ten seconds at most
  for _ in $(seq 100); do
    if "$@" > /dev/null 2>&1; then return; fi
    sleep 0.1
  done
  echo "slurm-cluster.sh: no success with: $*" >&2
  tail -n 5 "$home"/*.log >&2 || true
  return 1
}
node_is_idle() { [ "$(sinfo --noheader --format %t)" = idle ]; }

(umask 077 && head -c 1024 /dev/urandom > "$home/key")
munged --foreground --key-file="$home/key" --socket="$home/munge" --pid-file="$home/munge.pid" \
  --seed-file="$home/munge.seed" --log-file="$home/munge.log" > /dev/null 2>&1 &
daemons+=($!)
wait_for test -S "$home/munge"

node=$(hostname --short)
port=${SLURM_PORT:-46817}
memory=$(awk '/^MemTotal/ {print int(0.9 * $2 / 1024)}' /proc/meminfo)
cat > "$home/slurm.conf" << EOF
ClusterName=private
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthInfo=socket=$home/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
SlurmctldLogFile=$home/slurmctld.log
SlurmdLogFile=$home/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobCompType=jobcomp/filetxt
JobCompLoc=$home/jobs.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
MinJobAge=7200
NodeName=$node NodeAddr=127.0.0.1 CPUs=8 RealMemory=$memory
PartitionName=all Nodes=$node Default=YES DefMemPerCPU=1000 MaxTime=INFINITE
EOF
export SLURM_CONF=$home/slurm.conf
export SLURM_JOBS=$home/jobs.txt # a line for every job that has ended

slurmctld -D > /dev/null 2>&1 &
daemons+=($!)
wait_for scontrol ping
slurmd -D -N "$node" > /dev/null 2>&1 &
daemons+=($!)
wait_for node_is_idle

"$@"
