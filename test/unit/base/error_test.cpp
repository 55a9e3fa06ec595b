#include "base/error.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <thread>

TEST_CASE("errno texts start in lower case", "[base]") {
  CHECK(cni::errno_text(ENOENT) == "no such file or directory");
  CHECK(cni::errno_text(EISDIR) == "is a directory");
  CHECK(cni::errno_text(EIO) == "input/output error");
  CHECK(cni::errno_text(ESRMNT) == "srmount error");
}

TEST_CASE("a number that is no errno still gives a text", "[base]") {
  CHECK(cni::errno_text(99999) == "errno 99999");
}

TEST_CASE("a system error names the attempt and keeps the number", "[base]") {
  const cni::SystemError error(EBUSY, "set link 'eth0' up");
  CHECK(error.what() == std::string("set link 'eth0' up: device or resource busy"));
  CHECK(error.number() == EBUSY);
}

TEST_CASE("what is not permitted names the capabilities that are missing", "[base]") {
  std::string said;
  // They are a thread's own.
  std::thread([&] {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
    if (::syscall(SYS_capset, &header, none.data()) == 0) said = cni::errno_text(EPERM);
  }).join();
  CHECK(said == "operation not permitted (without CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_NET_RAW)");
}

TEST_CASE("throw_errno takes the current errno", "[base]") {
  errno = EBUSY;
  CHECK_THROWS_WITH(cni::throw_errno("delete it"), "delete it: device or resource busy");
  errno = ENOSPC;
  CHECK_THROWS_AS(cni::throw_io_errno("write it"), cni::IoError);
  errno = ENOSPC;
  CHECK_THROWS_WITH(cni::throw_io_errno("write it"), "write it: no space left on device");
}

TEST_CASE("the text of the exception being handled", "[base]") {
  const auto text_of = [](const auto& thrown) {
    try {
      throw thrown;
    } catch (...) {
      return cni::current_exception_text();
    }
  };
  CHECK(text_of(cni::Busy("in use")) == "in use");
  CHECK(text_of(42) == "unknown failure");
}
