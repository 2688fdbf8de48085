# What the entry scripts share. To be sourced.

BUILD_PACKAGES=(
  build-essential ca-certificates ccache cmake git ninja-build pkg-config
  libtorch-dev libgloo-dev libopenblas0-openmp
  libhwy-dev libxxhash-dev libfmt-dev libspdlog-dev
  libcli11-dev nlohmann-json3-dev
  libcurl4-openssl-dev libssl-dev zlib1g-dev
)
TEST_PACKAGES=(libgtest-dev librapidcheck-dev)

# require_dependencies PACKAGE...: installs what building needs and these packages
# besides, on Debian and its relatives; elsewhere lists them and goes on.
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
      echo "Missing packages: ${missing[*]}" >&2
      echo "Neither root nor sudo: install them as root with apt-get install, then start again." >&2
      return 1
    fi
    as_root=(sudo)
  fi
  echo "Installing: ${missing[*]}"
  quietly "${as_root[@]}" apt-get update
  quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"
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
