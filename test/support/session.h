// One run of a test binary: Catch2 and the bookkeeping about what the kernel here lacks.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

namespace cni::test {

// Given the tags of the selected cases, returns those which name a need that cannot be met here,
// each with the reason.
using FindLacks = std::function<std::map<std::string, std::string>(const std::set<std::string>&)>;

// Runs the selected cases but those with a need that cannot be met; these are listed as skipped.
// The last line reads "<binary>: N passed, N failed, N skipped".
//
// Returns 0, or 1 after a failure, or 77 if cases were selected and all of them were skipped.
//
// Environment:
//   CNI_TEST_REQUIRE=all     a lack is a failure
//   CNI_TEST_LACKS_FILE      the tags that made cases skipped are written there, one a line
//   CNI_TEST_PROBE_ONLY=1    stop after that: no case is run
int run_session(int argc, char** argv, const FindLacks& find_lacks);

}  // namespace cni::test
