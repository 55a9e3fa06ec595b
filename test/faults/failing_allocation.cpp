// Lets one allocation of a program fail. Linked into the plugins of build/test/failing-allocations
// with --wrap for each function below, so that the allocations of all libraries count as well.
//
//   CNI_TEST_ALLOCATION  "NAME NUMBER": which program, and which of its allocations, from 1 on; 0
//                        lets all of them succeed
//   CNI_TEST_REPORT      the file that gets, of that program, a JSON object as the tracer's:
//                        "points", how many there were up to its end or the failure, and "fired"
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

long allocations = 0;

// The number asked for; -1 if it is another program's turn, or the C library has not begun yet.
long wanted = -1;

[[gnu::constructor]] void read_wanted() {
  const char* wish = std::getenv("CNI_TEST_ALLOCATION");
  const std::size_t size = std::strlen(program_invocation_short_name);
  if (wish != nullptr && std::strncmp(wish, program_invocation_short_name, size) == 0 &&
      wish[size] == ' ')
    wanted = std::strtol(wish + size, nullptr, 10);
}

void report(bool fired) {
  const char* path = std::getenv("CNI_TEST_REPORT");
  if (path == nullptr) return;
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  char text[64];
  const int size = std::snprintf(text, sizeof text, R"({"points": %ld, "fired": %s})", allocations,
                                 fired ? "true" : "false");
  [[maybe_unused]] const ssize_t written = ::write(fd, text, static_cast<std::size_t>(size));
  ::close(fd);
}

bool fails() {
  if (wanted < 0 || ++allocations != wanted) return false;
  report(true);
  errno = ENOMEM;
  return true;
}

[[gnu::destructor]] void report_at_end() {
  if (wanted == 0 || allocations < wanted) report(false);
}

}  // namespace

extern "C" {

void* __real_malloc(std::size_t size);
void* __real_calloc(std::size_t count, std::size_t size);
void* __real_realloc(void* old, std::size_t size);
void* __real_aligned_alloc(std::size_t alignment, std::size_t size);

void* __wrap_malloc(std::size_t size) {
  return fails() ? nullptr : __real_malloc(size);
}

void* __wrap_calloc(std::size_t count, std::size_t size) {
  return fails() ? nullptr : __real_calloc(count, size);
}

void* __wrap_realloc(void* old, std::size_t size) {
  return fails() ? nullptr : __real_realloc(old, size);
}

void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
  return fails() ? nullptr : __real_aligned_alloc(alignment, size);
}

}  // extern "C"
