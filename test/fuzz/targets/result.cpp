// Results: what is accepted in the shape of one version can be printed in that of every other, and
// reads back the same.

#include "protocol/result.h"

#include "fuzz/oracle.h"
#include "fuzz/targets.h"
#include "json/parse.h"
#include "protocol/result_versions.h"

namespace cni::fuzz {
namespace {

void check_printed(const Result& result, Version version) {
  json::Value document;
  const bool can = result_family(version) != ResultFamily::kIp4Ip6 || !result.ips.empty();
  const bool does = accepts([&] { document = render_result(result, version); }, {Code::kInternal});
  require(can == does, "a result has the shape of every version");
  if (!does) return;
  const std::string text = json::pretty(document);
  const json::Value read = json::parse(text);
  Result again;
  require(
      accepts([&] { again = parse_result(json::Reader(read), version); }, {Code::kInvalidConfig}),
      "what is printed is a result: " + text);
  require(json::pretty(render_result(again, version)) == text, "a result reads back: " + text);
}

}  // namespace

void result(std::string_view input) {
  json::Value document;
  if (!accepts([&] { document = json::parse(input); }, {Code::kDecodingFailure})) return;
  for (const Version version : {Version::k0_2_0, Version::k0_4_0, Version::k1_1_0}) {
    Result result;
    if (!accepts([&] { result = parse_result(json::Reader(document), version); },
                 {Code::kInvalidConfig})) {
      continue;
    }
    for (const IpConfig& ip : result.ips) {
      require(!ip.interface || *ip.interface < result.interfaces.size(),
              "an index is one of an interface");
    }
    for (const Version other : kVersions) {
      check_printed(result, other);
      check_printed(appended(result, result), other);
    }
  }
}

}  // namespace cni::fuzz
