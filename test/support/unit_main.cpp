// Main of the unit tests: they need no kernel and no privileges.
#include "support/session.h"

int main(int argc, char** argv) {
  return cni::test::run_session(argc, argv,
                                [](const auto&) { return std::map<std::string, std::string>{}; });
}
