// What somebody may have meant who wrote an unknown word.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cni::cnictl {

// Insertions, deletions, replacements and swaps of two neighbours that make one word of the other,
// letter case apart.
std::size_t edit_distance(std::string_view one, std::string_view other);

// The candidate with the least distance, if it is at most a third of the length of the longer word,
// or if one of the two begins with the other and that is at least 3 letters.
std::optional<std::string> find_nearest(std::string_view word,
                                        std::span<const std::string> candidates);

}  // namespace cni::cnictl
