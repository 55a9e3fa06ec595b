#include "claims.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace cni::portmap {
namespace {

using netfilter::same_attachment;

void append(std::vector<Run>& runs, const std::vector<Run>& more) {
  runs.insert(runs.end(), more.begin(), more.end());
}

std::vector<Run> colliding(const PortIndex& index, const std::vector<Run>& runs) {
  std::vector<Run> parts;
  for (const Run& run : runs) append(parts, index.colliding(run));
  return parts;
}

// Gives ports that nobody has any more to those who wait for them, in their order.
void serve_waiting(std::vector<Holding>& holdings) {
  std::vector<Holding*> waiting;
  for (Holding& holding : holdings) {
    if (!holding.waiting.empty()) waiting.push_back(&holding);
  }
  std::ranges::sort(waiting, {}, [](const Holding* holding) { return holding->turn; });
  for (Holding* holding : waiting) {
    std::vector<Run> taken;
    const PortIndex wanted(holding->waiting);
    for (const Holding& other : holdings) {
      if (&other == holding) continue;
      for (const Run& run : other.runs) {
        for (const Run& part : wanted.colliding(run)) taken.push_back(part);
      }
    }
    const PortIndex in_use(taken);
    const std::vector<Run> still = colliding(in_use, holding->waiting);
    append(holding->runs, without(holding->waiting, still));
    holding->runs = coalesce(holding->runs);
    holding->waiting = coalesce(still);
  }
}

// What is left of an attachment that could not be removed whole; nothing if it had no share in
// that.
std::optional<Holding> remainder(Holding holding, Leftovers left) {
  if (!left.rules || holding.chain.empty()) {
    holding.chain.clear();
    holding.runs.clear();
    holding.gates.clear();
    holding.masquerade = Masquerade::kNone;
  }
  if (!left.localnet) holding.localnet.reset();
  if (holding.chain.empty() && !holding.localnet) return std::nullopt;
  holding.waiting.clear();
  holding.ended = true;
  return holding;
}

}  // namespace

std::vector<Holding> with(std::vector<Holding> holdings, Holding wanted, ConflictPolicy policy,
                          const IsAlive& is_alive) {
  std::erase_if(holdings,
                [&](const Holding& one) { return same_attachment(one.owner, wanted.owner); });
  const PortIndex index(wanted.runs);
  std::vector<Run> later;
  std::uint64_t last_turn = 0;
  std::erase_if(holdings, [&](Holding& other) {
    last_turn = std::max(last_turn, other.turn);
    const std::vector<Run> in_the_way = colliding(index, other.runs);
    if (in_the_way.empty()) return false;
    if (other.ended || !is_alive(other)) return true;
    // A runtime that attaches a container to several networks gives each the same mappings.
    const bool same_container = other.owner.container_id == wanted.owner.container_id;
    const bool yields = same_container && policy == ConflictPolicy::kError;
    switch (yields ? ConflictPolicy::kShare : policy) {
      case ConflictPolicy::kError:
        throw Busy(fmt::format("host port {} is in use by {}", in_the_way.front().text(),
                               describe(other)));
      case ConflictPolicy::kReplace:
        other.runs = without(other.runs, in_the_way);
        break;
      case ConflictPolicy::kShare:
        append(later, colliding(PortIndex(in_the_way), wanted.runs));
        break;
    }
    return false;
  });
  wanted.waiting = coalesce(later);
  wanted.runs = without(wanted.runs, wanted.waiting);
  if (!wanted.waiting.empty()) wanted.turn = last_turn + 1;
  holdings.push_back(std::move(wanted));
  // What its attachment had before, and what the dead had.
  serve_waiting(holdings);
  return holdings;
}

std::vector<Holding> without(std::vector<Holding> holdings,
                             const std::function<bool(const Holding&)>& condition) {
  if (std::erase_if(holdings, condition) != 0) serve_waiting(holdings);
  return holdings;
}

std::vector<Holding> ended(std::vector<Holding> holdings,
                           const std::function<bool(const Holding&)>& condition, Leftovers left) {
  std::vector<Holding> result;
  for (Holding& holding : holdings) {
    if (!condition(holding)) {
      result.push_back(std::move(holding));
    } else if (auto rest = remainder(std::move(holding), left)) {
      result.push_back(std::move(*rest));
    }
  }
  serve_waiting(result);
  return result;
}

std::vector<Change> changes(const std::vector<Holding>& before, const std::vector<Holding>& after,
                            const netfilter::Owner* owner) {
  const auto find = [](const std::vector<Holding>& list,
                       const Holding& wanted) -> std::optional<Holding> {
    const auto found = std::ranges::find_if(
        list, [&](const Holding& one) { return same_attachment(one.owner, wanted.owner); });
    return found == list.end() ? std::nullopt : std::optional(*found);
  };
  std::vector<Change> differences;
  for (const Holding& old : before) {
    const auto now = find(after, old);
    const bool repair = now && owner != nullptr && same_attachment(old.owner, *owner);
    if (now != old || repair) differences.push_back({.before = old, .after = now});
  }
  for (const Holding& now : after) {
    if (!find(before, now)) differences.push_back({.before = {}, .after = now});
  }
  return differences;
}

}  // namespace cni::portmap
