# Sourced by the scripts: the Debian packages that Cairn needs, how to get those that are missing, and how to run
# something without its noise.

build_packages="gcc libc6-dev cmake ninja-build pkg-config libzmq3-dev libprotobuf-c-dev protobuf-c-compiler
  protobuf-compiler liblmdb-dev libdnnl-dev libcyaml-dev libyaml-dev libjansson-dev libhdf5-dev libsodium-dev zlib1g-dev
  libcsv-dev libxxhash-dev"
test_packages="check python3"

# Runs the given command quietly; shows its last words only when it fails.
quietly() {
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    echo "this failed: $*; the last lines of $log:" >&2
    tail -n 40 "$log" >&2
    exit 1
  fi
  rm -f "$log"
}

# Prints those of the given packages that are not installed.
missing_packages() {
  for package in "$@"; do
    state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || state=
    [ "$state" = "install ok installed" ] || printf '%s ' "$package"
  done
}

# Installs what is missing of the given packages where this user may, else says what to install and exits 1.
install_packages() {
  if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "not a Debian system: taking it that the libraries of these packages are there: $*" >&2
    return 0
  fi
  missing=$(missing_packages "$@")
  [ -z "$missing" ] && return 0
  if [ "$(id -u)" -eq 0 ]; then
    as_root=
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
  else
    echo "these packages are missing and only root can install them; run this, then start again:" >&2
    echo "  sudo apt-get update && sudo apt-get install --no-install-recommends $missing" >&2
    exit 1
  fi
  echo "installing $missing"
  # shellcheck disable=SC2086 # lists of words
  quietly $as_root apt-get update
  # shellcheck disable=SC2086
  quietly $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}
