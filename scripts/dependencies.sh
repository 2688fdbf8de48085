# What the entry scripts share. To be sourced.

BUILD_PACKAGES=(
  build-essential ca-certificates ccache cmake git ninja-build pkg-config
  libtorch-dev libgloo-dev libopenblas0-openmp
  libhwy-dev libxxhash-dev libfmt-dev libspdlog-dev
  libcli11-dev libyaml-cpp-dev nlohmann-json3-dev
  libarchive-dev libcurl4-openssl-dev libspng-dev libssl-dev libutfcpp-dev zlib1g-dev
  gnuplot-nox
)
TEST_PACKAGES=(
  clang libclang-rt-dev libgtest-dev librapidcheck-dev
  iproute2 mpich openmpi-bin python3-torch python3-torchvision
)

# require_dependencies PACKAGE...: installs what building needs and these packages
# besides, on Debian and its relatives; where that can't be done lists what is
# missing and goes on: it may be there in another way, and CMake says what is not.
require_dependencies() {
  local packages=("${BUILD_PACKAGES[@]}" "$@") missing=() package
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "This is not a Debian system. Needed, under Debian's names: ${packages[*]}."
    echo "Going on: CMake says what it does not find."
    return 0
  fi
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' ||
      missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0

  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      list_missing "neither root nor sudo"
      return 0
    fi
    as_root=(sudo)
  fi
  echo "Installing: ${missing[*]}"
  quietly "${as_root[@]}" apt-get update || true # the old lists may do
  quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}" ||
    list_missing "apt-get failed"
}

# list_missing REASON: the packages of require_dependencies that are not there.
list_missing() {
  echo "Warning: $1. Not installed, under Debian's names: ${missing[*]}." >&2
  echo "Going on: CMake says what it does not find." >&2
}

# quietly COMMAND...: shows the output only when the command fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "Failed: $* (whole output: $log)" >&2
    return 1
  fi
  rm -f "$log"
}
