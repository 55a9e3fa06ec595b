// CNI_ARGS.

#include "protocol/args.h"

#include <array>

#include "base/text.h"
#include "fuzz/oracle.h"
#include "fuzz/targets.h"

namespace cni::fuzz {

void args(std::string_view input) {
  static constexpr std::array<std::string_view, 2> kKnown = {"IP", "MAC"};
  const Args lenient = Args::parse_leniently(input);
  lenient.pod();
  Args args;
  if (!accepts([&] { args = Args::parse(input); }, {Code::kInvalidConfig})) return;
  for (const std::string& piece : split(input, ';')) {
    const std::size_t equals = piece.find('=');
    if (input.empty()) break;
    require(equals != std::string::npos, "every piece has an equals sign");
    const std::string key = piece.substr(0, equals);
    require(args.find(key).has_value(), "every key is found");
    require(args.find(key) == lenient.find(key), "both ways of reading agree");
  }
  const bool all_known = accepts([&] { args.require_known(kKnown); }, {Code::kInvalidConfig});
  const auto ignore = args.find("IgnoreUnknown");
  require(!all_known || !ignore || *ignore == "0" || *ignore == "1" ||
              equal_ignoring_case(*ignore, "true") || equal_ignoring_case(*ignore, "false"),
          "IgnoreUnknown is a boolean");
}

}  // namespace cni::fuzz
