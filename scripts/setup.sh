# Sourced by scripts/run and scripts/test: makes .venv, installs the package, gets the data. Needs python3 (3.10 to
# 3.13) and the package registries; does only what is not done yet.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$repository/.venv
export PIP_DISABLE_PIP_VERSION_CHECK=1

find_python() {
    local python
    for python in "${PYTHON:-}" python3.11 python3.12 python3.13 python3.10 python3; do
        if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    echo "Expected Python 3.10 to 3.13 on the PATH or in PYTHON, but found none." >&2
    return 1
}

# install EXTRA: makes .venv and installs the package with an extra, unless pyproject.toml is that of the last time
install() {
    local stamp=$venv/installed-${1:-runtime} python
    if [ ! -x "$venv/bin/pip" ]; then
        python=$(find_python)
        echo "Making .venv with $("$python" --version) ..."
        "$python" -m venv --clear "$venv"
    fi
    if ! cmp -s "$repository/pyproject.toml" "$stamp"; then
        echo "Installing (PyTorch is large: this takes minutes) ..."
        "$venv/bin/python" -m pip install --quiet --editable "$repository${1:+[$1]}"
        cp "$repository/pyproject.toml" "$stamp"
    fi
}

# get_data ROOT: sees to it that Fashion-MNIST is in ROOT or installed; from torchvision's source or else from Debian's
get_data() {
    local root=$1 load='import sys; from al_lightning import FashionMNIST, InputError
try:
    FashionMNIST(root=sys.argv[1]).setup()
except InputError as error:
    sys.exit(str(error))'
    if "$venv/bin/python" -c "$load" "$root"; then
        return
    fi
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        return 1
    fi
    echo "Trying Debian's package dataset-fashion-mnist instead ..."
    # apt with folders of its own: needs no root, and changes nothing outside of them
    local apt
    apt=$(mktemp -d)
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    local options=(-qq -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "Debug::NoLocking=1"
        -o "APT::Sandbox::User=$(id -un)")
    (
        apt-get "${options[@]}" update
        cd "$apt"
        apt-get "${options[@]}" download dataset-fashion-mnist
        dpkg-deb -x dataset-fashion-mnist*.deb unpacked
    )
    mkdir -p "$root/FashionMNIST/raw"
    cp "$apt"/unpacked/usr/share/datasets/fashion-mnist/*-ubyte.gz "$root/FashionMNIST/raw/"
    rm -rf "$apt"
    "$venv/bin/python" -c "$load" "$root"
}
