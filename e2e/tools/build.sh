#!/bin/sh
# Builds the control plane that the end-to-end tests run: etcd, kube-apiserver, kube-controller-manager, kube-scheduler
# and kwok, and what the chart is checked with: helm and kubeconform, each from the Go module beside this script;
# the schemas of the Kubernetes API; and the claim allocator's oracle from e2e/dra-oracle. All into a cache outside the
# tree. What is there and was built from the same go.mod, go.sum and Go files is kept.
#
#   K8S=1.34|1.35|1.36   which Kubernetes (default 1.36)
#   KUBEBUILDER_ASSETS   a folder whose binaries are used instead; only what it lacks is built
#   TESTUDO_E2E_CACHE    where to keep all this (default ${XDG_CACHE_HOME:-~/.cache}/testudo-e2e)
set -eu

tools=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${TESTUDO_E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/testudo-e2e}
k8s=${K8S:-1.36}

fail() {
    printf 'e2e/tools/build.sh: %s\n' "$*" >&2
    exit 1
}

# version_of MODULE PATH: the version of PATH that MODULE's go.mod requires.
version_of() {
    sed -n "s|^[[:space:]]*\(require \)\{0,1\}$2 \(v[^ ]*\).*|\2|p" "$tools/$1/go.mod" | head -n 1
}

# stamp MODULE LDFLAGS: what the binaries depend on, in one line. The Go release is left out on purpose: an upgrade of
# Go alone is no reason to build Kubernetes again.
stamp() {
    printf '%s %s %s\n' "$(sources "$1" | cksum | tr ' ' '-')" "$(uname -sm | tr ' ' '-')" "$2"
}

# sources MODULE: the text of what is built. Only the oracle has Go files of its own.
sources() {
    (cd "$tools/$1" && find . -name go.mod -o -name go.sum -o -name '*.go' | LC_ALL=C sort | xargs cat)
}

# build MODULE LDFLAGS PACKAGE...: every package's binary that KUBEBUILDER_ASSETS lacks.
build() {
    module=$1 flags=$2
    shift 2
    into=$cache/$(basename "$module")
    want=$(stamp "$module" "$flags")
    # The stamp says what everything in the folder was built from, so it is written before the first binary.
    if [ "$(cat "$into/stamp" 2>/dev/null || true)" != "$want" ]; then
        rm -rf "$into"
        mkdir -p "$into"
        printf '%s\n' "$want" >"$into/stamp"
    fi
    for package in "$@"; do
        name=$(binary "$package")
        if [ -x "$into/$name" ] || { [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$name" ]; }; then
            continue
        fi
        command -v go >/dev/null 2>&1 ||
            fail "$name has to be built and there is no 'go' in PATH. Install Go 1.26 or newer (https://go.dev/dl), or" \
                "point KUBEBUILDER_ASSETS at a folder that holds $name."
        printf 'building %s (%s) ...\n' "$name" "$module" >&2
        # Built beside its place and moved there: an interrupted build leaves nothing that looks finished.
        trap 'rm -f "$into/.$name.$$"' EXIT
        (cd "$tools/$module" && CGO_ENABLED=0 GOWORK=off go build -buildvcs=false -trimpath \
            -ldflags "-s -w $flags" -o "$into/.$name.$$" "$package") ||
            fail "$name did not build from e2e/tools/$module. If the message above is about the network: modules come" \
                "from GOPROXY ($(go env GOPROXY))."
        mv "$into/.$name.$$" "$into/$name"
    done
}

# schemas: the JSON schemas of the Kubernetes API of each version, made to find each other as files.
schemas() {
    into=$cache/schemas
    want=$(cksum <"$tools/schemas/requirements.txt" | tr ' ' '-')
    [ "$(cat "$into/stamp" 2>/dev/null || true)" != "$want" ] || return 0
    command -v python3 >/dev/null 2>&1 && python3 -m pip --version >/dev/null 2>&1 ||
        fail "the schemas of the Kubernetes API come as a Python package and there is no 'python3 -m pip'. Install it."
    printf 'fetching the schemas of the Kubernetes API ...\n' >&2
    rm -rf "$into"
    mkdir -p "$into/package"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --requirement "$tools/schemas/requirements.txt" --dest "$into/package" ||
        fail "pip could not fetch what e2e/tools/schemas/requirements.txt names."
    python3 -m zipfile -e "$into"/package/*.whl "$into/package"
    for version in 1.34 1.35 1.36 1.37; do
        mv "$into/package/kubernetes_validate/kubernetes-json-schema/v$version.0-local-strict" "$into/$version"
        sed -i.bak -e 's|"/api/_definitions.json|"_definitions.json|' \
            -e 's|"$id": "https://kubernetes.io/api/|"$comment": "|' "$into/$version"/*.json
        rm -f "$into/$version"/*.bak
    done
    rm -rf "$into/package"
    printf '%s\n' "$want" >"$into/stamp"
}

# binary PACKAGE: the name of its binary.
binary() {
    case $1 in
    go.etcd.io/etcd/*) echo etcd ;;
    .) basename "$module" ;;
    *) basename "$1" ;;
    esac
}

[ -f "$tools/k8s-$k8s/go.mod" ] ||
    fail "K8S=$k8s is not a version that the tests know; there are:$(cd "$tools" && for d in k8s-*; do printf ' %s' "${d#k8s-}"; done)"

helm=$(version_of helm helm.sh/helm/v4)
etcd=$(version_of etcd go.etcd.io/etcd/server/v3)
kwok=$(version_of kwok sigs.k8s.io/kwok)
kubernetes=$(version_of "k8s-$k8s" k8s.io/kubernetes)
base=k8s.io/component-base/version

build etcd "-X go.etcd.io/etcd/api/v3/version.GitSHA=$etcd" go.etcd.io/etcd/server/v3
build kwok "-X sigs.k8s.io/kwok/pkg/consts.Version=$kwok" sigs.k8s.io/kwok/cmd/kwok
# A server built outside its own tree calls itself v0.0.0-master, and clients then guess wrongly what it can do.
build "k8s-$k8s" "-X $base.gitVersion=$kubernetes -X $base.gitMajor=1 -X $base.gitMinor=${k8s#1.}" \
    k8s.io/kubernetes/cmd/kube-apiserver \
    k8s.io/kubernetes/cmd/kube-controller-manager \
    k8s.io/kubernetes/cmd/kube-scheduler
# Upstream's allocator is of one release, whichever Kubernetes runs.
build ../dra-oracle "" .

build helm "-X helm.sh/helm/v4/internal/version.version=$helm" helm.sh/helm/v4/cmd/helm
build kubeconform "" github.com/yannh/kubeconform/cmd/kubeconform
schemas
