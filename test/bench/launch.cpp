// Runs a program and writes how large the largest of its processes became, in KiB:
//
//   bench_launch FILE PROGRAM
//
// The kernel counts for a process what the one had that it came from (getrusage(2)), so it is
// started by a small one.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

int main(int count, char** arguments) {
  if (count != 3) return EXIT_FAILURE;
  const pid_t child = ::fork();
  if (child == 0) {
    ::execv(arguments[2], arguments + 2);
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  if (child < 0 || ::wait4(child, &status, 0, &usage) != child) return EXIT_FAILURE;
  std::FILE* const file = std::fopen(arguments[1], "w");
  if (file == nullptr) return EXIT_FAILURE;
  std::fprintf(file, "%ld\n", usage.ru_maxrss);
  if (std::fclose(file) != 0) return EXIT_FAILURE;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
