#!/usr/bin/env bash
# Six simulated participants as jobs of a real SLURM, on this machine (slurm-cluster.sh):
# one is broken, one is cancelled half-way and submitted again. Takes minutes; exit status 1 if
# anything is not as it should be. Needs root, and in PATH qsmprep and its python3.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${SLURM_JOBS:-}" ]; then exec "$here/slurm-cluster.sh" "$here/slurm-check.sh"; fi

study=$(mktemp -d "${TMPDIR:-/tmp}/qsmprep-study.XXXXXX")
trap 'rm -rf "$study"' EXIT
cd "$study"
BIDS="$study/data of six" OUT="$study/the out" WORK="$study/work" MAPS="$study/maps"
failures=0

expect() { # WHAT FOUND WANTED: all that is checked goes through here
  if [ "$2" = "$3" ]; then
    echo "ok     $1: $2"
  else
    echo "WRONG  $1: $2, where $3 was expected"
    failures=$((failures + 1))
  fi
}
finish() { while squeue --noheader | grep -q .; do sleep 1; done; }
state() { # JOB: how it ended, as FAILED 1:0
  scontrol show job --oneliner "$1" |
    sed -En 's/.* JobState=([A-Z]+).* ExitCode=([0-9:]+).*/\1 \2/p' | sort | uniq -c | xargs
}
status() { # OUT LABEL: what status.tsv says of a participant
  awk -F '\t' -v who="sub-$2" '$1 == who {print $6}' "$1/status.tsv"
}
prepare() {
  qsmprep-slurm "$BIDS" "$OUT" --group -- \
    --protocol fast --atlas "$BIDS/derivatives/atlas-simulated" -w "$WORK" "$@"
}
submit() {
  qsmprep-slurm "$BIDS" "$OUT" --group --submit -- \
    --protocol fast --atlas "$BIDS/derivatives/atlas-simulated" -w "$WORK" "$@"
}

# Heads without skulls, because to find the brain in one takes minutes.
python3 - "$BIDS" << 'EOF'
from pathlib import Path
import sys

from qsmprep.simulate.acquisition import SessionSpec
from qsmprep.simulate.dataset import ParticipantSpec, write_atlas, write_dataset

root = Path(sys.argv[1])
session = SessionSpec(voxel_size=(3.0, 3.0, 3.0), skull=False)
write_dataset(root, [ParticipantSpec(f"0{n}", n, (session,)) for n in range(1, 7)], resolution=2.5)
write_atlas(root / "derivatives/atlas-simulated", resolution=2.5)
EOF
broken=$(find "$BIDS/sub-05" -name '*echo-2*part-phase*.nii.gz')
truncate --size 20000 "$broken"

coarse=(--set segmentation.spacing=4 --set normalisation.spacing=4) # for a check in minutes

echo "--- six participants, one of them broken, one cancelled ---"
prepare "${coarse[@]}" > "$study/prepared"
expect "submits nothing by itself" "$(squeue --noheader | wc -l)" 0
expect "says how to" "$(grep -c 'submit it by: sbatch ' "$study/prepared")" 1
submit "${coarse[@]}" | tee "$study/first"
read -r _ array group < <(tail -n 1 "$study/first")
until grep -qs 'sub-03_MEGRE  inversion: invert: started' "$OUT"/logs/qsmprep_*.log; do sleep 0.2; done
squeue --me
scancel "${array}_2"
finish
expect "jobs" "$(state "$array")" "1 CANCELLED 143:0 4 COMPLETED 0:0 1 FAILED 1:0"
expect "group job, which misses two" "$(state "$group")" "1 FAILED 1:0"
expect "cancelled participant" "$(status "$OUT" 03)" "failed"
expect "why" "$(grep -c 'interrupted; the same command goes on' "$OUT/status.tsv")" 1

echo "--- the same command again ---"
submit "${coarse[@]}" | tee "$study/second"
read -r _ array group < <(tail -n 1 "$study/second")
finish
expect "submitted again" "$(grep -c '^2 participants to process, 4 done before' "$study/second")" 1
expect "jobs" "$(state "$array")" "1 COMPLETED 0:0 1 FAILED 1:0"
expect "cancelled participant" "$(status "$OUT" 03)" "done"
expect "went on from where it was" \
  "$(grep -Eoh '[1-9][0-9]* kept' "$OUT"/logs/qsmprep_*.log | head -n 1 | cut -d ' ' -f 2)" "kept"
expect "tables" "$(find "$OUT" -name 'sub-*_regions.tsv' | wc -l)" 5
expect "participants not done" "$(awk -F '\t' 'NR > 1 && $6 != "done" {print $1, $6}' \
  "$OUT/status.tsv")" "sub-05 failed"
expect "the file at fault is named" "$(grep -cF "$(basename "$broken")" "$OUT/status.tsv")" 1
expect "group job, which misses one" "$(state "$group")" "1 FAILED 1:0"
expect "participants in the group table" \
  "$(tail -n +2 "$OUT/group/regions.tsv" | cut -f 1 | sort -u | wc -l)" 5
expect "broken JSON files" "$(find "$OUT" -name '*.json' -exec sh -c \
  'python3 -m json.tool "$1" > /dev/null 2>&1 || echo "$1"' - {} \; | wc -l)" 0
expect "files without their final name" \
  "$(find "$OUT" -type f -name '.*.*' ! -name .status.lock | wc -l)" 0

for folder in "$OUT/sub-01" "$WORK"; do
  echo "       $(find "$folder" -type f | wc -l) files, $(du -sm "$folder" | cut -f 1) MB in $(basename "$folder")"
done

echo "--- each step a job of its own, by nipype ---"
echo '{"plugin": "SLURM", "plugin_args": {"sbatch_args": "--mem 2G"}}' > slurm.json
before=$(wc -l < "$SLURM_JOBS")
ended=0
env -u LOGNAME qsmprep "$BIDS" "$MAPS" participant --participant-label 01 \
  --protocol fast --atlas none -w "$study/alone" --use-plugin slurm.json > maps.log 2>&1 || ended=$?
expect "exit status" "$ended" 0
expect "participant" "$(status "$MAPS" 01)" "done"
expect "jobs" "$([ "$(tail -n "+$((before + 1))" "$SLURM_JOBS" | wc -l)" -ge 10 ] && echo many)" many
echo '{"plugin": "SLURMGraph"}' > graph.json
ended=0
qsmprep "$BIDS" "$MAPS" participant --participant-label 01 --protocol fast --atlas none \
  --use-plugin graph.json 2> graph.log || ended=$?
expect "SLURMGraph, which nobody waits for, is refused" "$ended" 2

echo "$failures wrong, after $((SECONDS / 60)) min $((SECONDS % 60)) s"
[ "$failures" = 0 ]
