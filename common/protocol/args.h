// CNI_ARGS: "K=V;K2=V2".
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cni {

class Args {
 public:
  // Throws Error 7 unless every piece between semicolons has exactly one '='. "" is no arguments.
  static Args parse(std::string_view text);

  // The pieces that can be read; the rest is passed over.
  static Args parse_leniently(std::string_view text);

  // Keys match exactly; of a repeated key the last value counts.
  std::optional<std::string> find(std::string_view key) const;

  // Throws Error 7 if there are keys beside `known` and IgnoreUnknown, unless IgnoreUnknown is
  // 1 or true.
  void require_known(std::span<const std::string_view> known) const;

  // "namespace/name" of the pod, if a Kubernetes runtime told it (K8S_POD_NAMESPACE, K8S_POD_NAME).
  std::optional<std::string> pod() const;

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace cni
