# SPDX-License-Identifier: Apache-2.0
#
# packages.bash: installs what a script needs, on a Debian, and tells it by the script's own `say`.

# as_root COMMAND...: by sudo, which may ask for a password where there is somebody to be asked.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# renew_packages: the list of them, once.
renew_packages() {
    [ -z "${packages_renewed:-}" ] || return 0
    packages_renewed=yes
    say "reading the package lists (apt-get update)"
    as_root apt-get -qq update
}

# install_missing PACKAGE...: those that are not there yet. Nothing elsewhere.
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
    # An old list of packages may still do.
    renew_packages || say "the list of packages could not be renewed"
    say "installing: ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
}
