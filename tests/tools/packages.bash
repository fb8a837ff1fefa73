# SPDX-License-Identifier: Apache-2.0
#
# packages.bash: installs what a script needs, on a Debian, and tells it by the script's own `say`.

# install_missing PACKAGE...: as root, or by sudo without a password. Nothing elsewhere.
install_missing() {
    local package missing=()
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian: what this needs must be there already"
        return
    fi
    for package in "$@"; do
        # shellcheck disable=SC2016
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    if [ ${#missing[@]} = 0 ]; then
        say "every package is there"
        return
    fi
    say "installing: ${missing[*]}"
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo -n)
    export DEBIAN_FRONTEND=noninteractive
    # An old list of packages may still do.
    "${root[@]}" apt-get update -qq || echo "the list of packages could not be renewed"
    "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
