#!/usr/bin/env bash
# Train on an NVIDIA GPU and on the CPU and compare losses, scores and events per second. At most 8 minutes.
#
#   bash tests/device/check.sh               installs the CUDA builds into .venv-cuda, then GPU against CPU
#   bash tests/device/check.sh --cpu-only    CPU against CPU in another process, which must agree to the byte
#   PYTHON=python3 bash tests/device/check.sh    uses the packages of this Python and installs nothing
#
# --events-seen N: the budget of every network. --hidden 64,64 and --batch-size 1024: its size. --only nominal,…: some
# trainings. --folder DIR: keep what was made there. LIMIT=480: seconds.
# Exit status: 0 agreed, 1 differed or failed, 77 no GPU, nothing checked, 124 not done within the limit.
set -euo pipefail
cd "$(dirname "$0")/../.."
compare=tests/device/compare_devices.py
second=cuda folder=
size=()

while [ $# -gt 0 ]; do
  case "$1" in
    --cpu-only) second=cpu ;;
    --events-seen | --hidden | --batch-size | --only) size+=("$1" "${2:?$1 needs a value}") && shift ;;
    --folder) folder="${2:?--folder needs a name}" && shift ;;
    *)
      echo "check.sh: no option '$1'; there are --cpu-only, --events-seen, --hidden, --batch-size, --only and --folder" >&2
      exit 2
      ;;
  esac
  shift
done

no_gpu() {
  echo "No NVIDIA GPU here ($1): nothing was checked. --cpu-only tests the check itself."
  exit 77
}

if [ "$second" = cuda ] && [ -z "${PYTHON:-}" ]; then
  nvidia-smi -L 2>/dev/null | grep -q GPU || no_gpu "nvidia-smi lists none"
  env -u PYTHON make install TORCH=cuda VENV=.venv-cuda
  PYTHON=.venv-cuda/bin/python
fi
PYTHON="${PYTHON:-.venv/bin/python}"
"$PYTHON" -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("torch"))' || {
  echo "check.sh: $PYTHON has no torch: 'make install' makes .venv, or give PYTHON=…" >&2
  exit 1
}
if [ "$second" = cuda ]; then
  "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || no_gpu "torch of $PYTHON sees none"
fi

if [ -z "$folder" ]; then
  folder="$(mktemp -d)"
  trap 'rm -rf "$folder"' EXIT
fi
export OMP_NUM_THREADS=1
timeout "${LIMIT:-480}" bash -euc '
  "$1" "$2" train cpu "$3/first" "${@:5}"
  "$1" "$2" train "$4" "$3/second" "${@:5}"
  "$1" "$2" compare "$3/first" "$3/second"
' check "$PYTHON" "$compare" "$folder" "$second" "${size[@]}"
