#!/bin/sh
# Checks out the repository as it was and builds its program, for the scenario of an upgrade. Prints the folder, which is what
# TESTUDO_FORMER wants.
#
#   e2e/tools/former.sh [COMMIT]   which state; default: the last tag before this one, else the state before the last change
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
commit=${1:-$(git -C "$root" describe --tags --abbrev=0 HEAD^ 2>/dev/null || true)}
commit=$(git -C "$root" rev-parse --verify --quiet "${commit:-HEAD^}^{commit}") || {
    printf 'e2e/tools/former.sh: there is no earlier state here (a shallow clone?): git fetch --unshallow, or name a commit\n' >&2
    exit 1
}
folder=$root/target/former
git -C "$root" worktree prune
if [ -d "$folder" ]; then
    git -C "$folder" checkout --quiet --force --detach "$commit"
else
    git -C "$root" worktree add --quiet --force --detach "$folder" "$commit"
fi
printf 'building testudo as it was in %s ...\n' "$(git -C "$folder" log -1 --format='%h, %s')" >&2
(cd "$folder" && cargo build --locked --quiet --target-dir target -p testudo)
printf '%s\n' "$folder"
