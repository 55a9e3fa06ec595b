#include "nearest.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace cni::cnictl {
namespace {

bool same_letter(char one, char other) {
  return equal_ignoring_case(std::string_view(&one, 1), std::string_view(&other, 1));
}

bool is_start(std::string_view start, std::string_view word) {
  constexpr std::size_t kLeast = 3;
  return start.size() >= kLeast && start.size() <= word.size() &&
         equal_ignoring_case(start, word.substr(0, start.size()));
}

}  // namespace

std::size_t edit_distance(std::string_view one, std::string_view other) {
  // Rows of the table of distances between beginnings: the one before the last, the last, this one.
  std::vector<std::size_t> older(other.size() + 1);
  std::vector<std::size_t> previous(other.size() + 1);
  std::vector<std::size_t> current(other.size() + 1);
  for (std::size_t column = 0; column <= other.size(); ++column) current[column] = column;
  for (std::size_t row = 1; row <= one.size(); ++row) {
    older.swap(previous);
    previous.swap(current);
    current[0] = row;
    for (std::size_t column = 1; column <= other.size(); ++column) {
      const bool same = same_letter(one[row - 1], other[column - 1]);
      current[column] = std::min(
          {previous[column] + 1, current[column - 1] + 1, previous[column - 1] + (same ? 0 : 1)});
      const bool swapped = row > 1 && column > 1 && same_letter(one[row - 1], other[column - 2]) &&
                           same_letter(one[row - 2], other[column - 1]);
      if (swapped) current[column] = std::min(current[column], older[column - 2] + 1);
    }
  }
  return current[other.size()];
}

std::optional<std::string> find_nearest(std::string_view word,
                                        std::span<const std::string> candidates) {
  constexpr std::size_t kLettersPerMistake = 3;
  std::optional<std::string> nearest;
  std::size_t least = 0;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    const std::size_t longer = std::max(word.size(), candidate.size());
    const bool near = distance * kLettersPerMistake <= longer || is_start(word, candidate) ||
                      is_start(candidate, word);
    if (!near || (nearest && distance >= least)) continue;
    nearest = candidate;
    least = distance;
  }
  return nearest;
}

}  // namespace cni::cnictl
