# Installs what `run` and `test` need on Debian and Ubuntu; does nothing when it is all there. Sourced, POSIX sh.

# The window opens these at run time; the build needs none of them.
window_libraries="libxkbcommon.so.0 libxkbcommon-x11.so.0 libX11.so.6 libX11-xcb.so.1 libXcursor.so.1 libXi.so.6 libXrandr.so.2 libwayland-client.so.0 libwayland-cursor.so.0 libwayland-egl.so.1 libvulkan.so.1 libEGL.so.1"
packages="build-essential cmake pkg-config libxkbcommon0 libxkbcommon-x11-0 libx11-6 libx11-xcb1 libxcursor1 libxi6 libxrandr2 libwayland-client0 libwayland-cursor0 libwayland-egl1 libvulkan1 libegl1 mesa-vulkan-drivers"

say() { printf '%s\n' "$*" >&2; }

missing_tools() {
    for tool in cc c++ make cmake; do
        command -v "$tool" >/dev/null 2>&1 || printf ' %s' "$tool"
    done
}

missing_libraries() {
    known=$( (ldconfig -p || /sbin/ldconfig -p) 2>/dev/null)
    for library in $window_libraries; do
        case $known in *"$library "*) ;; *) printf ' %s' "$library" ;; esac
    done
    # A Vulkan driver, hardware or software, announces itself in one of these folders.
    for driver in /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json; do
        [ -e "$driver" ] && return
    done
    printf ' vulkan-driver'
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" -eq 0 ]; then
        root=
    elif command -v sudo >/dev/null 2>&1; then
        root=sudo
    else
        return 1
    fi
    say "installing: $packages"
    # shellcheck disable=SC2086  # a list of words
    { $root apt-get update -qq &&
        $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } >&2
}

setup() {
    tools=$(missing_tools)
    libraries=$(missing_libraries)
    if [ -n "$tools$libraries" ]; then
        if ! install_packages; then
            if [ -n "$tools" ]; then
                say "cannot build without$tools, and apt-get as root is not at hand: install them (Debian: $packages) and start again"
                exit 2
            fi
            say "note: the window may not open without$libraries; the command line works"
        fi
    fi
    if ! command -v cargo >/dev/null 2>&1 && [ -f "$HOME/.cargo/env" ]; then
        . "$HOME/.cargo/env"
    fi
    if ! command -v cargo >/dev/null 2>&1; then
        say "cannot build without Rust 1.95 or newer: install it from https://rustup.rs and start again"
        exit 2
    fi
}
