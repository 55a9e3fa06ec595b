// Failures that know nothing of CNI. protocol/error.h gives each of them its CNI error code.
#pragma once

#include <stdexcept>
#include <string>

namespace cni {

// What the kernel or the C library calls `error_number`, in lower case and untranslated, for
// example "no such file or directory".
std::string errno_text(int error_number);

// An attempt that the kernel refused. what() reads "<attempt>: <errno text>".
class SystemError : public std::runtime_error {
 public:
  SystemError(int error_number, const std::string& attempt);

  int number() const { return number_; }

 protected:
  SystemError(int error_number, const std::string& attempt, const std::string& reason);

 private:
  int number_;
};

// Reading or writing a file, a directory or a stream failed.
class IoError : public SystemError {
 public:
  using SystemError::SystemError;
};

// Something is in use by someone else; the same attempt may succeed later.
class Busy : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws SystemError for the current errno.
[[noreturn]] void throw_errno(const std::string& attempt);

// Throws IoError for the current errno.
[[noreturn]] void throw_io_errno(const std::string& attempt);

// The text of an exception that is being handled, for messages that go on.
std::string current_exception_text();

}  // namespace cni
