#include "resolv_conf.h"

#include <vector>

#include "base/file.h"
#include "base/text.h"

namespace cni::host_local {
namespace {

constexpr std::size_t kLongestFile = std::size_t{1} << 20U;  // bytes

std::vector<std::string> fields(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r\v\f";
  std::vector<std::string> fields;
  for (;;) {
    const std::size_t start = line.find_first_not_of(kBlanks);
    if (start == std::string_view::npos) return fields;
    line.remove_prefix(start);
    const std::size_t end = std::min(line.find_first_of(kBlanks), line.size());
    fields.emplace_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

}  // namespace

Dns parse_resolv_conf(std::string_view text) {
  Dns dns;
  for (const std::string& line : split(text, '\n')) {
    const std::vector<std::string> words = fields(line);
    if (words.size() < 2 || words[0][0] == '#' || words[0][0] == ';') continue;
    if (words[0] == "nameserver") {
      dns.nameservers.push_back(words[1]);
    } else if (words[0] == "domain") {
      dns.domain = words[1];
    } else if (words[0] == "search") {
      dns.search.insert(dns.search.end(), words.begin() + 1, words.end());
    } else if (words[0] == "options") {
      dns.options.insert(dns.options.end(), words.begin() + 1, words.end());
    }
  }
  return dns;
}

Dns read_resolv_conf(const std::string& path) {
  return parse_resolv_conf(read_file(path, kLongestFile));
}

}  // namespace cni::host_local
