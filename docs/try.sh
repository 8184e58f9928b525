#!/bin/bash
# The first hour with pathdsl: every command that a newcomer may type, on files that come with it.
#
#     docs/try.sh            all of it, about two minutes on two cores
#     docs/try.sh short      what starts no check
#
# Needs an installed `pathdsl` (or PATHDSL="python -m pathdsl") and no network. Works in a folder of
# its own, which is removed; stops at the first command whose exit code is not the expected one.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
clone=$PWD
read -ra pathdsl <<< "${PATHDSL:-pathdsl}"
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
export PATHDSL_CACHE=$work/store NO_COLOR=1
cp -r "$clone/hypotheses/quickstart" "$work/quickstart" && cd "$work" || exit 2
rm -f quickstart/*.lock

# a CODE COMMAND …: echo a command, run it, and end the script unless it exits with CODE.
a() {
  local wanted=$1 found; shift
  echo; echo -n '$'; local word
  for word in "$@"; do
    case $word in *[\ \~\(\)]*) echo -n " '$word'" ;; *) echo -n " $word" ;; esac
  done
  echo
  [ "$1" != pathdsl ] || set -- "${pathdsl[@]}" "${@:2}"
  "$@"
  found=$?
  [ "$found" = "$wanted" ] || { echo "exit code $found, not $wanted" >&2; exit 1; }
}
holds() { grep -qF -- "$2" "$1" || { echo "$1 lacks: $2" >&2; exit 1; }; }

part() { printf '\n--- %s\n' "$*"; }

part "A file of one's own, with a slip"
cat > first.circuit <<'END'
circuit first "Who gets the drink?" {
  language   = 1
  hypothesis = main
}

model mini = bundled("ioi-mini")

task ioi {
  data      = mini_ioi(take: 100, seed: 0)
  reference = prompt
  treated   = prompt_abc
}

group movers @END = { a3.h1, a3.h2 }

path main = input@S3 ~> movers -> logits

metric LD: logits = logit(io) - logit(s)

claim movers_matter: mean(LD(reference) - LD(treat(main))) > 1 at 95% confidence
END
a 0 pathdsl --version
a 2 pathdsl lint first.circuit
a 0 pathdsl explain PD109
sed -i.bak s/S3/S2/ first.circuit
a 0 pathdsl lint first.circuit
cat >> first.circuit <<'END'
claim control: mean(LD(reference) - LD(treat(random_like(main, seed: 0)))) > 1 at 95% confidence expect refuted
END
a 1 pathdsl fmt --check first.circuit
a 0 pathdsl fmt first.circuit
a 0 pathdsl lint first.circuit

part "Files to begin with"
a 0 pathdsl init --list
a 0 pathdsl init --template direct_effects -o begun.circuit
a 0 pathdsl lint begun.circuit
a 0 pathdsl plan begun.circuit
a 2 pathdsl init --template direct -o other.circuit

part "Words, codes and names"
a 0 pathdsl explain faithfulness
a 0 pathdsl explain '~>'
a 0 pathdsl explain path_patch
a 0 pathdsl explain mini_ioi
a 2 pathdsl explain faithfullness
a 0 pathdsl explain first.circuit:main

part "Prompts, cost and drawings"
a 0 pathdsl data first.circuit:ioi --show 2 --columns prompt,prompt_abc
a 0 pathdsl plan first.circuit
a 0 pathdsl graph quickstart/induction.circuit
a 0 pathdsl diff quickstart/ioi.circuit:carry quickstart/ioi.circuit:main --graph-only

part "Circuits of other programs"
cat > wires.circuit <<'END'
model toy = bundled("induction-2l")

path wires = edges {
  input -[v]-> a0.h1
  a0.h1 -[k]-> a1.h2
  input -[q,v]-> a1.h2
  a1.h2 -> logits
}
END
a 2 pathdsl export quickstart/induction.circuit:main --to eap-ig -o exported
a 0 pathdsl export wires.circuit:wires --to eap-ig -o exported
a 0 pathdsl import exported/wires.json --model bundled:induction-2l --rows 'induction(take: 60)' \
  --treated prompt_other -o imported.circuit
a 0 pathdsl lint imported.circuit
a 0 pathdsl diff imported.circuit wires.circuit:wires --graph-only

[ "${1:-}" != short ] || { part "Done, the short form"; exit 0; }

part "The quickstart"
a 0 pathdsl check quickstart/induction.circuit
a 0 pathdsl doctor bundled:induction-2l

part "Checks of a claim and of a changed one"
a 0 pathdsl check --quiet first.circuit
cat >> first.circuit <<'END'
claim alone: faithfulness(within(movers)) >= 80% at 95% confidence
END
a 1 pathdsl check --quiet first.circuit --only alone
a 2 pathdsl check --quiet first.circuit --only alnoe
sed -i.bak '/^claim alone/ s/$/ expect refuted/' first.circuit
a 0 pathdsl check first.circuit

part "A sweep, and pages of it"
cat >> first.circuit <<'END'
let effect_of for h in {attn@END}: logits = mean(LD(reference) - LD(treat(through(h))))
END
a 0 pathdsl check first.circuit --only effect_of
a 0 pathdsl report first.circuit -o first.html
a 0 pathdsl report first.circuit --to md -o first.md
holds first.html effect_of
holds first.md effect_of

part "A lock, and the same numbers again"
a 0 pathdsl lock --quiet first.circuit
a 0 pathdsl check --quiet --locked first.circuit
sed -i.bak 's/> 1 at/> 0.5 at/' first.circuit
a 1 pathdsl check --quiet --locked first.circuit

part "Checking while one writes"
"${pathdsl[@]}" check --watch --quiet first.circuit > watched.txt 2>&1 &
watching=$!
shows() { # until FILE has the text COUNT times, one minute at most
  for _ in $(seq 600); do
    [ "$(grep -cF -- "$2" "$1")" -lt "$3" ] || return 0
    sleep 0.1
  done
  echo "$1 lacks: $2" >&2
  kill -TERM "$watching"
  exit 1
}
shows watched.txt " claims: " 1
sed -i.bak 's/> 0.5 at/> 2 at/' first.circuit
shows watched.txt " claims: " 2
kill -TERM "$watching"
wait "$watching"
cat watched.txt

part "Another's task: find a circuit and have it judged"
cat > task.circuit <<'END'
model toy = bundled("induction-2l")

task copy {
  data      = induction(take: 80, seed: 0)
  reference = prompt
  treated   = prompt_other
}

metric LD: logits = logit(answer) - logit(wrong)
END
a 0 pathdsl discover task.circuit --size 10
a 0 pathdsl diff task_found.circuit quickstart/induction.circuit

part "Done"
