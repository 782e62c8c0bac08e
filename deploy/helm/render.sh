#!/bin/sh
# Renders what is not written by hand: rules and dashboards into the chart, the chart into deploy/kubernetes.
# Needs .venv (make .venv/dev.done), and helm: on PATH, in $HELM, or built into .venv/helm by deploy/tools.sh.
set -eu
cd "$(dirname "$0")/../.."
chart=deploy/helm/blnk-exporter
manifests=deploy/kubernetes
[ -x .venv/bin/blnk-exporter ] || { echo "there is no .venv: make .venv/dev.done" >&2; exit 1; }

helm=${HELM:-$(command -v helm || echo "$PWD/.venv/helm/helm")}
[ -x "$helm" ] || sh deploy/tools.sh helm
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

rm -rf "$chart/files"
mkdir -p "$chart/files/alerts" "$chart/files/host" "$chart/files/dashboards"
cp alerts/*.rules.yml "$chart/files/alerts/"
rm "$chart/files/alerts/host.rules.yml"
cp dashboards/*.json "$chart/files/dashboards/"
cp alerts/host.rules.yml "$chart/files/host/blnk-exporter.rules.yml"
for source in kubelet node_exporter; do
    # In place of the matcher the chart puts rules.hostMatchers.
    .venv/bin/blnk-exporter render alerts --host-metrics $source --host-matchers 'hosts_of_blnk=""' \
        --output "$scratch/$source" >/dev/null 2>&1
    cp "$scratch/$source/host.rules.yml" "$chart/files/host/$source.rules.yml"
done

"$helm" template blnk-exporter "$chart" --namespace blnk --kube-version 1.27.0 \
    --values "$manifests/values.yml" --output-dir "$scratch/out" >/dev/null
find "$manifests" -name '*.yml' ! -name values.yml ! -name kustomization.yml -delete
for file in "$scratch"/out/blnk-exporter/templates/*.yml; do
    { echo "# Rendered by deploy/helm/render.sh from the chart, with values.yml."; cat "$file"; } |
        sed '/^# Source: /d' >"$manifests/$(basename "$file")"
done
