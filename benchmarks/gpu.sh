#!/bin/sh
# The tests marked `cuda`, and the benchmarks on a GPU, in less than eight minutes: each step has a budget in seconds.
# Figures go to the folder that is named (default: gpu-figures), and are printed as a table for docs/engine.md.
#
#     benchmarks/gpu.sh [FOLDER]            PYTHON=... names another Python than .venv/bin/python, or python3
cd "$(dirname "$0")/.." || exit 1
out=${1:-gpu-figures}
[ -x "${PYTHON:=.venv/bin/python}" ] || command -v "$PYTHON" > /dev/null || PYTHON=python3

missing=$("$PYTHON" benchmarks/_gpu.py missing 2>&1) || {
    echo "benchmarks/gpu.sh: ${missing:-$PYTHON does not start}" >&2
    exit 2
}
mkdir -p "$out" || exit 1
failed=0
step() { # BUDGET NAME COMMAND...
    budget=$1 name=$2
    shift 2
    rm -f "$out/$name.json"
    echo "== $name, at most $budget s"
    timeout -k 5 "$budget" "$@" > "$out/$name.txt" 2>&1
    code=$?
    tail -n 30 "$out/$name.txt"
    [ $code -eq 0 ] && return
    case $code in
        124 | 137) echo "$name ran out of its $budget s." ;; # 137 where it had to be killed
        *) echo "$name failed with exit code $code." ;;
    esac
    failed=1
}

step 150 tests "$PYTHON" -m pytest -m cuda -p no:cacheprovider tests/snnl_core tests/training tests/attacks
for part in batch tiles minimum training neighbors memory; do
    step 40 "snnl-$part" "$PYTHON" benchmarks/snnl.py --device cuda --rounds 2 --only $part --json "$out/snnl-$part.json"
done
step 20 dknn "$PYTHON" benchmarks/dknn.py --device cuda --rounds 1 --bank 9000 --test 1000 --json "$out/dknn.json"
step 20 gan "$PYTHON" benchmarks/gan_training.py --device cuda --rounds 3 --gan dcgan --json "$out/gan.json"
step 20 classifier "$PYTHON" benchmarks/classifier_training.py --device cuda --rounds 3 --json "$out/classifier.json"
"$PYTHON" benchmarks/_gpu.py table "$out"/snnl-*.json "$out/dknn.json" "$out/gan.json" "$out/classifier.json" || failed=1
exit $failed
