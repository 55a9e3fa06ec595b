// What a delegate prints: a result, or an error.

#include "delegation/delegate.h"
#include "fuzz/oracle.h"
#include "fuzz/targets.h"
#include "json/parse.h"
#include "protocol/result_versions.h"

namespace cni::fuzz {

void delegate_reply(std::string_view input) {
  const std::string answer(input);
  for (const Version version : {Version::k0_1_0, Version::k0_3_1, Version::k1_1_0}) {
    Result result;
    if (!accepts([&] { result = delegation::parse_answer(answer, version); }, {Code::kInternal})) {
      continue;
    }
    const json::Value document = render_result(result, kNewestVersion);
    require(json::compact(json::parse(json::pretty(document))) == json::compact(document),
            "a result is printed as JSON");
  }
  json::Value document;
  if (!accepts([&] { document = json::parse(answer); }, {Code::kDecodingFailure})) return;
  const auto error = parse_error_document(document);
  if (!error) return;
  require(static_cast<unsigned>(error->code()) != 0, "an error has a code");
  const json::Value printed = json::parse(json::pretty(error_document(*error, kNewestVersion)));
  const auto again = parse_error_document(printed);
  require(again && again->code() == error->code() &&
              std::string_view(again->what()) == error->what() &&
              again->details() == error->details(),
          "a delegate's error is passed on");
}

}  // namespace cni::fuzz
