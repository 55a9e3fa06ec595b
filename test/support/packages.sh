# The Debian packages this tree needs; sourced by test/run and conf-examples/try.

# To build.
build_packages=(g++ cmake ninja-build pkg-config libnl-3-dev libnl-route-3-dev libfmt-dev
  nlohmann-json3-dev libmd-dev
  # cmake/prepare_libiptc, and libiptc for a build with -DCNI_STATIC=OFF
  dpkg-dev libip4tc-dev libip6tc-dev)

# To try it out.
try_packages=(iproute2 iputils-ping procps busybox-static nftables)

# To test it.
test_packages=(
  # the tests themselves, and the tools they look at the kernel with
  catch2 iproute2 iputils-ping nftables iptables procps strace tcpdump python3
  python3-jsonschema
  # what the plugins cost
  valgrind
  # lint and coverage
  clang-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev llvm-19 gcovr
  # a kernel with everything
  user-mode-linux kmod busybox-static e2fsprogs
  # the runtimes, and the reference plugins beside them
  containernetworking-plugins golang-go golang-github-appc-cni-dev containerd runc
  python3-grpcio protobuf-compiler python3-protobuf
  # what firewalld needs; test/runtime/prepare_firewalld fetches it
  dbus-daemon python3-dbus python3-gi gir1.2-glib-2.0)

# install_missing PACKAGE...: installs those that are not there. Says so only if there are any.
install_missing() {
  local package missing=() sudo=()
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      missing+=("$package")
  done
  [ "${#missing[@]}" -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "These packages are missing, and only root can install them: ${missing[*]}" >&2
      return 1
    fi
    sudo=(sudo)
  fi
  echo "Installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! "${sudo[@]}" apt-get update -q >"$log" 2>&1 ||
    ! "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}
