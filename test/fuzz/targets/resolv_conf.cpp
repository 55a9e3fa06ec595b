#include "host-local-ipam/resolv_conf.h"

#include <algorithm>

#include "fuzz/oracle.h"
#include "fuzz/targets.h"
#include "json/parse.h"
#include "protocol/result_versions.h"

namespace cni::fuzz {

void resolv_conf(std::string_view input) {
  const Dns dns = host_local::parse_resolv_conf(input);
  for (const auto* words : {&dns.nameservers, &dns.search, &dns.options}) {
    for (const std::string& word : *words) {
      require(!word.empty() && word.find_first_of(" \t\n") == std::string::npos,
              "a word has no blanks");
    }
  }
  const json::Value document = render_result({.dns = dns}, kNewestVersion);
  const json::Value again = json::parse(json::pretty(document));
  require(parse_dns(json::Reader(again)["dns"]).search.size() == dns.search.size(),
          "DNS settings are printed as JSON");
}

}  // namespace cni::fuzz
