#include "base/error.h"

#include <catch2/catch.hpp>
#include <cerrno>

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
  const cni::SystemError error(EPERM, "set link 'eth0' up");
  CHECK(error.what() == std::string("set link 'eth0' up: operation not permitted"));
  CHECK(error.number() == EPERM);
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
