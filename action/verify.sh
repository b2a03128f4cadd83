#!/usr/bin/env bash
# One verification for a pipeline: its sentence into the job's summary, its verdict into the outputs, its exit code on.
set -u

arguments=(verify "$CLAIM" --json --out "$PAGE")
[ -z "${DATA:-}" ] || arguments+=(--data "$DATA")
[ -z "${TRIALS:-}" ] || arguments+=(--trials "$TRIALS")
[ -z "${KIND:-}" ] || arguments+=(--kind "$KIND")
while IFS= read -r option; do
  [ -z "$option" ] || arguments+=("$option")
done <<<"${OPTIONS:-}"

document=$(alphaglow "${arguments[@]}")
code=$?
# 0: shown, 3: not shown; anything else has said why on stderr.
case $code in 0 | 3) ;; *) exit "$code" ;; esac

sentence=$(printf '%s' "$document" | python -c 'import json, sys; print(" ".join(json.load(sys.stdin)["sentence"].split()))')
shown=$([ "$code" -eq 0 ] && echo true || echo false)
printf 'shown=%s\nsentence=%s\n' "$shown" "$sentence" >>"${GITHUB_OUTPUT:-/dev/null}"
printf '### alphaglow verify\n\n%s\n' "$sentence" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
echo "$sentence"
[ "${MUST_BE_SHOWN:-true}" = true ] || exit 0
exit "$code"
