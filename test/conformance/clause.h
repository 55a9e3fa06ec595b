// A clause as this program proves it: its row in cni-spec/clauses.json has the words.
#pragma once

#include <span>
#include <string>

#include "bench.h"

namespace conformance {

struct Clause {
  const char* id;
  unsigned kinds;  // of plugins it speaks of
  // Throws Failed or NotApplicable; anything else that it throws is a failure too.
  void (*prove)(Bench&);
  // Tried in each version the plugin and the clause know, not in the newest alone.
  bool each_version = false;
};

std::span<const Clause> invocation_clauses();     // GEN
std::span<const Clause> version_clauses();        // VER
std::span<const Clause> add_clauses();            // ADD
std::span<const Clause> del_clauses();            // DEL
std::span<const Clause> check_clauses();          // CHK
std::span<const Clause> status_clauses();         // STA
std::span<const Clause> gc_clauses();             // GC
std::span<const Clause> chain_clauses();          // CHN
std::span<const Clause> delegation_clauses();     // DLG
std::span<const Clause> ipam_clauses();           // IPM
std::span<const Clause> result_clauses();         // RES
std::span<const Clause> error_clauses();          // ERR
std::span<const Clause> concurrency_clauses();    // CON
std::span<const Clause> configuration_clauses();  // CFG
std::span<const Clause> convention_clauses();     // CAP, ARG

}  // namespace conformance
